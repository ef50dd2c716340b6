# SPDX-License-Identifier: Apache-2.0
"""Mul (QDQ, QLinearMul), broadcast.

Rule "ratio": v = (a - az)(b - bz) * f32(f32(a_scale * b_scale) / y_scale) + yz in float32.
Rule "requantize": the product requantized by f32(a_scale * b_scale) / y_scale, the quotient in binary64;
"requantize_float64": the product of the scales in binary64, too.
Source: google-ai-edge/LiteRT tflite/kernels/mul.cc; tensorflow compiler/mlir/tosa/transforms/legalize_common.cc.
Rule "float32": the product requantized by the float32 scale of "ratio", the zero point outside the rounding.
"""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.base import Attributes, FileView, clamp_params, out_quant, quant, ratio, scale_bits
from q8emu.ops.binary import check_int16, is_fused, largest, lower_float
from q8emu.ops.output_stage import Params, by_multiplier

LARGEST = 2**15  # the product of two centred bytes times this is below 2^31


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One mul_ratio, one float_binary, or one mul."""
    if low.numerics.multiply == "float_reciprocal":
        return _lower_reciprocal(node, low)
    if low.numerics.multiply == "float32":
        return _lower_float32(node, low)
    if low.numerics.multiply == "none":
        low.refuse(node, "has no rule for this operator")
    if low.numerics.multiply in ("requantize", "requantize_float64"):
        return _lower_requantized(node, low)
    if low.numerics.multiply == "float" or not is_fused(node):
        return lower_float(node, low, 2)
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    factor = ratio(a.scale[0], b.scale[0], over=y.scale[0])
    low.check_scale(node, np.array([factor]))
    params = {
        "a_zero_point": a.zero_point[0],
        "b_zero_point": b.zero_point[0],
        "y_zero_point": y.zero_point[0],
        "ratio_bits": spec.f32_bits(factor),
    } | ({"fused": 1} if low.numerics.multiply == "ratio_fused" else {})
    low.binary(node, "mul_ratio", (0, 1), params | clamp_params(node.attrs["clamp"]))
    return None


def _lower_requantized(node: Node, low: Lowering) -> None:
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    product = float(a.scale[0]) * float(b.scale[0])
    if low.numerics.multiply == "requantize":
        product = float(np.float32(product))
    check_int16(node, low, largest(a) * largest(b) * product / y.scale[0])
    rule, arrays = by_multiplier(node, low.numerics.rescale, np.array([product / float(y.scale[0])]))
    _add(node, low, rule, arrays)


def _lower_float32(node: Node, low: Lowering) -> None:
    factor = ratio(quant(node, 0).scale[0], quant(node, 1).scale[0], over=out_quant(node).scale[0])
    low.check_scale(node, np.array([factor]))
    _add(node, low, {}, {"scale_bits": scale_bits(factor)})


def _add(node: Node, low: Lowering, rule: Params, arrays: dict[str, np.ndarray]) -> None:
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    params = rule | {
        "a_zero_point": a.zero_point[0],
        "b_zero_point": b.zero_point[0],
        "y_zero_point": y.zero_point[0],
        **clamp_params(node.attrs["clamp"]),
    }
    low.binary(node, "mul", (0, 1), params, arrays)


def _lower_reciprocal(node: Node, low: Lowering) -> None:
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    factor = ratio(ratio(a.scale[0], b.scale[0], over=1.0), ratio(1.0, over=y.scale[0]), over=1.0)
    low.check_scale(node, np.array([factor]))
    if factor >= LARGEST:
        low.refuse(node, f"multiplies by less than {LARGEST}, beyond which its lanes differ; found {factor:.6g}")
    params = {
        "a_zero_point": a.zero_point[0],
        "b_zero_point": b.zero_point[0],
        "y_zero_point": y.zero_point[0],
        **clamp_params(node.attrs["clamp"]),
    }
    low.binary(node, "mul", (0, 1), params, {"scale_bits": scale_bits(factor)})
