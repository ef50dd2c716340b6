# SPDX-License-Identifier: Apache-2.0
"""How the accumulators of a step become what it writes: parameters and arrays under the profile's requantization."""

from __future__ import annotations

from typing import Literal

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import multiplier
from q8emu.ops.base import clamp_params, ratio, scale_bits

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
        return {}, {"scale_bits": scale_bits(product)}
    params: Params = {"y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    if low.numerics.scale == "float32":
        scales = np.array([ratio(p, over=y.scale[0]) for p in product], np.float32)
        low.check_scale(node, scales)
        return params, {"scale_bits": scale_bits(scales)}
    factors = x_scale.astype(np.float64) * w_scale.astype(np.float64) / float(y.scale[0])
    if role == "fully_connected" and low.numerics.fully_connected == "float64":
        low.check_scale(node, factors)
        code = multiplier.REQUANTIZE.index("float64")
        return params | {"requantize": code}, {"scale64_bits": multiplier.f64_bits(factors)}
    if role == "fully_connected" and low.numerics.fully_connected == "float32_product" and factors.size == 1:
        factors = product.astype(np.float64) / float(y.scale[0])
    rule, arrays = by_multiplier(node, low, factors, low.numerics.rounding)
    if role == "grouped" and low.numerics.grouped == "double_rounding":
        rule = rule_of("double_rounding")
    if role == "depthwise" and low.numerics.depthwise == "ruy_x86_by_8":
        rule = rule_of("ruy_x86") | {"double_rounding_from": factors.size // LANES * LANES}
    return params | rule, arrays


def by_multiplier(node: Node, low: Lowering, factors: np.ndarray, rounding: str = "") -> Stage:
    """The rule and the multiplier and shift of each factor; without a rule, that of the profile's rescaling."""
    pairs = [multiplied(node, float(factor)) for factor in factors]
    return rule_of(rounding or low.numerics.rescaling), multiplier_arrays(pairs)


def rule_of(rounding: str) -> Params:
    """The parameter that names a rounding of a multiplier and a shift."""
    return {"requantize": multiplier.REQUANTIZE.index(rounding)}


def multiplier_arrays(pairs: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    """Arrays of a step from (multiplier, total right shift), one per channel."""
    multipliers, shifts = zip(*pairs, strict=True)
    return {"multiplier": np.array(multipliers, np.int32), "shift": np.array(shifts, np.int32)}


def multiplied(node: Node, factor: float) -> tuple[int, int]:
    """(multiplier, total right shift) of a factor.

    Raises:
        BadQuantization: the factor is too large.
    """
    try:
        return multiplier.quantize_multiplier(factor)
    except OverflowError as error:
        raise BadQuantization(
            f"{node.where()}: its scales combine to {factor:.6g}; expected less than 2^30. Requantize the model."
        ) from error
