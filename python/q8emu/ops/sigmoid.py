# SPDX-License-Identifier: Apache-2.0
"""Sigmoid: y = Q(1 / (1 + exp(-x))) of the dequantized x, a table of 256 entries.

Rule "fixed_point": Q4.27 arithmetic, an int8 output with scale 1/256 and zero point -128. Source of that:
google-ai-edge/LiteRT tflite/kernels/internal/reference/integer_ops/logistic.h.
"""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import fixed_point, unary
from q8emu.ops.base import Attributes, FileView, lower_integer_unary, lower_unary, out_quant, quant


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    if low.numerics.unary == "fixed_point":
        x, y = quant(node, 0), out_quant(node)
        if (y.dtype, y.scale[0], y.zero_point[0]) != ("int8", 1 / 256, -128) or x.scale[0] < 2.0**-27:
            low.refuse(node, f"writes int8 with scale 1/256 and zero point -128; found {x} and {y}")
        return lower_integer_unary(node, low, lambda v: fixed_point.logistic_code(v, float(x.scale[0])))
    return lower_unary(node, low, unary.sigmoid)
