# SPDX-License-Identifier: Apache-2.0
"""Unary functions in float32, operation by operation as ONNX Runtime's x86-64 kernels compute them, and as LiteRT does.

An int8 operator with one operand is a table of 256 entries: Q(f(DQ(x))). These are the f; each takes and returns
float32 arrays and rounds after every operation unless it says fma.

Source: microsoft/onnxruntime core/mlas/lib/{logistic,tanh}.cpp, core/providers/cpu/activation; confirmed by running.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from q8emu.numerics import libm
from q8emu.numerics.spec import fma_array

F32 = np.float32

# Rational approximations, highest power first: x * P(x^2) / Q(x^2).
LOGISTIC_P = (
    4.37031012579801e-11,
    1.15627324459942e-07,
    6.08574864600143e-05,
    8.51377133304701e-03,
    2.48287947061529e-01,
)
LOGISTIC_Q = (
    6.10247389755681e-13,
    5.76102136993427e-09,
    6.29106785017040e-06,
    1.70198817374094e-03,
    1.16817656904453e-01,
    9.93151921023180e-01,
)
TANH_P = (
    -2.76076847742355e-16,
    2.00018790482477e-13,
    -8.60467152213735e-11,
    5.12229709037114e-08,
    1.48572235717979e-05,
    6.37261928875436e-04,
    4.89352455891786e-03,
)
TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)


def _horner(x: np.ndarray, coefficients: tuple[float, ...]) -> np.ndarray:
    """Polynomial with one fma per step."""
    total = np.full_like(x, F32(coefficients[0]))
    for coefficient in coefficients[1:]:
        total = fma_array(total, x, F32(coefficient))
    return total


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), as a rational function of x clamped to [-18, 18]."""
    x = np.clip(x, F32(-18), F32(18))
    square = x * x
    ratio = (_horner(square, LOGISTIC_P) * x) / _horner(square, LOGISTIC_Q)
    return np.asarray(np.maximum(ratio + F32(0.5), F32(0)), F32)


def tanh(x: np.ndarray) -> np.ndarray:
    """Hyperbolic tangent, as a rational function of x clamped to [-9, 9]."""
    x = np.clip(x, F32(-9), F32(9))
    square = x * x
    return np.asarray((_horner(square, TANH_P) * x) / _horner(square, TANH_Q), F32)


EXP_LOWEST, EXP_MAGIC, EXP_PER_LN2 = F32(-88.3762626647949), F32(1.5 * 2**23), F32(1.44269504088896341)
EXP_LN2 = F32(-6.93145752e-1), F32(-1.42860677e-6)  # less ln 2, in two parts
EXP_P = tuple(map(float.fromhex, "0x1.694p-10 0x1.125edcp-7 0x1.555b5ap-5 0x1.55545p-3 0x1.fffff6p-2 1 1".split()))


def exp_below_zero(x: np.ndarray) -> np.ndarray:
    """exp(x) for x up to 0, as Softmax sums it: 2^m p(x - m ln 2) with m = half_even(x / ln 2).

    Source: microsoft/onnxruntime core/mlas/lib/x86_64/TransKernelFma3.S; confirmed by running.

    Example:
        >>> exp_below_zero(np.float32([0, -1, -200])).tolist()
        [1.0, 0.3678794503211975, 0.0]
    """
    x = np.maximum(x, EXP_LOWEST)
    shifted = fma_array(x, EXP_PER_LN2, EXP_MAGIC)
    m = shifted - EXP_MAGIC
    for part in EXP_LN2:
        x = fma_array(m, part, x)
    power = (shifted.view(np.uint32) << np.uint32(23)) + np.uint32(0x3F800000)
    return np.asarray(_horner(x, EXP_P) * power.view(F32), F32)


def hard_sigmoid(x: np.ndarray, alpha: float = 0.2, beta: float = 0.5) -> np.ndarray:
    """max(0, min(1, alpha * x + beta)), product and sum rounded."""
    return np.asarray(np.maximum(np.minimum(F32(alpha) * x + F32(beta), F32(1)), F32(0)), F32)


def hard_swish(x: np.ndarray) -> np.ndarray:
    """x * hard_sigmoid(x, 1/6, 1/2)."""
    return np.asarray(x * hard_sigmoid(x, float(F32(1 / 6)), 0.5), F32)


def leaky_relu(x: np.ndarray, alpha: float = 0.01) -> np.ndarray:
    """X where x >= 0, else alpha * x."""
    return np.asarray(np.where(x >= 0, x, F32(alpha) * x), F32)


def relu(x: np.ndarray) -> np.ndarray:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, F32(0)), F32)


def clip(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """min(max(x, low), high)."""
    return np.asarray(np.minimum(np.maximum(x, F32(low)), F32(high)), F32)


def _each(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    """A function in binary64, rounded to float32: the nearest one but for a chance of about 2^-29."""
    values = [function(float(v)) for v in x.reshape(-1)]
    return np.array(values, np.float64).astype(F32).reshape(x.shape)


def _exp(value: float) -> float:
    return math.exp(value) if value < LARGEST_EXPONENT else math.inf


LARGEST_EXPONENT = 700.0


def tflite_logistic(x: np.ndarray) -> np.ndarray:
    """f32(1 / f32(1 + f32(exp(-x)))), as LiteRT fills its tables."""
    with np.errstate(over="ignore", divide="ignore"):
        denominator: np.ndarray = F32(1) + _each(_exp, -x)
        return (F32(1) / denominator).astype(F32)


def xnnpack_logistic(x: np.ndarray) -> np.ndarray:
    """exp(x) / (1 + exp(x)) in binary64, as XNNPACK fills its tables; 0 and 1 beyond 100."""
    inside = np.clip(x, F32(-100), F32(100))
    values = [math.exp(v) / (1 + math.exp(v)) for v in inside.astype(np.float64).reshape(-1)]
    ends = np.where(x > 100, F32(1), F32(0))
    return np.where(x == inside, np.array(values, np.float64).astype(F32).reshape(x.shape), ends)


def tflite_tanh(x: np.ndarray) -> np.ndarray:
    """tanhf of the C library, as LiteRT fills its tables."""
    return libm.tanh(x)
