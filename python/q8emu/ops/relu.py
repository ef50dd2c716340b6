# SPDX-License-Identifier: Apache-2.0
"""Relu: y = Q(max(x, 0)) of the dequantized x, a table of 256 entries.

Rules "half_away" and "fixed_point": x - x_zero_point rescaled by f32(x_scale / y_scale), clamped. Source of that:
google-ai-edge/LiteRT tflite/kernels/activations.cc. Under "fixed_point" an activation with an upper bound, Relu6, does
not look at the output's parameters: x clamped to the bounds under the parameters of x. Source of that:
tensorflow/tflite-micro micro/kernels/activations_common.cc. Under "rescaled" the quotient is the binary64 one.
Source of that: tensorflow compiler/mlir/tosa/transforms/legalize_tfl.cc.
"""

from __future__ import annotations

import math
from dataclasses import replace

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.numerics.activation import NONE, bounds_half_away
from q8emu.ops.base import Attributes, Constant, FileView, lower_integer_unary, lower_unary, out_quant, quant, ratio
from q8emu.tables import rescaled


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    real = node.attrs.get("activation", NONE)
    if low.numerics.unary == "fixed_point" and real[1] < math.inf:
        x = quant(node, 0)
        attrs = {"clamp": bounds_half_away(real, x.scale[0], x.zero_point[0], x.dtype)}
        return lower_integer_unary(replace(node, attrs=attrs), low, lambda v: v + x.zero_point[0])
    if low.numerics.unary != "float":
        x, y = quant(node, 0), out_quant(node)
        is_exact = low.numerics.unary == "rescaled"
        quotient = float(x.scale[0]) / float(y.scale[0]) if is_exact else float(ratio(x.scale[0], over=y.scale[0]))
        function = rescaled(node, low.numerics.rescale, quotient)
        attrs = {"clamp": (max(node.attrs["clamp"][0], y.zero_point[0]), node.attrs["clamp"][1])}
        return lower_integer_unary(replace(node, attrs=attrs), low, lambda v: function(v) + y.zero_point[0])
    return lower_unary(node, low, unary.relu)


def bounds(node: Node, constant: Constant) -> tuple[float, float]:
    """The clamp that the activation is."""
    return 0.0, float("inf")
