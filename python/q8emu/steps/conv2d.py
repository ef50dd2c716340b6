# SPDX-License-Identifier: Apache-2.0
"""conv2d and depthwise_conv2d: acc = bias + sum of (x - x_zero_point)(w - w_zero_point), then the output stage."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.program import Buffer, Step
from q8emu.steps.base import Arrays, integer, output_stage, saturate_bits, saturated_bits, taps, wrap_accumulators


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
    return wrap_accumulators(step, acc)


def spec(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The definition of the step kinds conv2d and depthwise_conv2d."""
    return [output_stage(step, accumulate(step, inputs, outs[0]), outs[0])]
