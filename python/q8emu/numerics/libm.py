# SPDX-License-Identifier: Apache-2.0
"""tanh in float32, operation by operation as the C library of Linux on x86-64 computes it: glibc up to 2.40.

LiteRT fills its tables with the functions of the system's C library. tanhf goes through expm1f; a quarter of its
results are not the nearest float32, which newer versions of glibc give. expf is the nearest one in either.

Source: glibc sysdeps/ieee754/flt-32/{s_expm1f.c,s_tanhf.c}; confirmed by running glibc 2.36.
"""

from __future__ import annotations

import numpy as np

F32 = np.float32
LN2_HIGH, LN2_LOW, LN2_INVERSE = F32(6.9313812256e-01), F32(9.0580006145e-06), F32(1.4426950216)
HALF_LN2 = np.uint32(0x3EB17218)  # bit patterns of positive numbers compare as the numbers do
THREE_HALVES_LN2 = np.uint32(0x3F851592)
COEFFICIENTS = tuple(map(F32, (-2.0109921195e-07, 4.0082177293e-06, -7.9365076090e-05, 1.5873016091e-03)))
COEFFICIENT_1 = F32(-3.3333335072e-02)
SATURATED = F32(22)  # from here on tanh is 1


def tanh(x: np.ndarray) -> np.ndarray:
    """1 - 2 / (e^2|x| + 1) from 1 on, below that -m / (m + 2) with m = e^-2|x| - 1; the sign is that of x."""
    size = np.minimum(np.abs(x), SATURATED)
    is_large = size >= 1
    m = expm1(np.where(is_large, F32(2) * size, F32(-2) * size).astype(F32))
    value = np.where(is_large, F32(1) - F32(2) / (m + F32(2)), -m / (m + F32(2)))
    return np.asarray(np.copysign(np.where(size >= SATURATED, F32(1), value), x), F32)


def expm1(x: np.ndarray) -> np.ndarray:
    """e^x - 1 for |x| up to 44: x = k ln 2 + r, a rational function of r, then 2^k."""
    k, r, lost = _reduced(x)
    half = F32(0.5) * r
    square = r * half
    polynomial = np.full_like(square, COEFFICIENTS[0])
    for coefficient in (*COEFFICIENTS[1:], COEFFICIENT_1):
        polynomial = coefficient + square * polynomial
    first = F32(1) + square * polynomial
    error = square * ((first - (F32(3) - first * half)) / (F32(6) - r * (F32(3) - first * half)))
    near = r - (r * error - square)
    rest = (r * (error - lost) - lost) - square
    power, inverse = (np.ldexp(F32(1), sign * k.astype(np.int32)).astype(F32) for sign in (1, -1))
    results = {
        "k = 0": near,
        "k = -1": F32(0.5) * (r - rest) - F32(0.5),
        "k = 1": np.where(r < F32(-0.25), F32(-2) * (rest - (r + F32(0.5))), F32(1) + F32(2) * (r - rest)),
        "k < -1, k > 56": (F32(1) - (rest - r)) * power - F32(1),
        "k < 23": ((F32(1) - inverse) - (rest - r)) * power,
    }
    cases = [k == 0, k == -1, k == 1, (k <= -2) | (k > 56), k < 23]
    last = ((r - (rest + inverse)) + F32(1)) * power
    return np.asarray(np.select(cases, list(results.values()), last), F32)


def _reduced(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """k, r = x - k ln 2, and what the rounding of r lost."""
    bits = np.abs(x).view(np.uint32)
    away = (LN2_INVERSE * x + np.where(x < 0, F32(-0.5), F32(0.5)).astype(F32)).astype(F32)
    k = np.where(bits < THREE_HALVES_LN2, np.sign(x), np.trunc(away))
    k = np.where(bits > HALF_LN2, k, F32(0)).astype(F32)
    high, low = x - k * LN2_HIGH, k * LN2_LOW
    r = high - low
    return k, np.where(k == 0, x, r), np.where(k == 0, F32(0), (high - r) - low)
