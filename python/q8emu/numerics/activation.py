# SPDX-License-Identifier: Apache-2.0
"""The bounds of a fused activation on the integers of an output, as the runtimes of TFLite files find them."""

from __future__ import annotations

import math

import numpy as np

from q8emu.numerics.spec import clamp, half_away_real, limits

NONE = (-math.inf, math.inf)
"""The real bounds of no activation."""


def bounds_half_away(real: tuple[float, float], scale: float, zero_point: int, dtype: str) -> tuple[int, int]:
    """zero_point + half_away(f32(bound / scale)), within the dtype.

    Source: google-ai-edge/LiteRT tflite/kernels/kernel_util.cc (CalculateActivationRangeQuantized).

    Example:
        >>> bounds_half_away((0.0, 6.0), 4.0, -3, "int8")
        (-3, -1)
    """
    ratios = np.array([_ratio(end, scale) for end in real], np.float32)
    ends = half_away_real(np.clip(ratios, np.float32(-(2.0**30)), np.float32(2.0**30))) + zero_point
    return clamp(int(ends[0]), *limits(dtype)), clamp(int(ends[1]), *limits(dtype))


def bounds_half_even(real: tuple[float, float], scale: float, zero_point: int, dtype: str) -> tuple[int, int]:
    """half_even(f32(f32(bound / scale) + zero_point)), within the dtype: the zero point decides ties.

    Source: google/XNNPACK src/subgraph/convolution-2d.c and its like.

    Example:
        >>> bounds_half_even((0.0, 6.0), 4.0, -3, "int8")
        (-3, -2)
    """
    least, most = limits(dtype)
    ends = [np.float32(_ratio(end, scale) + np.float32(zero_point)) for end in real]
    low, high = (int(np.rint(np.clip(v, np.float32(least), np.float32(most)))) for v in ends)
    return low, high


def _ratio(real: float, scale: float) -> np.float32:
    with np.errstate(over="ignore"):
        return np.float32(np.float32(real) / np.float32(scale))
