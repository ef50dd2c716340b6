# SPDX-License-Identifier: Apache-2.0
"""May a batch be cut anywhere? It may where each sample's values depend on that sample alone, in every step.

The proof compares one network lowered for one sample and for several: the same steps with the same integers, every
buffer longer by that factor along one axis, with nothing but axes of length 1 before it. Sample s is then the s-th part
of every buffer, and what remains is that each kind of step maps such parts to such parts.
"""

from __future__ import annotations

from math import prod

import numpy as np

from q8emu.program import Buffer, Program, Step

ELEMENTWISE = frozenset({"copy", "dequantize", "lut", "quantize", "transpose"})
"""The parts of x and y need not be along the same axis: they hold the same elements."""

SAME_AXIS = frozenset({"add_fma", "add_rescaled", "float_binary", "mul", "mul_ratio"})
"""All operands and y have their parts along one axis; a constant repeats along it."""

BY_RULE = frozenset({"concat", "gather", "matmul"})
"""As above, under a condition of its own."""

FIRST_AXIS = frozenset(
    {
        "average_pool",
        "average_pool_raw",
        "average_pool_scaled",
        "conv2d",
        "depthwise_conv2d",
        "float_mean",
        "float_softmax",
        "max_pool",
        "mean",
        "mean_affine",
        "softmax",
        "softmax_fixed",
        "softmax_reciprocal",
    }
)
"""The first axis of x and y counts what is computed independently."""

ACROSS = frozenset({"dynamic_quantize", "host"})
"""Looks at all samples, or may."""


def may_be_samplewise(program: Program) -> bool:
    """Does no step look at all samples?"""
    return not any(step.kind in ACROSS for step in program.steps)


def is_samplewise(one: Program, several: Program, samples: int) -> bool:
    """Has every sample of a batch the bits that it has alone?

    Args:
        one: a network lowered for one sample.
        several: the same network lowered for `samples` samples, at least 2.
        samples: how many.
    """
    if [len(one.buffers), len(one.steps), *one.ports] != [len(several.buffers), len(several.steps), *several.ports]:
        return False
    axes = {
        number: None if number in one.constants else _axis(*pair, samples)
        for number, pair in enumerate(zip(one.buffers, several.buffers, strict=True))
    }
    if any(axis is None and number not in one.constants for number, axis in axes.items()):
        return False
    return (
        _same_constants(one, several)
        and all(_same_port(one, several, name, samples) for name in one.ports)
        and all(_is_samplewise(one.buffers, pair, axes, samples) for pair in zip(one.steps, several.steps, strict=True))
    )


def _axis(one: Buffer, several: Buffer, samples: int) -> int | None:
    """The axis that counts samples, if nothing is before it."""
    if one.dtype != several.dtype or len(one.shape) != len(several.shape):
        return None
    differing = [i for i, pair in enumerate(zip(one.shape, several.shape, strict=True)) if pair[0] != pair[1]]
    if len(differing) != 1:
        return None
    (axis,) = differing
    return axis if several.shape[axis] == samples * one.shape[axis] and prod(one.shape[:axis]) == 1 else None


def _same_constants(one: Program, several: Program) -> bool:
    return one.constants.keys() == several.constants.keys() and all(
        _same_array(array, several.constants[number]) for number, array in one.constants.items()
    )


def _same_array(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _same_port(one: Program, several: Program, name: str, samples: int) -> bool:
    """Is the tensor in the same place, and longer along axis 0 of the model's own layout?"""
    a, b = one.ports[name], several.ports[name]
    if not a.tensor.shape or (a.buffer, a.perm) != (b.buffer, b.perm) or a.buffer in one.constants:
        return False
    return b.tensor.shape == (samples * a.tensor.shape[0], *a.tensor.shape[1:])


def _is_samplewise(
    buffers: tuple[Buffer, ...], pair: tuple[Step, Step], axes: dict[int, int | None], samples: int
) -> bool:
    """Does the step map each sample's parts of its operands to that sample's part of its outputs?"""
    one, several = pair
    if (one.kind, one.inputs, one.outputs, one.params) != (
        several.kind,
        several.inputs,
        several.outputs,
        several.params,
    ):
        return False
    if one.arrays.keys() != several.arrays.keys() or one.kind in ACROSS:
        return False
    operands = [axes[number] for number in one.inputs]
    found = {axis for axis in (*operands, *(axes[number] for number in one.outputs)) if axis is not None}
    if one.kind == "gather":
        return len(found) == 1 and _picks_within(buffers, pair, next(iter(found)), samples)
    if not all(_same_array(array, several.arrays[name]) for name, array in one.arrays.items()):
        return False
    if one.kind == "concat":
        return len(found) == 1 and None not in operands and one.params["axis"] not in found
    if one.kind == "matmul":
        rows = len(buffers[one.outputs[0]].shape) - 2  # the axes before this one number the products
        return len(found) == 1 and max(found) <= (rows if operands[1] is None else rows - 1)
    if one.kind in SAME_AXIS:
        return len(found) == 1
    if one.kind == "float_mean" and one.params["order"] == 0 and prod(buffers[one.inputs[0]].shape) % 4:
        return False  # its lanes begin where the index in the whole tensor is a multiple of four
    return one.kind in ELEMENTWISE or (one.kind in FIRST_AXIS and found == {0})


def _picks_within(buffers: tuple[Buffer, ...], pair: tuple[Step, Step], axis: int, samples: int) -> bool:
    """Do the lists of a gather pick the same positions within each sample?"""
    one, several = pair
    x, y = buffers[one.inputs[0]].shape, buffers[one.outputs[0]].shape
    lists = np.split(one.arrays["index"], np.cumsum(y)[:-1])
    picked = lists[axis]
    lists[axis] = np.concatenate([np.where(picked < 0, picked, picked + s * x[axis]) for s in range(samples)])
    return _same_array(np.concatenate(lists), several.arrays["index"])
