# SPDX-License-Identifier: Apache-2.0
"""Slice: starts, ends and steps per axis, negative ones as in numpy."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """ranges: per axis (start, stop, step), as for numpy.arange."""
    shape = view.shape(node.inputs[0])
    ranges = [(0, d, 1) for d in shape]
    starts, ends, axes, steps = (_list(node, view, i, n) for i, n in enumerate(("starts", "ends", "axes", "steps"), 1))
    require(starts is not None and ends is not None, node, "bounds computed at run time.")
    assert starts is not None and ends is not None
    axes = list(range(len(starts))) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    require(len(starts) == len(ends) == len(axes) == len(steps), node, "lists of different lengths.")
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = axis + len(shape) if axis < 0 else axis
        require(0 <= axis < len(shape) and step != 0, node, f"axis {axis}, step {step}.")
        ranges[axis] = (
            slice(start, end, step).indices(shape[axis])
            if step > 0 or end > -(2**31)
            else _to_front(start, step, shape[axis])
        )
    return {"ranges": tuple(ranges)}


def _to_front(start: int, step: int, length: int) -> tuple[int, int, int]:
    """A negative step down to and including index 0."""
    return slice(start, None, step).indices(length)


def _list(node: Node, view: FileView, index: int, name: str) -> list[int] | None:
    if name in node.attrs:
        return [int(v) for v in node.attrs[name]]
    operand = node.input(index)
    if not operand:
        return None
    value = view.constant(operand)
    require(value is not None, node, f"{name} computed at run time.")
    assert value is not None
    return [int(v) for v in value.reshape(-1)]


def lower(node: Node, low: Lowering) -> None:
    """One gather."""
    lists = [np.arange(*r) for r in node.attrs["ranges"]]
    low.moved(node, 0, low.gathered(low.value(node.inputs[0]), lists))
