# SPDX-License-Identifier: Apache-2.0
"""HardSwish: y = Q(x * max(0, min(1, x / 6 + 1 / 2))) of the dequantized x, a table of 256 entries.

Rules "half_away" and "fixed_point": on int16 values, see `hard_swish` of the numerics.
"""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import hard_swish, unary
from q8emu.ops.base import Attributes, FileView, lower_integer_unary, lower_unary, out_quant, quant


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    if low.numerics.unary in ("fixed_point", "half_away"):
        return _lower_int16(node, low)
    return lower_unary(node, low, unary.hard_swish)


def _lower_int16(node: Node, low: Lowering) -> None:
    x, y = quant(node, 0), out_quant(node)
    try:
        function = hard_swish.at_scales(float(x.scale[0]), float(y.scale[0]))
    except ValueError as error:
        low.refuse(node, f"has no rule for its scales: {error}")
    lower_integer_unary(node, low, lambda v: function(v) + y.zero_point[0])
