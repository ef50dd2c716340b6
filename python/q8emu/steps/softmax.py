# SPDX-License-Identifier: Apache-2.0
"""softmax: a table of 256 exponentials, a sequential float32 sum, one division per element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.numerics import spec as numerics
from q8emu.program import Buffer, Step
from q8emu.steps.base import Arrays, bounds, integer, real


def spec(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """e = table[255 + x - max x]; v = f32(f32(e * numerator) / sum of e); y = saturate(rne(v) + zero_point)."""
    x = inputs[0].astype(np.int32)
    table = step.arrays["table"].astype(np.uint32).view(np.float32)
    e = table[255 + x - x.max(1, keepdims=True)]
    total = np.zeros_like(e[:, :1])
    with np.errstate(over="ignore", invalid="ignore"):
        for d in range(e.shape[1]):
            total = total + e[:, d : d + 1]
        v = (e * real(step, "numerator_bits")) / total
    low, high = numerics.limits(outs[0].dtype)
    q = np.rint(np.clip(v, np.float32(-512), np.float32(512))).astype(np.int32) + integer(step, "y_zero_point")
    q = np.clip(q, low, high)
    return [np.clip(q, *bounds(step)).astype(outs[0].dtype)]
