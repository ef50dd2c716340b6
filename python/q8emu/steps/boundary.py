# SPDX-License-Identifier: Apache-2.0
"""Between real and quantized: quantize, dequantize, dynamic_quantize."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.numerics import spec as numerics
from q8emu.program import Buffer, Step
from q8emu.steps.base import Arrays, bounds, integer


def _parameters(step: Step) -> tuple[np.ndarray, np.ndarray]:
    """scale float32[1, C, 1] and zero_point int32[1, C, 1]."""
    scale = step.arrays["scale_bits"].astype(np.uint32).view(np.float32)
    return scale.reshape(1, -1, 1), step.arrays["zero_point"].astype(np.int32).reshape(1, -1, 1)


def quantize(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """y = clamp(quantize(x), qmin, qmax), per tensor or per middle index."""
    rule = numerics.QUANTIZE[integer(step, "rounding") if "rounding" in step.params else 0]
    y = numerics.quantize(inputs[0], *_parameters(step), outs[0].dtype, rule)
    return [np.clip(y, *bounds(step)).astype(outs[0].dtype)]


def dequantize(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """y = f32(f32(x - zero_point) * scale), or f32(f32(x * scale) + f32(-zero_point * scale))."""
    if "affine" in step.params and integer(step, "affine"):
        scale, zero_point = _parameters(step)
        with np.errstate(over="ignore", invalid="ignore"):
            return [inputs[0].astype(np.float32) * scale + -zero_point.astype(np.float32) * scale]
    return [numerics.dequantize(inputs[0], *_parameters(step))]


def dynamic_quantize(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """Scale and zero point from the range of x, then quantize."""
    x = inputs[0]
    low, high = np.fmin.reduce(x, None, initial=np.float32(0)), np.fmax.reduce(x, None, initial=np.float32(0))
    scale = np.float32(1) if low == high else (high - low) / np.float32(255)
    zero_point = np.rint(np.clip(np.float32(0) - low / scale, np.float32(0), np.float32(255))).astype(np.uint8)
    y = numerics.quantize(x, scale, zero_point.astype(np.int32), "uint8")
    return [y, np.array([scale], np.float32), np.array([zero_point], np.uint8)]
