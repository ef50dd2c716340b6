# SPDX-License-Identifier: Apache-2.0
"""MaxPool: the maximum of the quantized values under each window; padding never wins."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require
from q8emu.ops.window import resolve


def attributes(node: Node, view: FileView) -> Attributes:
    """kernel, strides, dilations, pads."""
    require(len([n for n in node.outputs if n]) == 1, node, "a second output with indices.")
    x, out = view.shape(node.inputs[0]), view.shape(node.outputs[0])
    require("kernel_shape" in node.attrs, node, "no kernel_shape.")
    return resolve(node, x[2:], node.attrs["kernel_shape"], out[2:], is_pool=True)


def lower(node: Node, low: Lowering) -> None:
    """One max_pool, and a table where the parameters change."""
    x = low.channels_last(node.inputs[0])
    y = low.new_channels_last(node.outputs[0], low.buffers[x].dtype)
    params = {k: node.attrs[k] for k in ("kernel", "strides", "dilations", "pads")}
    low.add("max_pool", (x,), (y,), params)
    low.define_channels_last(node.outputs[0], low.requantized(node, 0, y, node.in_quant[0]))
