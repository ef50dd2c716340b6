# SPDX-License-Identifier: Apache-2.0
"""Concat (QDQ, QLinearConcat): operands with other parameters than the output pass a table first."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """axis."""
    rank = len(view.shape(node.outputs[0]))
    axis = int(node.attrs.get("axis", 0))
    axis = axis + rank if axis < 0 else axis
    require(0 <= axis < rank, node, f"axis {axis} of a tensor of rank {rank}.")
    return {"axis": axis}


def lower(node: Node, low: Lowering) -> None:
    """One table per operand that needs it, one concat."""
    parts = []
    for index, name in enumerate(node.inputs):
        parts.append(low.requantized(node, 0, low.value(name), node.in_quant[index]))
    out = low.new(low.buffers[parts[0]].dtype, low.graph.tensors[node.outputs[0]].shape)
    low.add("concat", tuple(parts), (out,), {"axis": node.attrs["axis"]})
    low.define(node.outputs[0], out)
