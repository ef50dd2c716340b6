# SPDX-License-Identifier: Apache-2.0
"""How the accumulators of a step become what it writes: parameters and arrays under the profile's requantization."""

from __future__ import annotations

from typing import Literal

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics.multiplier import MIN_SHIFT, REQUANTIZE, RULES, Rescaling, Rule, f64_bits, float32_bits
from q8emu.numerics.rounding import ROUNDINGS
from q8emu.numerics.spec import f32_bits
from q8emu.ops.accumulator import accumulator_params
from q8emu.ops.base import clamp_params, ratio, scale_bits
from q8emu.ops.bias import float_bias, is_added_in_float
from q8emu.tables import quantize_multiplier

Params = dict[str, int | tuple[int, ...]]
Stage = tuple[Params, dict[str, np.ndarray]]
Role = Literal["product", "depthwise", "grouped", "fully_connected"]

LANES = 8  # channels that a vector kernel takes at once


def output_stage(node: Node, low: Lowering, x_scale: np.ndarray, w_scale: np.ndarray, role: Role = "product") -> Stage:
    """The output stage of a product: requantized where the node has a quantized output, else scaled to float32.

    Args:
        node: with its output's parameters and the clamp.
        low: the program under construction.
        x_scale: float32[1], times alpha where there is one.
        w_scale: float32[1 or O].
        role: some profiles have a rule of their own for depthwise and grouped convolutions and fully connected layers.
    """
    product = (x_scale * w_scale).astype(np.float32)
    y = node.out_quant[0]
    if y is None:
        return accumulator_params(low), {"scale_bits": scale_bits(product)}
    params: Params = accumulator_params(low)
    params |= {"y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    numerics = low.numerics
    if numerics.scale in ("float32", "float32_reciprocal"):
        reciprocal = ratio(1.0, over=y.scale[0])
        by_division = numerics.scale == "float32"
        scales = np.array([ratio(p, over=y.scale[0]) if by_division else ratio(p, reciprocal, over=1) for p in product])
        low.check_scale(node, scales)
        return _float32(node, low, params, scales, x_scale, w_scale)
    factors = x_scale.astype(np.float64) * w_scale.astype(np.float64) / float(y.scale[0])
    if numerics.scale == "float64" or (role == "fully_connected" and numerics.fully_connected == "float64"):
        low.check_scale(node, factors)
        return params | {"requantize": REQUANTIZE.index("float64")}, {"scale64_bits": f64_bits(factors)}
    whole = factors.size == 1 and role == "fully_connected" and numerics.fully_connected == "float32_product"
    asymmetric = bool(node.attrs.get("asymmetric"))
    if whole or asymmetric:
        factors = product.astype(np.float64) / float(y.scale[0])
    rescaling = numerics.product
    more: Params = {}
    if role == "grouped" and numerics.grouped == "double_rounding":
        rescaling = Rescaling(RULES["double_rounding"])
    if role == "depthwise" and numerics.depthwise == "ruy_x86_by_8" and asymmetric:
        rescaling = Rescaling(RULES["double_rounding"])
    elif role == "depthwise" and numerics.depthwise == "ruy_x86_by_8":
        rescaling = Rescaling(RULES["ruy_x86"])
        more = {"double_rounding_from": factors.size // LANES * LANES}
    rule, arrays = by_multiplier(node, rescaling, factors)
    return params | rule | more, arrays


def _float32(
    node: Node, low: Lowering, params: Params, scales: np.ndarray, x_scale: np.ndarray, w_scale: np.ndarray
) -> Stage:
    """By float32 scales; with the conversion of x86-64, and a float32 bias, where the profile says so."""
    if low.numerics.conversion == "saturate":
        return params, {"scale_bits": scale_bits(scales)}
    params = params | {"requantize": REQUANTIZE.index("converted")}
    if not is_added_in_float(node, low):
        return params, {"scale_bits": scale_bits(scales)}
    bias, bias_scale = float_bias(node, low, x_scale, w_scale)
    if bias_scale is not None:
        params = params | {"bias_scale_bits": f32_bits(bias_scale)}
    size = max(bias.size, scales.size)
    full = [np.ascontiguousarray(np.broadcast_to(values, (size,))) for values in (scales, bias)]
    return params, {"scale_bits": scale_bits(full[0]), "bias_bits": scale_bits(full[1])}


def by_multiplier(node: Node, rescaling: Rescaling, factors: np.ndarray) -> Stage:
    """The rule and the multiplier and shift of each factor."""
    pairs = [quantize_multiplier(node, rescaling, float(factor)) for factor in factors]
    if rescaling.in_float32:
        return {}, {"scale_bits": np.array([float32_bits(*pair) for pair in pairs], np.uint32)}
    return rule_of(rescaling.rule, pairs), multiplier_arrays(pairs)


def rule_of(rule: Rule, pairs: list[tuple[int, int]]) -> Params:
    """The parameters that say what is done with a product; a rule that has a name has kernels of its own."""
    named = [name for name, known in RULES.items() if known == rule]
    if named and all(shift >= MIN_SHIFT for _, shift in pairs):
        return {"requantize": REQUANTIZE.index(named[0])}
    codes = list(ROUNDINGS)
    return {
        "requantize": REQUANTIZE.index("staged"),
        "first_shift": rule.first_shift,
        "first_rounding": codes.index(rule.first_rounding) if rule.first_shift else 0,
        "rounding": codes.index(rule.rounding),
        "saturates": int(rule.beyond == "saturate"),
    }


def multiplier_arrays(pairs: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    """Arrays of a step from (multiplier, total right shift), one per channel."""
    multipliers, shifts = zip(*pairs, strict=True)
    return {"multiplier": np.array(multipliers, np.int32), "shift": np.array(shifts, np.int32)}
