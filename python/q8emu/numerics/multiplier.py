# SPDX-License-Identifier: Apache-2.0
"""Requantization without a float32 scale: by a multiplier and a shift, and by a binary64 factor.

A real factor stands as multiplier * 2^-shift with a total right shift; TFLite counts its shift the other way, to the
left and from 31. The rules below differ at ties and next to them only, which is where implementations disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from q8emu.numerics.spec import clamp, half_away, half_up, wrap32

MAX_SHIFT, MIN_SHIFT = 62, 1


def quantize_multiplier(real: float) -> tuple[int, int]:
    """The multiplier in [2^30, 2^31) and the total right shift that stand for a factor.

    multiplier = half_away(fraction * 2^31) with real = fraction * 2^exponent and fraction in [0.5, 1); factors below
    2^-32 become (0, 31).

    Args:
        real: not negative, finite.

    Raises:
        OverflowError: the factor needs a shift below MIN_SHIFT.

    Source: google-ai-edge/LiteRT tflite/kernels/internal/quantization_util.cc (QuantizeMultiplier).

    Example:
        >>> quantize_multiplier(0.5), quantize_multiplier(3.0)
        ((1073741824, 31), (1610612736, 29))
    """
    fraction, exponent = math.frexp(real)
    multiplier = int(Fraction(fraction) * 2**31 + Fraction(1, 2))  # positive: half away is half up, int() is floor
    if multiplier == 2**31:
        multiplier, exponent = 2**30, exponent + 1
    if exponent < -31 or multiplier == 0:
        return 0, 31
    if 31 - exponent < MIN_SHIFT:
        raise OverflowError(f"{real} is too large for a multiplier and a right shift")
    return multiplier, 31 - exponent


def doubling_high_mul(a: int, b: int) -> int:
    """half_up(a * b / 2^31), the one product beyond int32 saturated.

    Example:
        >>> doubling_high_mul(-3, 2**30), doubling_high_mul(-(2**31), -(2**31))
        (-1, 2147483647)
    """
    return min(half_up(a * b, 31), 2**31 - 1)


def double_rounding(acc: int, multiplier: int, shift: int) -> int:
    """Two stages: half_up at bit 31, then half_away at the rest of the shift. A left shift before them wraps.

    Source: google/gemmlowp fixedpoint/fixedpoint.h; LiteRT tflite/kernels/internal/common.cc.

    Example:
        >>> double_rounding(-1000, 2**30, 34), double_rounding(7, 2**30, 34)
        (-63, 1)
    """
    return half_away(doubling_high_mul(_shifted(acc, shift), multiplier), max(shift - 31, 0))


def ruy_x86(acc: int, multiplier: int, shift: int) -> int:
    """Two stages, half_up both. A left shift before them wraps.

    Source: google/ruy ruy/kernel_avx2_fma.cc, kernel_avx512.cc.

    Example:
        >>> ruy_x86(-1000, 2**30, 34)
        -62
    """
    return half_up(wrap32(half_up(_shifted(acc, shift) * multiplier, 31)), max(shift - 31, 0))


def single_rounding(acc: int, multiplier: int, shift: int) -> int:
    """One half_up of the whole product; the result wraps.

    Source: google/ruy ruy/apply_multiplier.cc; TOSA apply_scale_32 without double_round.

    Example:
        >>> single_rounding(-1000, 2**30, 34), single_rounding(7, 2**30, 34)
        (-62, 0)
    """
    return wrap32(half_up(acc * multiplier, shift))


def _shifted(acc: int, shift: int) -> int:
    return wrap32(acc << max(31 - shift, 0))


RULES: dict[str, Callable[[int, int, int], int]] = {
    "double_rounding": double_rounding,
    "ruy_x86": ruy_x86,
    "single_rounding": single_rounding,
}


REQUANTIZE = ("float32", *RULES, "float64")
"""What the values of the step parameter `requantize` mean."""


def requantize(acc: int, rule: str, multiplier: int, shift: int, zero_point: int, bounds: tuple[int, int]) -> int:
    """Turn an accumulator into a quantized value: y = clamp(wrap32(rule(acc) + zero_point), qmin, qmax).

    Args:
        acc: int32.
        rule: one of RULES.
        multiplier: in [0, 2^31).
        shift: total right shift, 1 to 62.
        zero_point: of the output.
        bounds: (qmin, qmax) within the range of the output dtype.

    Example:
        >>> requantize(-1000, "double_rounding", 2**30, 34, 10, (-128, 127))
        -53
    """
    return clamp(wrap32(RULES[rule](acc, multiplier, shift) + zero_point), *bounds)


def requantize_float64(acc: int, factor: float, zero_point: int, bounds: tuple[int, int]) -> int:
    """As requantize, with q = half_away(f64(acc * factor)) for a binary64 factor; beyond int32, q = -2^31.

    Source: google-ai-edge/LiteRT tflite/kernels/internal/reference/integer_ops/fully_connected.h.

    Example:
        >>> requantize_float64(-5, 0.5, 1, (-128, 127))
        -2
    """
    product = Fraction(float(Fraction(acc) * Fraction(factor)))  # of a Fraction: nearest, ties to even
    q = math.floor(abs(product) + Fraction(1, 2))
    q = -q if product < 0 else q
    q = q if -(2**31) <= q < 2**31 else -(2**31)
    return clamp(wrap32(q + zero_point), *bounds)


def f64_bits(values: np.ndarray) -> np.ndarray:
    """float64 array to the bit patterns (int64) that a step carries."""
    return np.atleast_1d(np.asarray(values, np.float64)).view(np.int64).copy()
