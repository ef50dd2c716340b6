# SPDX-License-Identifier: Apache-2.0
"""The definition of quantize, dequantize and requantize by a float32 scale: on Python integers and exact fractions.

Slow and normative: the C++ kernels are held to these functions bit for bit. A binary32 number is an integer significand
and an exponent here; nothing in this file relies on the floating point of the machine, except to carry results.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from q8emu.numerics.rounding import half_even

SIGNIFICAND_BITS = 24
MIN_EXPONENT = -149  # of the least significant bit of a binary32 number

Values = np.ndarray | np.generic


def wrap32(value: int) -> int:
    """Value modulo 2^32 in two's complement.

    Example:
        >>> wrap32(2**31)
        -2147483648
    """
    return ((value + 2**31) & 0xFFFFFFFF) - 2**31


def clamp(value: int, low: int, high: int) -> int:
    """Value limited to [low, high]."""
    return min(max(value, low), high)


def f32_bits(value: float | np.floating) -> int:
    """Bit pattern of a binary32 number.

    Example:
        >>> hex(f32_bits(1.0))
        '0x3f800000'
    """
    return int(np.float32(value).view(np.uint32))


F32_ONE = f32_bits(1.0)


def f32_from_bits(bits: int) -> np.float32:
    """The binary32 number with this bit pattern."""
    return np.uint32(bits).view(np.float32)


def split(bits: int) -> tuple[int, int]:
    """A finite binary32 number as (significand, exponent): the value is significand * 2^exponent, exactly.

    Example:
        >>> split(f32_bits(-1.5))
        (-12582912, -23)
    """
    fraction, biased = bits & 0x7FFFFF, (bits >> 23) & 0xFF
    significand = fraction if biased == 0 else fraction | 0x800000
    return (-significand if bits >> 31 else significand), max(biased, 1) - 150


def round_significand(value: int) -> tuple[int, int]:
    """An integer rounded to 24 significant bits, ties to even, as (significand, exponent)."""
    excess = max(abs(value).bit_length() - SIGNIFICAND_BITS, 0)
    return half_even(value, excess), excess


def f32(value: Fraction | int) -> np.float32:
    """The binary32 number nearest to an exact value, ties to even; beyond the range, infinity.

    Example:
        >>> float(f32(2**24 + 1)), float(f32(Fraction(1, 3)))
        (16777216.0, 0.3333333432674408)
    """
    value = Fraction(value)
    if value == 0:
        return np.float32(0)
    exponent = abs(value.numerator).bit_length() - value.denominator.bit_length() - SIGNIFICAND_BITS
    for candidate in (exponent, exponent + 1):  # the estimate is exact or one too small
        e = max(candidate, MIN_EXPONENT)
        scaled = value * Fraction(2) ** -e
        significand = round(scaled)  # of a Fraction: nearest, ties to even
        if abs(significand) <= 1 << SIGNIFICAND_BITS:
            break
    with np.errstate(over="ignore"):
        return np.float32(np.ldexp(np.float64(significand), e))


def fma(a: float | np.floating, b: float | np.floating, c: float | np.floating) -> np.float32:
    """A * b + c with one rounding to binary32.

    Args:
        a: finite binary32 number, as are b and c.
        b: see a.
        c: see a.

    Example:
        >>> float(fma(np.float32(0.1), np.float32(10), np.float32(-1)))
        1.4901161193847656e-08
    """
    return f32(Fraction(float(a)) * Fraction(float(b)) + Fraction(float(c)))


def fma_array(a: Values, b: Values, c: Values) -> np.ndarray:
    """`fma` of binary32 arrays that broadcast: a product exact in binary64, its sum with c rounded to odd, then to f32.

    Example:
        >>> fma_array(np.float32([0.1]), np.float32(10), np.float32(-1)).tolist()
        [1.4901161193847656e-08]
    """
    with np.errstate(over="ignore", invalid="ignore"):
        product, addend = np.float64(a) * np.float64(b), np.float64(c)
        total = np.asarray(product + addend)
        part = total - product
        error = (product - (total - part)) + (addend - part)  # exact: what the sum lost
        even = (total.view(np.int64) & 1) == 0
        inexact = np.isfinite(total) & (error != 0) & even
        odd = np.where(inexact, np.nextafter(total, np.copysign(np.inf, error)), total)
        result: np.ndarray = odd.astype(np.float32)
    return result


def requantize(acc: int, scale_bits: int, zero_point: int, limits: tuple[int, int], bounds: tuple[int, int]) -> int:
    """Turn an accumulator into a quantized value under a float32 scale.

    v = f32(f32(acc) * scale);  q = half_even(clamp(v, dmin - zp, dmax - zp)) + zp;  y = clamp(q, qmin, qmax)

    Args:
        acc: int32.
        scale_bits: bit pattern of a positive finite binary32 number.
        zero_point: of the output, within limits.
        limits: (dmin, dmax) of the output dtype.
        bounds: (qmin, qmax) of the fused activation, within limits.

    Source: ONNX Runtime, core/mlas/lib/quantize.cpp (MlasRequantizeOutput), confirmed against its binaries.

    Example:
        >>> requantize(-3, f32_bits(0.5), 10, (-128, 127), (-128, 127))
        8
    """
    acc_significand, acc_exponent = round_significand(acc)
    scale_significand, scale_exponent = split(scale_bits)
    product, excess = round_significand(acc_significand * scale_significand)
    q = half_even(product, -(acc_exponent + scale_exponent + excess))
    q = clamp(q, limits[0] - zero_point, limits[1] - zero_point) + zero_point
    return clamp(q, *bounds)


def requantize_converted(
    acc: int, bias_bits: int, scale_bits: int, zero_point: int, bounds: tuple[int, int], bias_scale_bits: int = F32_ONE
) -> int:
    """Turn an accumulator into a quantized value under a float32 scale and bias, with x86-64's conversion to int32.

    v = f32(fma(bias, bias_scale, f32(acc)) * scale);  q = half_even(v), -2^31 where v is not below 2^31;
    y = clamp(q + zp, qmin, qmax)

    Args:
        acc: int32.
        bias_bits: bit pattern of a finite binary32 number.
        scale_bits: bit pattern of a positive finite binary32 number.
        zero_point: of the output, within its dtype.
        bounds: (qmin, qmax) of the fused activation.
        bias_scale_bits: as scale_bits, by default of 1.

    Source: pytorch/FBGEMM src/QuantUtilsAvx2.cc, confirmed against PyTorch's binaries.

    Example:
        >>> requantize_converted(-3, f32_bits(0.0), f32_bits(0.5), 10, (0, 255))
        8
    """
    significand, exponent = round_significand(acc)
    bias = Fraction(float(f32_from_bits(bias_bits))) * Fraction(float(f32_from_bits(bias_scale_bits)))
    total = f32(Fraction(significand) * 2**exponent + bias)
    if not np.isfinite(total):
        return bounds[0]
    v = f32(Fraction(float(total)) * Fraction(float(f32_from_bits(scale_bits))))
    q = round(Fraction(float(v))) if v < 2**31 and np.isfinite(v) else -(2**31)  # of a Fraction: ties to even
    return clamp(q + zero_point, *bounds)


def limits(dtype: str) -> tuple[int, int]:
    """Least and greatest value of an integer dtype.

    Example:
        >>> limits("uint8")
        (0, 255)
    """
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


DIVISION = ("half_away", "toward_zero")
"""What the values of the step parameter `division` mean."""


QUANTIZE = ("half_even", "half_away", "half_even_reciprocal", "half_away_float64", "half_even_fused", "half_even_added")
"""What the values of the step parameter `rounding` mean."""


def quantize(x: np.ndarray, scale: Values, zero_point: Values, dtype: str, rounding: str = "half_even") -> np.ndarray:
    """Turn real values into quantized ones.

    v = f32(x / scale), NaN to the least value;  y = rounding(clamp(v, dmin - zp, dmax - zp)) + zp

    Args:
        x: float32, any shape.
        scale: float32, broadcasts against x.
        zero_point: int32, broadcasts against x.
        dtype: int8 or uint8.
        rounding: half_even; half_away; half_even_reciprocal: v = f32(x * f32(1 / scale)), ties to even;
            half_away_float64: v = f64(x / scale), ties away from zero; half_even_fused: y = half_even of fma(x,
            f32(1 / scale), zp), limited to [dmin, dmax], NaN to the least value; half_even_added: likewise of
            f32(f32(x * f32(1 / scale)) + zp).

    Source: ONNX QuantizeLinear; ONNX Runtime, core/mlas/lib/quantize.cpp.

    Example:
        >>> quantize(np.float32([-0.5, 0.5, 1.5]), np.float32(1), np.int32(1), "int8")
        array([1, 1, 3], dtype=int8)
        >>> near_a_tie = np.float32([3.2843945]) - np.float32(0.8394187), np.float32(0.37615034), np.int32(117), "uint8"
        >>> [int(quantize(*near_a_tie, rounding)[0]) for rounding in ("half_even_fused", "half_even_added")]
        [123, 124]
    """
    low, high = limits(dtype)
    bottom, top = (np.float32(low) - np.float32(zero_point)), (np.float32(high) - np.float32(zero_point))
    v: np.ndarray
    with np.errstate(over="ignore", invalid="ignore"):
        if rounding in ("half_even_fused", "half_even_added"):
            reciprocal, added = np.float32(1) / np.float32(scale), np.float32(zero_point)
            inside = fma_array(x, reciprocal, added) if rounding == "half_even_fused" else x * reciprocal + added
            limited = np.where(np.isnan(inside), low, np.clip(inside, np.float32(low), np.float32(high)))
            return np.rint(limited).astype(dtype)
        if rounding == "half_even_reciprocal":
            v = (x * (np.float32(1) / np.float32(scale))).astype(np.float32)
        elif rounding == "half_away_float64":
            v = x.astype(np.float64) / np.float64(scale)
        else:
            v = (x / np.float32(scale)).astype(np.float32)
    v = np.where(np.isnan(v), bottom, np.minimum(np.maximum(v, bottom), top))
    nearest = half_away_real(v) if rounding.startswith("half_away") else np.rint(v).astype(np.int64)
    return (nearest + np.int64(zero_point)).astype(dtype)


def half_away_real(v: np.ndarray) -> np.ndarray:
    """Real values, of magnitude 2^30 or less, to the nearest int64, ties away from zero.

    Example:
        >>> half_away_real(np.float32([-1.5, -0.5, 0.49999997, 2.5]))
        array([-2, -1,  0,  3])
    """
    whole = np.floor(np.abs(v))
    signed: np.ndarray = np.copysign(whole + (np.abs(v) - whole >= 0.5), v)  # the difference is exact
    return signed.astype(np.int64)


def dequantize(x: np.ndarray, scale: Values, zero_point: Values) -> np.ndarray:
    """Turn quantized values into real ones: y = f32(f32(x - zero_point) * scale), the difference wraps in int32.

    Args:
        x: int8, uint8 or int32, any shape.
        scale: float32, broadcasts against x.
        zero_point: int32, broadcasts against x.

    Example:
        >>> dequantize(np.int8([-128, 127]), np.float32(0.5), np.int32(-128))
        array([  0. , 127.5], dtype=float32)
    """
    difference = (x.astype(np.int64) - np.int64(zero_point)).astype(np.int32)
    with np.errstate(over="ignore"):
        return (difference.astype(np.float32) * np.float32(scale)).astype(np.float32)
