# SPDX-License-Identifier: Apache-2.0
"""conv2d and depthwise_conv2d: acc = bias + sum of (x - x_zero_point)(w - w_zero_point), then the output stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.program import Buffer, Step
from q8emu.steps.base import (
    Arrays,
    excess_of_pairs,
    integer,
    output_stage,
    saturate_bits,
    saturated_bits,
    taps,
    wrap_accumulators,
)


def accumulate(step: Step, inputs: Sequence[np.ndarray], out: Buffer) -> np.ndarray:
    """int32[N, OH, OW, O]; padded positions contribute nothing, the sum wraps, or saturates after each product.

    The order of a sum that saturates: the bias, then kernel positions row by row, then the channels of each.
    """
    x, w = inputs[0], inputs[1].astype(np.int64)
    zero_point = int(inputs[2].reshape(())) if len(inputs) > 2 else integer(step, "x_zero_point")
    w = w - step.arrays["w_zero_point"].astype(np.int64).reshape(-1, 1, 1, 1)
    o, kh, kw, per_group = w.shape
    group = x.shape[-1] // per_group
    bias, bits = step.arrays.get("bias", np.zeros(o, np.int32)).astype(np.int64), saturated_bits(step)
    acc = np.broadcast_to(saturate_bits(bias, bits) if bits else bias, out.shape).copy()
    positions = taps(x, out.shape, (kh, kw), step)
    for index, (picked, mask) in enumerate(positions):
        centred = (picked.astype(np.int64) - zero_point) * mask[None, :, :, None]
        split = centred.reshape(*centred.shape[:3], group, per_group)
        weights = w[:, index // kw, index % kw].reshape(group, o // group, per_group)
        if not bits:
            acc += np.einsum("nhwgc,goc->nhwgo", split, weights).reshape(out.shape)
            continue
        for c in range(per_group):
            products = split[..., c][..., None] * weights[..., c]
            acc = saturate_bits(acc + products.reshape(out.shape), bits)
    if step.params.get("saturates_pairs"):
        raw = [np.where(mask[None, :, :, None], picked.astype(np.int64), zero_point) for picked, mask in positions]
        acc = acc + _excess(step, np.stack(raw, axis=3), inputs[1].astype(np.int64), group).reshape(out.shape)
    return wrap_accumulators(step, acc)


def _excess(step: Step, raw: np.ndarray, w: np.ndarray, group: int) -> np.ndarray:
    """What each sum gains from pairs that saturate: raw x[N, OH, OW, taps, C], padding holds the zero point."""
    n, height, width, taps_, channels = raw.shape
    split = raw.reshape(n, height, width, taps_, group, channels // group)
    rows = np.moveaxis(split, 4, 3).reshape(n, height, width, group, 1, -1)
    return excess_of_pairs(step, rows * w.reshape(group, len(w) // group, -1))


def spec(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The definition of the step kinds conv2d and depthwise_conv2d."""
    return [output_stage(step, accumulate(step, inputs, outs[0]), outs[0])]
