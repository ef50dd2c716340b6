# SPDX-License-Identifier: Apache-2.0
"""Sigmoid: y = Q(1 / (1 + exp(-x))) of the dequantized x, a table of 256 entries.

Rule "half_away": half_away(f32(f(DQ(x)) * f32(1 / y_scale))) + y_zero_point with the exp of the C library. Source of
that: google-ai-edge/LiteRT tflite/kernels/internal/common.h (LUTPopulate).

Rule "half_even": as that, with the zero point inside the rounding. Source: google/XNNPACK
src/reference/unary-elementwise.cc.

Rule "fixed_point": Q4.27 in, Q0.31 out, see `fixed_point`.
"""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import fixed_point, unary
from q8emu.ops.base import Attributes, FileView, lower_fixed, lower_unary, out_quant, quant
from q8emu.tables import half_away_table, half_even_table


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    if low.numerics.unary == "half_away":
        values = half_away_table(unary.tflite_logistic, quant(node, 0), out_quant(node), node.attrs["clamp"])
        return low.unary(node, values)
    if low.numerics.unary == "half_even":
        return low.unary(
            node, half_even_table(unary.xnnpack_logistic, quant(node, 0), out_quant(node), node.attrs["clamp"])
        )
    if low.numerics.unary == "fixed_point":
        return lower_fixed(node, low, fixed_point.logistic, 8)
    return lower_unary(node, low, unary.sigmoid)
