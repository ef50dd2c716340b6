# SPDX-License-Identifier: Apache-2.0
"""Relu: y = Q(max(x, 0)) of the dequantized x, a table of 256 entries.

Rule "half_away": x - x_zero_point rescaled by f32(x_scale / y_scale), clamped; rule "rescaled": by the
quotient in binary64. Source: google-ai-edge/LiteRT tflite/kernels/activations.cc; tensorflow
compiler/mlir/tosa/transforms/legalize_tfl.cc.
"""

from __future__ import annotations

from dataclasses import replace

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, Constant, FileView, lower_integer_unary, lower_unary, out_quant, quant, ratio
from q8emu.tables import rescaled


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    if low.numerics.unary != "float":
        y, x_scale = out_quant(node), quant(node, 0).scale[0]
        quotient = float(x_scale) / float(y.scale[0])
        if low.numerics.unary == "half_away":
            quotient = float(ratio(x_scale, over=y.scale[0]))
        function = rescaled(low.numerics.rescaling, quotient)
        attrs = {"clamp": (max(node.attrs["clamp"][0], y.zero_point[0]), node.attrs["clamp"][1])}
        return lower_integer_unary(replace(node, attrs=attrs), low, lambda v: function(v) + y.zero_point[0])
    return lower_unary(node, low, unary.relu)


def bounds(node: Node, constant: Constant) -> tuple[float, float]:
    """The clamp that the activation is."""
    return 0.0, float("inf")
