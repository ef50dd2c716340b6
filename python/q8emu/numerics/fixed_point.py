# SPDX-License-Identifier: Apache-2.0
"""Functions on int32 fixed-point values, operation by operation as TFLite's reference Softmax, Logistic and Tanh.

Qn.m: n integer bits and m fraction bits, n + m = 31. The exponentials, Logistic and Tanh become tables of 256 entries
when a model is lowered; the softmax step divides with `one_over_one_plus` at run time. Integers only.

Source: google/gemmlowp fixedpoint/fixedpoint.h; google-ai-edge/LiteRT tflite/kernels/internal/reference/softmax.h.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from q8emu.numerics.multiplier import RULES, doubling_high_mul, quantize_multiplier
from q8emu.numerics.rounding import half_away
from q8emu.numerics.spec import clamp, wrap32

INT32_MAX = 2**31 - 1


def scaled(value: int, exponent: int) -> int:
    """value * 2^exponent: to the left saturating, to the right half_away."""
    if exponent > 0:
        return clamp(value << exponent, -(2**31), INT32_MAX)
    return half_away(value, -exponent)


def exp_near_zero(a: int) -> int:
    """exp(a) in Q0.31 for a Q0.31 in [-1/4, 0): a polynomial around -1/8."""
    constant, third = 1895147668, 715827883  # exp(-1/8), 1/3
    x = a + (1 << 28)
    x2 = doubling_high_mul(x, x)
    x3, x4 = doubling_high_mul(x2, x), doubling_high_mul(x2, x2)
    tail = scaled(doubling_high_mul(scaled(x4, -2) + x3, third) + x2, -1)
    return wrap32(constant + doubling_high_mul(constant, wrap32(x + tail)))


def exp_of_negative(a: int, integer_bits: int) -> int:
    """exp(a) in Q0.31 for a <= 0 with this many integer bits: a quarter of one at a time, then powers of e."""
    if a == 0:
        return INT32_MAX
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    rest = (a & (quarter - 1)) - quarter
    result = exp_near_zero(scaled(rest, integer_bits))
    remainder = rest - a
    powers = (1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242)  # exp(-2^k), k from -2
    for k, power in enumerate(powers, -2):
        if integer_bits > k and remainder & (1 << (fraction_bits + k)):
            result = doubling_high_mul(result, power)
    if integer_bits > 5 and a < -(1 << (36 - integer_bits)):
        return 0
    return result


def _reciprocal(a: int) -> int:
    """2 / (1 + a) in Q2.29 for a Q0.31 in [0, 1]: three Newton steps."""
    total = a + INT32_MAX
    half = (total + 1) // 2 if total >= 0 else -((1 - total) // 2)
    x = wrap32(1515870810 + doubling_high_mul(half, -1010580540))  # 48/17 - 32/17 half
    for _ in range(3):
        x = wrap32(x + scaled(doubling_high_mul(x, wrap32((1 << 29) - doubling_high_mul(half, x))), 2))
    return x


def one_over_one_plus(a: int) -> int:
    """1 / (1 + a) in Q0.31 for a Q0.31 in [0, 1)."""
    return scaled(_reciprocal(a), 1)


def logistic(a: int) -> int:
    """1 / (1 + exp(-a)) in Q0.31 for a Q4.27.

    Example:
        >>> logistic(0) == 1 << 30, logistic(1 << 27) / 2**31
        (True, 0.7310585239902139)
    """
    if a == 0:
        return 1 << 30
    positive = one_over_one_plus(exp_of_negative(-abs(a), 4))
    return positive if a > 0 else INT32_MAX - positive


def tanh(a: int) -> int:
    """Hyperbolic tangent in Q0.31 of a Q4.27: with e = exp(-2 |a|), (1 - e) / (1 + e).

    Example:
        >>> tanh(0), tanh(-(1 << 27)) / 2**31
        (0, -0.7615940999239683)
    """
    if a == 0:
        return 0
    magnitude = scaled(_reciprocal(exp_of_negative(-abs(a), 5)) - (1 << 29), 2)
    return magnitude if a > 0 else -magnitude


def radius(integer_bits: int, left_shift: int) -> int:
    """The least difference of quantized values whose rescaled value leaves the range of Q(integer_bits)."""
    return (((1 << integer_bits) - 1) << (31 - integer_bits)) >> left_shift


def softmax_table(x_scale: float) -> list[int]:
    """exp(x_scale * (i - 255)) in Q0.31 for i of 0..255, 0 where the reference kernel leaves the term out.

    Args:
        x_scale: of the input, times beta.
    """
    multiplier, shift = quantize_multiplier(min(x_scale * 2**26, float(INT32_MAX)))
    least = -radius(5, 31 - shift) if shift < 31 else -(2**31)
    table = []
    for difference in range(-255, 1):
        argument = RULES["double_rounding"](difference, multiplier, shift)
        table.append(exp_of_negative(argument, 5) if difference >= least else 0)
    return table


def at_scale(function: Callable[[int], int], x_scale: float, fraction_bits: int) -> Callable[[int], int]:
    """d -> half_away(function(x_scale * d) * 2^fraction_bits), and beyond Q4.27 the least or the greatest int32.

    Args:
        function: `logistic` or `tanh`.
        x_scale: of the input, 2^-26 or more.
        fraction_bits: of the output.

    Source: google-ai-edge/LiteRT tflite/kernels/internal/reference/integer_ops/{logistic,tanh}.h.
    """
    factor = x_scale * 2**27
    multiplier, shift = quantize_multiplier(min(factor, 2.0**30 - 1))  # from 2^30 on the radius is 0
    limit = radius(4, math.frexp(factor)[1])

    def apply(difference: int) -> int:
        if abs(difference) >= limit:
            return INT32_MAX if difference > 0 else -INT32_MAX
        return half_away(function(RULES["double_rounding"](difference, multiplier, shift)), 31 - fraction_bits)

    return apply
