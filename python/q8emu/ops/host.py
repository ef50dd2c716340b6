# SPDX-License-Identifier: Apache-2.0
"""Host: an operator that stays in float, run outside the core as a model of its own."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering


def lower(node: Node, low: Lowering) -> None:
    """One host step on the tensors as the file has them."""
    inputs = tuple(dict.fromkeys(n for n in node.inputs if n and n not in low.graph.constants))
    outputs = tuple(n for n in node.outputs if n)
    buffers = [low.new(low.graph.tensors[n].dtype, low.graph.tensors[n].shape) for n in outputs]
    low.host(node, tuple(low.value(n) for n in inputs), tuple(buffers), inputs, outputs)
    for name, buffer in zip(outputs, buffers, strict=True):
        low.define(name, buffer)
