# SPDX-License-Identifier: Apache-2.0
"""Multiply-accumulates of a Program's steps: one for every tap of every output of a product, padded taps included.

Nothing is left out for zeros in the weights, and nothing is added for biases, additions, pools or boundaries.
"""

from __future__ import annotations

from math import prod

from q8emu.program import Program, Step


def macs_of(program: Program, step: Step) -> int:
    """Multiply-accumulates of one run of a step.

    conv2d: N·OH·OW·O · KH·KW·C/group; depthwise_conv2d: N·OH·OW·O · KH·KW; matmul: …·M·N · K; other steps: 0.
    """
    if step.kind not in ("conv2d", "depthwise_conv2d", "matmul"):
        return 0
    outputs = prod(program.buffers[step.outputs[0]].shape)
    if step.kind == "matmul":
        return outputs * program.buffers[step.inputs[0]].shape[-1]
    return outputs * prod(program.buffers[step.inputs[1]].shape[1:])


def total_macs(program: Program) -> int:
    """Multiply-accumulates of one run of the program.

    Example:
        >>> import q8emu
        >>> total_macs(q8emu.load().program)  # the packaged ResNet8, one image
        12501632
    """
    return sum(macs_of(program, step) for step in program.steps)
