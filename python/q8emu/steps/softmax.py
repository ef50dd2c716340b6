# SPDX-License-Identifier: Apache-2.0
"""softmax: a table of 256 exponentials, a float32 sum, float64 quotients; with a reciprocal; int32; all in float32."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.numerics import spec as numerics
from q8emu.numerics.fixed_point import one_over_one_plus
from q8emu.numerics.multiplier import doubling_high_mul
from q8emu.numerics.rounding import half_away
from q8emu.numerics.unary import exp_below_zero
from q8emu.program import Buffer, Step
from q8emu.steps.base import Arrays, bounds, integer, quantized, real


def _exponentials(step: Step, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The entries of a float32 table along the middle axis, and their sequential float32 sum."""
    wide = x.astype(np.int32)
    e = step.arrays["table"].astype(np.uint32).view(np.float32)[255 + wide - wide.max(1, keepdims=True)]
    total = np.zeros_like(e[:, :1])
    with np.errstate(over="ignore", invalid="ignore"):
        for d in range(e.shape[1]):
            total = total + e[:, d : d + 1]
    return e, total


def spec(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """e = table[255 + x - max x]; v = f64(f64(e * numerator) / sum of e); y = saturate(rne(v) + zero_point)."""
    e, total = _exponentials(step, inputs[0])
    v = e.astype(np.float64) * np.float64(real(step, "numerator_bits")) / total.astype(np.float64)
    q = np.rint(np.minimum(v, 2.0**9)).astype(np.int64) + integer(step, "y_zero_point")  # 2^9: beyond every range
    q = np.clip(q, *numerics.limits(outs[0].dtype))
    return [np.clip(q, *bounds(step)).astype(outs[0].dtype)]


def reciprocal(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """e = table[255 + x - max x]; v = f32(e * f32(1 / f32(sum of e / 256))); y = half_up(v), from the least value."""
    e, total = _exponentials(step, inputs[0])
    with np.errstate(over="ignore"):
        v = e * (np.float32(1) / (total * np.float32(1 / 256)))
    q = np.floor(v.astype(np.float64) + 0.5).astype(np.int64) + numerics.limits(outs[0].dtype)[0]
    return [np.clip(q, *bounds(step)).astype(outs[0].dtype)]


def float_sum(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """e = exp(d - max d) of the dequantized x; v = f32(e * f32(1 / sum of e in eight lanes)); y = quantize(v)."""
    x, out = inputs[0], outs[0]
    d = numerics.dequantize(x, real(step, "x_scale_bits"), np.int32(integer(step, "x_zero_point")))
    e = exp_below_zero(d - d.max(1, keepdims=True))
    lanes = np.zeros((e.shape[0], 8, e.shape[2]), np.float32)
    for i in range(e.shape[1]):
        lanes[:, i % 8] += e[:, i]
    pairs = lanes[:, 0::2] + lanes[:, 1::2]
    halves = pairs[:, 0::2] + pairs[:, 1::2]
    total = halves[:, 1:] + halves[:, :1]
    return [quantized(step, e * (np.float32(1) / total), out)]


def fixed(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """e = table[255 + x - max x] in Q0.31; s = sum of e in Q12.19; y = e / s in 256 steps, from the least value on."""
    x = inputs[0].astype(np.int32)
    e = step.arrays["table"][255 + x - x.max(1, keepdims=True)]
    rows = np.moveaxis(e, 1, -1)
    quotients = np.array([_divided(row) for row in rows.reshape(-1, rows.shape[-1]).tolist()], np.int64)
    q = np.moveaxis(quotients.reshape(rows.shape), -1, 1) + numerics.limits(outs[0].dtype)[0]
    return [np.clip(q, *bounds(step)).astype(outs[0].dtype)]


def _divided(row: list[int]) -> list[int]:
    total = sum(half_away(e, 12) for e in row)
    headroom = 32 - total.bit_length()
    reciprocal = one_over_one_plus((total << headroom) - 2**31)
    return [half_away(doubling_high_mul(reciprocal, e), 35 - headroom) for e in row]
