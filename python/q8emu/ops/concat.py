# SPDX-License-Identifier: Apache-2.0
"""Concat (QDQ, QLinearConcat): operands with other parameters than the output pass a table first."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, out_quant, quant, require
from q8emu.tables import table


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
    by_channels = low.numerics.requantize == "float_by_8" and node.attrs.get("memory") == "NHWC"
    for index, name in enumerate(node.inputs):
        if by_channels and node.in_quant[index] != node.out_quant[0]:
            parts += _by_8(node, low, index)
            continue
        parts.append(low.requantized(node, 0, low.value(name), node.in_quant[index]))
    out = low.new(low.buffers[parts[0]].dtype, low.graph.tensors[node.outputs[0]].shape)
    low.add("concat", tuple(parts), (out,), {"axis": node.attrs["axis"]})
    low.define(node.outputs[0], out)


def _by_8(node: Node, low: Lowering, index: int) -> list[int]:
    """An operand in two pieces: whole groups of 8 channels, quantized by the reciprocal, and the channels left."""
    x, y = quant(node, index), out_quant(node)
    value = low.value(node.inputs[index])
    shape = low.buffers[value].shape
    pieces = []
    for rounding, begin, end in (("half_even_reciprocal", 0, shape[1] // 8 * 8), ("", shape[1] // 8 * 8, shape[1])):
        if begin < end:
            lists = [np.arange(begin, end) if axis == 1 else np.arange(size) for axis, size in enumerate(shape)]
            part = low.gathered(value, lists)
            out = low.new(y.dtype, low.buffers[part].shape)
            values = table(lambda v: v, x, y, node.attrs["clamps"][0], low.numerics, rounding)
            low.add("lut", (part,), (out,), {}, {"table": values})
            pieces.append(out)
    return pieces
