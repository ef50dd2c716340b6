# SPDX-License-Identifier: Apache-2.0
"""How the accumulators of a step become what it writes: parameters and arrays under the profile's requantization."""

from __future__ import annotations

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import multiplier
from q8emu.ops.base import clamp_params, ratio, scale_bits

Params = dict[str, int | tuple[int, ...]]
Stage = tuple[Params, dict[str, np.ndarray]]


def output_stage(
    node: Node, low: Lowering, x_scale: np.ndarray, w_scale: np.ndarray, *, is_fully_connected: bool = False
) -> Stage:
    """The output stage of a product: requantized where the node has a quantized output, else scaled to float32.

    Args:
        node: with its output's parameters and the clamp.
        low: the program under construction.
        x_scale: float32[1], times alpha where there is one.
        w_scale: float32[1 or O].
        is_fully_connected: a product for which some profiles have a rule of its own?
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
    if is_fully_connected and low.numerics.fully_connected == "float64":
        low.check_scale(node, factors)
        code = multiplier.REQUANTIZE.index("float64")
        return params | {"requantize": code}, {"scale64_bits": multiplier.f64_bits(factors)}
    rule, arrays = by_multiplier(node, low, factors)
    return params | rule, arrays


def by_multiplier(node: Node, low: Lowering, factors: np.ndarray) -> Stage:
    """The rule of the profile and the multiplier and shift of each factor."""
    pairs = [multiplied(node, float(factor)) for factor in factors]
    return rule_of(low), multiplier_arrays(pairs)


def rule_of(low: Lowering) -> Params:
    """The parameter that names the profile's rounding of a multiplier and a shift."""
    return {"requantize": multiplier.REQUANTIZE.index(low.numerics.rounding)}


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
