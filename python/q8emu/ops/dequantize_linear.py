# SPDX-License-Identifier: Apache-2.0
"""DequantizeLinear at the boundary: y = f32(f32(x - zero_point) * scale)."""

from __future__ import annotations

from math import prod

from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.ops.base import quant, scale_bits


def folded(shape: tuple[int, ...], params: QuantParams) -> tuple[int, int, int]:
    """The shape as [before, C, after] around the axis of the parameters."""
    if params.axis is None:
        return (1, 1, prod(shape))
    return (prod(shape[: params.axis]), shape[params.axis], prod(shape[params.axis + 1 :]))


def lower(node: Node, low: Lowering) -> None:
    """One dequantize on [before, C, after]."""
    x = quant(node, 0)
    shape = folded(low.graph.tensors[node.inputs[0]].shape, x)
    out = low.new("float32", shape)
    arrays = {"scale_bits": scale_bits(x.scales()), "zero_point": x.zero_points()}
    low.add("dequantize", (low.reshaped(node.inputs[0], shape),), (out,), {}, arrays)
    low.define_reshaped(node.outputs[0], out)
