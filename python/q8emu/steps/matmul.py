# SPDX-License-Identifier: Apache-2.0
"""matmul: acc[M, N] = bias + sum over K of (a - a_zero_point)(b - b_zero_point), then the output stage."""

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
    wrap_accumulators,
)


def accumulate(step: Step, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """int32[..., M, N]; leading dimensions broadcast, the sum wraps, or saturates after each product, bias first."""
    a, b, *zero_points = inputs
    a_zero_point, b_zero_point = integer(step, "a_zero_point"), step.arrays["b_zero_point"].astype(np.int64)
    if integer(step, "has_a_zero_point_input"):
        a_zero_point = int(zero_points[0].reshape(()))
    if integer(step, "has_b_zero_point_input"):
        b_zero_point = zero_points[-1].astype(np.int64)
    left, right = a.astype(np.int64) - a_zero_point, b.astype(np.int64) - b_zero_point
    bias, bits = step.arrays.get("bias", np.zeros((1, 1), np.int32)).astype(np.int64), saturated_bits(step)
    if not bits:
        acc = np.matmul(left, right) + bias
        if step.params.get("saturates_pairs"):
            columns = np.swapaxes(b.astype(np.int64), -1, -2)
            acc = acc + excess_of_pairs(step, a.astype(np.int64)[..., :, None, :] * columns[..., None, :, :])
        return wrap_accumulators(step, acc)
    acc = saturate_bits(bias, bits)
    for k in range(left.shape[-1]):
        acc = saturate_bits(acc + left[..., :, k, None] * right[..., None, k, :], bits)
    return acc.astype(np.int32)


def spec(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The definition of the step kind matmul."""
    return [output_stage(step, accumulate(step, inputs), outs[0])]
