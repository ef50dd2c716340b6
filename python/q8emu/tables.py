# SPDX-License-Identifier: Apache-2.0
"""An operator with one quantized operand as a table of 256 entries, indexed by the bits of x read as uint8."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node, QuantParams
from q8emu.numerics import Numerics, multiplier, spec
from q8emu.numerics.multiplier import Rescaling, Rule
from q8emu.numerics.rounding import half_up

Clamp = tuple[int, int]


def table(
    function: Callable[[np.ndarray], np.ndarray],
    x: QuantParams,
    y: QuantParams,
    clamp: Clamp,
    numerics: Numerics | None = None,
    rounding: str = "",
) -> np.ndarray:
    """Q(function(DQ(x))), clamped; Q divides by the scale, or multiplies by its reciprocal if the profile says so.

    Args:
        function: of real values.
        x: parameters of the operand.
        y: parameters of the result.
        clamp: its bounds.
        numerics: the profile, for how it quantizes.
        rounding: one of spec.QUANTIZE instead of that.
    """
    if not rounding:
        rounding = "half_even_fused" if numerics and numerics.quantize == "half_even_fused" else "half_even"
    codes = np.arange(256, dtype=np.uint8).view(x.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        real = function(spec.dequantize(codes, x.scales(), x.zero_points()))
    q = spec.quantize(np.asarray(real, np.float32), y.scales(), y.zero_points(), y.dtype, rounding)
    clamped: np.ndarray = np.clip(q, *clamp).astype(y.dtype)
    return clamped


def integer_table(function: Callable[[int], int], x: QuantParams, y: QuantParams, clamp: Clamp) -> np.ndarray:
    """function(x - x_zero_point), clamped."""
    codes = np.arange(256, dtype=np.uint8).view(x.dtype).tolist()
    return np.array([spec.clamp(function(c - x.zero_point[0]), *clamp) for c in codes], y.dtype)


def half_even_table(
    function: Callable[[np.ndarray], np.ndarray], x: QuantParams, y: QuantParams, clamp: Clamp
) -> np.ndarray:
    """half_even(f32(f32(function(DQ(x)) * f32(1 / y_scale)) + y_zero_point)), clamped."""
    codes = np.arange(256, dtype=np.uint8).view(x.dtype)
    with np.errstate(over="ignore", divide="ignore"):
        real = function(spec.dequantize(codes, x.scales(), x.zero_points()))
        v = (real * (np.float32(1) / y.scales())).astype(np.float32) + y.zero_points().astype(np.float32)
    clamped: np.ndarray = np.rint(np.clip(v, np.float32(clamp[0]), np.float32(clamp[1]))).astype(y.dtype)
    return clamped


def half_away_table(
    function: Callable[[np.ndarray], np.ndarray], x: QuantParams, y: QuantParams, clamp: Clamp
) -> np.ndarray:
    """half_away(f32(function(DQ(x)) * f32(1 / y_scale))) + y_zero_point, clamped."""
    codes = np.arange(256, dtype=np.uint8).view(x.dtype)
    with np.errstate(over="ignore", divide="ignore"):
        real = function(spec.dequantize(codes, x.scales(), x.zero_points()))
        v = (real * (np.float32(1) / y.scales())).astype(np.float32)
    q = spec.half_away_real(np.clip(v, np.float32(-(2.0**30)), np.float32(2.0**30))) + y.zero_points()
    clamped: np.ndarray = np.clip(q, *clamp).astype(y.dtype)
    return clamped


def eight_bits(factor: np.float32) -> Callable[[int], int]:
    """The function that multiplies an integer by half_even(256 factor) / 256, half_up."""
    multiplied = int(np.rint(np.float32(256) * factor))
    return lambda value: half_up(value * multiplied, 8)


def rescaled(node: Node, rescaling: Rescaling, factor: float) -> Callable[[int], int]:
    """The function that multiplies an integer by a factor.

    Raises:
        BadQuantization: the numerics profile cannot express the factor.
    """
    return partial(rescaling.apply, *quantize_multiplier(node, rescaling, factor))


def quantize_multiplier(node: Node, rescaling: Rescaling, factor: float) -> tuple[int, int]:
    """(multiplier, total right shift) of a factor.

    Raises:
        BadQuantization: the numerics profile cannot express the factor.
    """
    try:
        return multiplier.quantize_multiplier(factor, rescaling.form)
    except ValueError as error:
        raise BadQuantization(
            f"{node.where()}: its scales combine to {factor:.6g}; {error}. Requantize the model."
        ) from error


def requantization_table(
    node: Node, numerics: Numerics, x: QuantParams, y: QuantParams, clamp: Clamp, rule: Rule | None = None
) -> np.ndarray:
    """From the parameters of x to those of y, as the profile requantizes values; `rule` instead of its own."""
    if numerics.requantize in ("float", "float_by_8"):
        return table(lambda v: v, x, y, clamp, numerics)
    if (x.scale, x.zero_point) == (y.scale, y.zero_point):
        return integer_table(lambda v: v + x.zero_point[0], x, y, clamp)
    if numerics.requantize == "eight_bits":
        short = eight_bits(np.float32(x.scale[0]) / np.float32(y.scale[0]))
        return integer_table(lambda v: short(v) + y.zero_point[0], x, y, clamp)
    rescaling = numerics.rescale if rule is None else Rescaling(rule)
    function = rescaled(node, rescaling, float(x.scale[0]) / float(y.scale[0]))
    return integer_table(lambda v: function(v) + y.zero_point[0], x, y, clamp)
