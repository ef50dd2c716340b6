# SPDX-License-Identifier: Apache-2.0
"""Clip: y = Q(min(max(x, low), high)) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, Constant, FileView, lower_unary, out_quant, quant, require
from q8emu.tables import table


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
    """One lut. On the integers themselves nothing is rounded, so every profile has the rule."""

    def function(x: np.ndarray) -> np.ndarray:
        return unary.clip(x, node.attrs["low"], node.attrs["high"])

    if all((q.scale, q.zero_point) == ((1.0,), (0,)) for q in (quant(node, 0), out_quant(node))):
        low.unary(node, table(function, quant(node, 0), out_quant(node), node.attrs["clamp"]))
    else:
        lower_unary(node, low, function)
