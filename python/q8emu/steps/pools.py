# SPDX-License-Identifier: Apache-2.0
"""Windows and means: average_pool, average_pool_raw, average_pool_scaled, mean, mean_affine, max_pool, float_mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.numerics import spec as numerics
from q8emu.program import Buffer, Step
from q8emu.steps.base import (
    Arrays,
    bounds,
    integer,
    integers,
    output_stage,
    quantized,
    real,
    round_inside,
    taps,
    wrap32,
)

AVERAGE = ("outside", "inside", "fused")
"""What the values of the parameter `rounding` of average_pool_scaled mean: where the zero point is added."""


def average_pool(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """Float32 sum of the dequantized taps, divided by the count and by the scale; the zero point inside in form 0."""
    x, out = inputs[0], outs[0]
    kernel = integers(step, "kernel")
    form = step.params.get("form", 0)
    picked = taps(x, out.shape, (kernel[0], kernel[1]), step)
    columns = [picked[j :: kernel[1]] for j in range(kernel[1])] if form == 2 else [picked]
    total = np.zeros(out.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for group in columns:
            total = total + _sum_of_taps(step, group, out.shape)
        average = total / _counts(step, x.shape, out.shape)[None, :, :, None]
        if form:
            return [quantized(step, average.astype(np.float32), out)]
        v = average / real(step, "y_scale_bits") + np.float32(integer(step, "y_zero_point"))
    return [round_inside(step, v.astype(np.float32), out)]


def _sum_of_taps(step: Step, picked: Sequence[tuple[np.ndarray, np.ndarray]], shape: Sequence[int]) -> np.ndarray:
    """float32: the dequantized taps inside the image, one after another."""
    total = np.zeros(shape, np.float32)
    for values, mask in picked:
        centred = values.astype(np.int32) - integer(step, "x_zero_point")
        term = centred.astype(np.float32) * real(step, "x_scale_bits")
        total = np.where(mask[None, :, :, None], total + term, total)
    return total


def average_pool_raw(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The sum of the centred taps over their count, to an integer; the zero point is 0 where the step names none."""
    x, out = inputs[0], outs[0]
    window, point = integers(step, "kernel"), integer(step, "x_zero_point") if "x_zero_point" in step.params else 0
    division = numerics.DIVISION[integer(step, "division") if "division" in step.params else 0]
    total = np.zeros(out.shape, np.int64)
    count = np.zeros(out.shape[1:3], np.int64)
    for picked, mask in taps(x, out.shape, (window[0], window[1]), step):
        total += np.where(mask[None, :, :, None], picked.astype(np.int64) - point, 0)
        count += mask
    counts = count[None, :, :, None]
    half = counts // 2 if division == "half_away" else 0  # half of an odd count is never reached
    magnitude = (np.abs(total) + half) // counts
    return [np.clip(np.sign(total) * magnitude + point, *bounds(step)).astype(out.dtype)]


def average_pool_scaled(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The sum of the centred taps times a float32 factor, the zero point outside or inside of the rounding."""
    x, out = inputs[0], outs[0]
    window, channels = integers(step, "kernel"), out.shape[3]
    total = np.zeros(out.shape, np.int64)
    for picked, mask in taps(x, out.shape, (window[0], window[1]), step):
        total += np.where(mask[None, :, :, None], picked.astype(np.int64) - integer(step, "x_zero_point"), 0)
    s, m, zero_point = total.astype(np.float32), real(step, "factor_bits"), np.float32(integer(step, "y_zero_point"))
    with np.errstate(over="ignore"):
        product = (s * m).astype(np.float32)
        inside = round_inside(step, (product + zero_point).astype(np.float32), out)
    rule = AVERAGE[integer(step, "rounding")]
    if rule == "outside":
        first = numerics.quantize(product, np.float32(1), np.int32(zero_point), out.dtype)
    elif rule == "fused":
        fused = [numerics.fma(v, m, zero_point) for v in s.reshape(-1)]
        first = round_inside(step, np.array(fused, np.float32).reshape(s.shape), out)
    else:
        first = inside
    here = np.arange(channels) < (integer(step, "inside_from") if "inside_from" in step.params else channels)
    return [np.where(here, np.clip(first, *bounds(step)), inside).astype(out.dtype)]


def _counts(step: Step, x_shape: Sequence[int], out_shape: Sequence[int]) -> np.ndarray:
    """float32[OH, OW]: how many taps of each window count; in the float forms no further than the padding goes."""
    kernel, pads = integers(step, "kernel"), integers(step, "pads")
    is_padded = integer(step, "count_include_pad")
    if is_padded and not step.params.get("form", 0):
        return np.full(out_shape[1:3], kernel[0] * kernel[1], np.float32)
    per_axis = []
    for axis in range(2):
        starts = np.arange(out_shape[1 + axis]) * integers(step, "strides")[axis] - pads[axis]
        at = starts[:, None] + np.arange(kernel[axis]) * integers(step, "dilations")[axis]
        before, after = (pads[axis], pads[axis + 2]) if is_padded else (0, 0)
        per_axis.append(((at >= -before) & (at < x_shape[1 + axis] + after)).sum(1))
    counts: np.ndarray = np.maximum(np.outer(*per_axis), 1).astype(np.float32)
    return counts


def mean(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """acc = sum over the middle axis of (x - x_zero_point), requantized."""
    return [output_stage(step, accumulate_mean(step, inputs), outs[0])]


def accumulate_mean(step: Step, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """int32[A, B]."""
    return wrap32((inputs[0].astype(np.int64) - integer(step, "x_zero_point")).sum(1))


def mean_affine(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The sum over the middle axis of x as it is, one float32 product and one sum; the zero point is in the addend."""
    acc = wrap32(inputs[0].astype(np.int64).sum(1)).astype(np.float32)
    with np.errstate(over="ignore"):
        v = acc * real(step, "scale_bits") + real(step, "addend_bits")
    return [round_inside(step, v, outs[0])]


def max_pool(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """Maximum over the taps inside the image."""
    x, out = inputs[0], outs[0]
    window = integers(step, "kernel")
    least = np.iinfo(x.dtype).min
    y = np.full(out.shape, least, x.dtype)
    for picked, mask in taps(x, out.shape, (window[0], window[1]), step):
        y = np.maximum(y, np.where(mask[None, :, :, None], picked, least))
    return [y]


def float_mean(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """Sum each row of the dequantized x in the order that the step names, divide by the length, quantize."""
    x, out = inputs[0], outs[0]
    scale, zero_point = real(step, "x_scale_bits"), np.int32(integer(step, "x_zero_point"))
    rows = numerics.dequantize(x, scale, zero_point)
    total = (_lanes, _sequential, _blocks, _packets)[integer(step, "order")]
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.array([total(row, index * len(row)) for index, row in enumerate(rows)], np.float32)
        average = sums / np.float32(x.shape[1])
    return [quantized(step, average, out)]


def _sequential(row: np.ndarray, start: int = 0) -> np.float32:
    """One after another."""
    total = row[0]
    for value in row[1:]:
        total = np.float32(total + value)
    return np.float32(total)


def _lanes(row: np.ndarray, start: int) -> np.float32:
    """Two packets of four lanes from the first element at a multiple of four (counted from `start`), then the rest."""
    n = len(row)
    first = min(-start % 4, n)
    end, end_pairs = first + (n - first) // 4 * 4, first + (n - first) // 8 * 8
    if end == first:
        return _sequential(row)
    packet = row[first : first + 4]
    if end - first > 4:
        second = row[first + 4 : first + 8]
        for i in range(first + 8, end_pairs, 8):
            packet, second = packet + row[i : i + 4], second + row[i + 4 : i + 8]
        packet = packet + second
        if end > end_pairs:
            packet = packet + row[end_pairs : end_pairs + 4]
    total = (packet[0] + packet[2]) + (packet[1] + packet[3])
    for value in (*row[:first], *row[end:]):
        total = total + value
    return np.float32(total)


def _blocks(row: np.ndarray, start: int = 0) -> np.float32:
    """Blocks of four, then two, then one; each summed in order and added to the total."""
    total, i = None, 0
    while i < len(row):
        width = 4 if len(row) - i >= 4 else 2 if len(row) - i >= 2 else 1
        block = _sequential(row[i : i + width])
        total = block if total is None else np.float32(block + total)
        i += width
    assert total is not None
    return np.float32(total)


def _packets(row: np.ndarray, start: int = 0) -> np.float32:
    """Four lanes from the first element on, then the rest."""
    end = len(row) // 4 * 4
    packet = np.zeros(4, np.float32)
    for i in range(0, end, 4):
        packet = packet + row[i : i + 4]
    total = (packet[0] + packet[2]) + (packet[1] + packet[3])
    for value in row[end:]:
        total = total + value
    return np.float32(total)
