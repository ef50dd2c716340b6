# SPDX-License-Identifier: Apache-2.0
"""Requantization without a float32 scale: by a multiplier and a shift, and by a binary64 factor.

A real factor stands as multiplier * 2^-shift with a total right shift; TFLite counts its shift the other way, to the
left and from 31. A power of two is the multiplier 1. The rules differ at ties and next to them only, which is where
implementations disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import partial

import numpy as np

from q8emu.numerics.rounding import ROUNDINGS, half_up
from q8emu.numerics.spec import clamp, f32_bits, wrap32
from q8emu.numerics.spec import requantize as requantize_float32

MAX_SHIFT, MIN_SHIFT = 62, 1


@dataclass(frozen=True)
class Rule:
    """What becomes of the product of an accumulator and a multiplier: one stage of rounding, or two.

    One stage: beyond(rounding(acc * multiplier, shift)), where a shift below zero shifts left.
    Two: rounding(beyond(first_rounding(beyond(acc * 2^left) * multiplier, first_shift)), rest) with
    left = max(first_shift - shift, 0) and rest = max(shift - first_shift, 0).

    Attributes:
        rounding: of the only or last stage, one of `ROUNDINGS`.
        first_shift: bits that the first stage takes away, 1 to 31; 0: there is one stage.
        first_rounding: of the first stage.
        beyond: "wrap" or "saturate": what happens to intermediate values beyond int32.
    """

    rounding: str
    first_shift: int = 0
    first_rounding: str = "half_up"
    beyond: str = "wrap"

    def __call__(self, acc: int, multiplier: int, shift: int) -> int:
        """The accumulator times multiplier * 2^-shift.

        Args:
            acc: int32.
            multiplier: in [0, 2^31); multiplier * 2^-shift is at most 2^31.
            shift: total right shift, -31 to 62, at least first_shift - 31.

        Example:
            >>> [RULES[name](-1000, 2**30, 34) for name in ("double_rounding", "ruy_x86", "single_rounding")]
            [-63, -62, -62]
        """
        limit = _saturate32 if self.beyond == "saturate" else wrap32
        last = ROUNDINGS[self.rounding]
        if self.first_shift == 0:
            return limit(last(acc * multiplier << max(-shift, 0), max(shift, 0)))
        shifted = limit(acc << max(self.first_shift - shift, 0))
        high = limit(ROUNDINGS[self.first_rounding](shifted * multiplier, self.first_shift))
        return last(high, max(shift - self.first_shift, 0))


def _saturate32(value: int) -> int:
    return clamp(value, -(2**31), 2**31 - 1)


RULES: dict[str, Rule] = {
    "double_rounding": Rule("half_away", 31),
    "ruy_x86": Rule("half_up", 31),
    "single_rounding": Rule("half_up"),
}
"""The rules that have a name and kernels of their own.

Source: google/gemmlowp fixedpoint/fixedpoint.h and LiteRT tflite/kernels/internal/common.cc; google/ruy
ruy/kernel_avx2_fma.cc, kernel_avx512.cc; google/ruy ruy/apply_multiplier.cc and TOSA apply_scale_32.
"""

REQUANTIZE = ("float32", *RULES, "float64", "staged", "converted")
"""What the values of the step parameter `requantize` mean; "staged" is any Rule, given by parameters of its own."""


@dataclass(frozen=True)
class Form:
    """How a real factor becomes a multiplier and a total right shift.

    Attributes:
        bits: width of the signed multiplier, 8 to 32; it lies in [2^(bits - 2), 2^(bits - 1)). 0: a power of two, the
            multiplier is 1.
        fraction_bits: 0: the shift follows the factor; else the shift of every factor, whose multiplier is not
            normalized.
        mantissa: "half_away", "half_even" or "floor": how the factor is rounded to the bits of the multiplier.
        carry: what becomes of a mantissa that rounds up to 2^(bits - 1): "renormalize" or "saturate".
        snap: a factor that has to be a power of two and is not: "refuse" it, or take the "nearest" one by ratio.
    """

    bits: int = 32
    fraction_bits: int = 0
    mantissa: str = "half_away"
    carry: str = "renormalize"
    snap: str = "refuse"


TFLITE_FORM = Form()


def quantize_multiplier(real: float, form: Form = TFLITE_FORM) -> tuple[int, int]:
    """The multiplier and the total right shift that stand for a factor.

    multiplier = mantissa(fraction * 2^(bits - 1)) with real = fraction * 2^exponent and fraction in [0.5, 1); factors
    below 2^-32 become (0, bits - 1). With fraction_bits: multiplier = mantissa(real * 2^fraction_bits), which may be 0.

    Args:
        real: not negative, finite.
        form: without it, that of TFLite: 32 bits, half_away.

    Raises:
        ValueError: the form cannot hold the factor; says why.

    Source: google-ai-edge/LiteRT tflite/kernels/internal/quantization_util.cc (QuantizeMultiplier).

    Example:
        >>> quantize_multiplier(0.5), quantize_multiplier(3.0), quantize_multiplier(0.3, Form(16))
        ((1073741824, 31), (1610612736, 29), (19661, 16))
    """
    if form.bits == 0:
        return _power_of_two(real, form)
    top = 2 ** (form.bits - 1)
    if form.fraction_bits:
        fixed = _mantissa(real, form.fraction_bits, form)
        if fixed >= top:
            raise ValueError(f"expected less than {top / 2**form.fraction_bits:g} ({form.bits} bits)")
        return fixed, form.fraction_bits
    fraction, exponent = math.frexp(real)
    multiplier = _mantissa(fraction, form.bits - 1, form)
    if multiplier == top:
        multiplier, exponent = (top - 1, exponent) if form.carry == "saturate" else (top // 2, exponent + 1)
    if exponent < -31 or multiplier == 0:
        return 0, form.bits - 1
    if exponent > 31 - MIN_SHIFT:
        raise ValueError("expected less than 2^30")
    return multiplier, form.bits - 1 - exponent


def _mantissa(real: float, power: int, form: Form) -> int:
    """mantissa(real * 2^power): a float is an integer over a power of two."""
    numerator, denominator = real.as_integer_ratio()
    shift = denominator.bit_length() - 1 - power
    return ROUNDINGS[form.mantissa](numerator << max(-shift, 0), max(shift, 0))


def _power_of_two(real: float, form: Form) -> tuple[int, int]:
    fraction, exponent = math.frexp(real)
    if fraction != 0.5 and form.snap == "refuse":
        raise ValueError('expected a power of two (snap = "nearest" takes the nearest one)')
    power = exponent if fraction != 0.5 and Fraction(fraction) ** 2 >= Fraction(1, 2) else exponent - 1
    if real == 0 or power >= 31 - MIN_SHIFT:
        raise ValueError("expected a power of two below 2^30")
    return 1, min(-power, MAX_SHIFT)


@dataclass(frozen=True)
class Rescaling:
    """Integers times real factors: how a factor becomes integers, and what is done with them.

    Attributes:
        rule: what is done with the product.
        form: how the factor becomes a multiplier and a shift.
        in_float32: both become one binary32 scale, f32(multiplier) * 2^-shift, and the rule is half_even of
            f32(f32(acc) * scale).
    """

    rule: Rule
    form: Form = TFLITE_FORM
    in_float32: bool = False

    def by(self, factor: float) -> Callable[[int], int]:
        """The function that multiplies an integer by the factor.

        Raises:
            ValueError: the form cannot hold the factor; says why.
        """
        return partial(self.apply, *quantize_multiplier(factor, self.form))

    def apply(self, multiplier: int, shift: int, value: int) -> int:
        """An int32 value times multiplier * 2^-shift.

        Example:
            >>> [Rescaling(Rule("half_even"), in_float32=f).apply(2**30 + 1, 31, 1) for f in (False, True)]
            [1, 0]
        """
        if not self.in_float32:
            return self.rule(value, multiplier, shift)
        wide = (-(2**31), 2**31 - 1)
        return requantize_float32(value, float32_bits(multiplier, shift), 0, wide, wide)


def float32_bits(multiplier: int, shift: int) -> int:
    """The bits of f32(multiplier) * 2^-shift; 2^-62 for a multiplier of 0, which gives 0 for every int32.

    Example:
        >>> hex(float32_bits(2**30 + 1, 30))
        '0x3f800000'
    """
    return f32_bits(np.ldexp(np.float32(multiplier), -shift) if multiplier else np.float32(2.0**-62))


def doubling_high_mul(a: int, b: int) -> int:
    """half_up(a * b / 2^31), the one product beyond int32 saturated.

    Example:
        >>> doubling_high_mul(-3, 2**30), doubling_high_mul(-(2**31), -(2**31))
        (-1, 2147483647)
    """
    return min(half_up(a * b, 31), 2**31 - 1)


def requantize(acc: int, rule: Rule, multiplier: int, shift: int, zero_point: int, bounds: tuple[int, int]) -> int:
    """Turn an accumulator into a quantized value: y = clamp(wrap32(rule(acc) + zero_point), qmin, qmax).

    The sum does not wrap under a rule that saturates.

    Args:
        acc: int32.
        rule: what is done with the product.
        multiplier: in [0, 2^31).
        shift: total right shift, -31 to 62.
        zero_point: of the output.
        bounds: (qmin, qmax) within the range of the output dtype.

    Example:
        >>> requantize(-1000, RULES["double_rounding"], 2**30, 34, 10, (-128, 127))
        -53
    """
    q = rule(acc, multiplier, shift) + zero_point
    return clamp(q if rule.beyond == "saturate" else wrap32(q), *bounds)


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
