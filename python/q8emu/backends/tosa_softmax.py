# SPDX-License-Identifier: Apache-2.0
"""Softmax in TOSA: exponentials from tables, the reciprocal of their sum by Newton's method, integers only."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from q8emu.backends.tosa_graph import TosaGraph, out_quant, require
from q8emu.graph import Node
from q8emu.numerics import fixed_point

SUM_BITS = 12  # integer bits of the sum
QUARTERS = ((24, 17), (16, 9), (8, 1), (0, -7))  # where eight bits begin, and the shift that brings them there


def softmax(node: Node, target: TosaGraph) -> None:
    """x - max x through four tables of eight bits each; times the reciprocal of the sum; RESCALE."""
    x_quant, y_quant = node.in_quant[0], out_quant(node)
    assert x_quant is not None
    shape = target.graph.tensors[node.inputs[0]].shape
    first, end = node.attrs["axes"]
    require(end == len(shape), node, "an axis that is not the last")
    require((y_quant.scale[0], y_quant.zero_point[0]) == (1 / 256, -128), node, f"an output of {y_quant}")
    rows, depth = prod(shape[:first]), prod(shape[first:])
    x = target.centred(target.reshaped(target.value(node.inputs[0]), (rows, depth)), x_quant)
    largest = target.op("REDUCE_MAX", (x,), (rows, 1), "int32", "ReduceMax", 1, target.modes.PROPAGATE)
    difference = target.op("SUB", (x, largest), (rows, depth), "int32", "Sub")
    powers = _exponentials(target, difference, float(x_quant.scale[0]))
    addends = _right(target, powers, target.constant(np.array([[SUM_BITS]], np.int32)))
    total = target.op("REDUCE_SUM", (addends,), (rows, 1), "int32", "ReduceSum", 1)
    zeros = target.op("CLZ", (total,), (rows, 1), "int32", "Clz")
    headroom = target.op("SUB", (zeros, _one(target, 1)), (rows, 1), "int32", "Sub")
    half = target.op("LOGICAL_LEFT_SHIFT", (total, headroom), (rows, 1), "int32", "LogicalLeftShift")
    product = _times(target, powers, _reciprocal(target, half), 30)
    rest = target.op("SUB", (_one(target, SUM_BITS + 31 - 8), zeros), (rows, 1), "int32", "Sub")
    y = target.reshaped(target.quantized(node, _right(target, product, rest), [1.0]), shape)
    target.tensors[node.outputs[0]] = y


def _one(target: TosaGraph, value: int) -> Any:
    return target.constant(np.array([[value]], np.int32))


def _exponentials(target: TosaGraph, difference: Any, scale: float) -> Any:
    """Q0.31: entries of a table of 256, put together from eight bits at a time."""
    table = np.array([*fixed_point.softmax_table(scale), 2**31 - 1], np.int64)  # differences -255 to 0, and one more
    index = target.rescale(difference, [128.0], 0, 0, ("int32", "int16"))
    total: Any = None
    for begin, shift in QUARTERS:
        entries = np.zeros(513, np.int16)
        entries[1:258] = (table >> begin) & 0xFF
        looked = target.op("TABLE", (index, target.constant(entries)), index.shape, "int32", "Table")
        if shift > 0:
            part = target.op(
                "LOGICAL_LEFT_SHIFT", (looked, _one(target, shift)), index.shape, "int32", "LogicalLeftShift"
            )
        else:
            part = _right(target, looked, _one(target, -shift))
        total = part if total is None else target.op("ADD", (total, part), index.shape, "int32", "Add")
    return total


def _reciprocal(target: TosaGraph, half: Any) -> Any:
    """2^30 over half, in Q2.29, by three steps of Newton's method from 48/17 - 32/17 half."""
    slope = _times(target, half, _one(target, -1010580540), 31)
    x = target.op("ADD", (slope, _one(target, 1515870810)), half.shape, "int32", "Add")
    for _ in range(3):
        error = target.op("SUB", (_one(target, 1 << 29), _times(target, x, half, 31)), half.shape, "int32", "Sub")
        step = _times(target, _times(target, x, error, 31), _one(target, 4), 0)
        x = target.op("ADD", (x, step), half.shape, "int32", "Add")
    return x


def _times(target: TosaGraph, a: Any, b: Any, shift: int) -> Any:
    """MUL with a shift to the right, half up."""
    shape = [max(i, j) for i, j in zip(a.shape, b.shape, strict=True)]
    return target.op("MUL", (a, b, target.scalar(shift)), shape, "int32", "Mul")


def _right(target: TosaGraph, x: Any, shift: Any) -> Any:
    """ARITHMETIC_RIGHT_SHIFT, half up."""
    return target.op("ARITHMETIC_RIGHT_SHIFT", (x, shift), x.shape, "int32", "ArithmeticRightShift", True)
