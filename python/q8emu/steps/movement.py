# SPDX-License-Identifier: Apache-2.0
"""Steps that move values and compute nothing: transpose, gather, concat, copy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.program import Buffer, Step
from q8emu.steps.base import Arrays, integer, integers


def transpose(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """numpy.transpose."""
    return [np.ascontiguousarray(inputs[0].transpose(integers(step, "perm")))]


def gather(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """One list of source indices per axis; -1 stands for the fill value."""
    out, x = outs[0], inputs[0]
    lists = np.split(step.arrays["index"], np.cumsum(out.shape)[:-1])
    y = x[np.ix_(*(np.maximum(i, 0) for i in lists))]
    filled = np.zeros(out.shape, bool)
    for axis, index in enumerate(lists):
        filled |= (index < 0).reshape([-1 if a == axis else 1 for a in range(len(lists))])
    return [np.where(filled, _fill(step, out.dtype), y)]


def _fill(step: Step, dtype: str) -> np.ndarray:
    value = integer(step, "fill")
    return np.array(value, np.uint32).view(np.float32) if dtype == "float32" else np.array(value, dtype)


def concat(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """numpy.concatenate."""
    return [np.concatenate(inputs, integer(step, "axis"))]


def copy(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """The same values under another shape."""
    return [inputs[0].reshape(outs[0].shape).copy()]
