# SPDX-License-Identifier: Apache-2.0
"""DynamicQuantizeLinear: y, scale and zero point from the range of x at run time."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    require(len(node.outputs) == 3 and all(node.outputs), node, "an output is missing; expected three.")
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One dynamic_quantize."""
    shape = low.graph.tensors[node.inputs[0]].shape
    y, scale, zero_point = low.new("uint8", shape), low.new("float32", (1,)), low.new("uint8", (1,))
    low.add("dynamic_quantize", (low.value(node.inputs[0]),), (y, scale, zero_point))
    low.define(node.outputs[0], y)
    low.define_reshaped(node.outputs[1], scale)
    low.define_reshaped(node.outputs[2], zero_point)
