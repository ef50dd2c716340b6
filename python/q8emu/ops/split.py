# SPDX-License-Identifier: Apache-2.0
"""Split: consecutive parts of x along one axis."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """axis, lengths."""
    shape = view.shape(node.inputs[0])
    axis = int(node.attrs.get("axis", 0))
    axis = axis + len(shape) if axis < 0 else axis
    require(0 <= axis < len(shape) and all(node.outputs), node, "an axis out of range, or an output without a name.")
    lengths = tuple(view.shape(name)[axis] for name in node.outputs)
    require(sum(lengths) == shape[axis], node, f"parts {list(lengths)} of an axis of {shape[axis]}.")
    return {"axis": axis, "lengths": lengths}


def lower(node: Node, low: Lowering) -> None:
    """One gather per part."""
    x = low.value(node.inputs[0])
    shape, axis = low.buffers[x].shape, node.attrs["axis"]
    starts = np.cumsum((0, *node.attrs["lengths"]))
    for index, length in enumerate(node.attrs["lengths"]):
        lists = [np.arange(d) for d in shape]
        lists[axis] = np.arange(starts[index], starts[index] + length)
        low.moved(node, index, low.gathered(x, lists))
