# SPDX-License-Identifier: Apache-2.0
"""Clip: y = Q(min(max(x, low), high)) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, Constant, FileView, lower_unary, require


def attributes(node: Node, view: FileView) -> Attributes:
    """low, high."""
    found = bounds(node, view.constant)
    require(found is not None, node, "bounds computed at run time.")
    assert found is not None
    return {"low": found[0], "high": found[1]}


def bounds(node: Node, constant: Constant) -> tuple[float, float] | None:
    """The clamp that the activation is, from attributes (before opset 11) or constant operands."""
    ends = [float(node.attrs.get("min", float("-inf"))), float(node.attrs.get("max", float("inf")))]
    for index in (1, 2):
        name = node.input(index)
        if name:
            value = constant(name)
            if value is None or value.size != 1 or value.dtype.kind not in "fiu":
                return None
            ends[index - 1] = float(value.reshape(-1)[0])
    return (ends[0], ends[1]) if not any(e != e for e in ends) else None


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    lower_unary(node, low, lambda x: unary.clip(x, node.attrs["low"], node.attrs["high"]))
