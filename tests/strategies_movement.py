# SPDX-License-Identifier: Apache-2.0
"""Generators of operators that only move values: between DequantizeLinear and QuantizeLinear, or on the integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from strategies_builder import MICROSOFT, ModelBuilder, Tensor, evaluate
from strategies_functions import pool_window
from strategies_numbers import Chooser

FLOAT_DATA_ONLY = {"Resize": 10, "Pad": 10, "Slice": 9, "MaxPool": 11}  # opsets up to which int8 operands are illegal


@dataclass(frozen=True)
class Move:
    """A movement of one tensor: the operator, its constant operands, its attributes, the number of outputs."""

    op: str
    operands: tuple[np.ndarray | None, ...] = ()
    attrs: dict[str, Any] = field(default_factory=dict)
    outputs: int = 1


Plan = Callable[[ModelBuilder, tuple[int, ...]], Move]


def _ints(found: Sequence[int]) -> np.ndarray:
    return np.asarray(list(found), np.int64)


def _with_axes(b: ModelBuilder, op: str, axes: Sequence[int], since: int) -> Move:
    return Move(op, (_ints(axes),)) if b.opset >= since else Move(op, attrs={"axes": list(axes)})


def plan_reshape(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Reshape: to one axis less, or to a regrouping with -1 or 0."""
    flat = int(np.prod(shape))
    divisors = [d for d in range(1, flat + 1) if flat % d == 0]
    first = b.c.pick(*divisors)
    target = b.c.pick([first, -1], [-1, first], [1, first, flat // first], [0, -1], [flat], [-1])
    return Move("Reshape", (_ints(target if shape else [1]),))


def plan_flatten(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Flatten at any axis; a negative one from opset 11 on."""
    return Move("Flatten", attrs={"axis": b.c.integer(-len(shape) if b.opset >= 11 else 0, len(shape))})


def plan_squeeze(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Squeeze axes of length 1; Unsqueeze where there are none."""
    ones = [a for a, d in enumerate(shape) if d == 1]
    if not ones or b.c.chance(30):
        return plan_unsqueeze(b, shape)
    return _with_axes(b, "Squeeze", [b.c.pick(*ones)], 13)


def plan_unsqueeze(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Unsqueeze one axis."""
    axis = b.c.integer(0, len(shape))
    return _with_axes(b, "Unsqueeze", [axis - len(shape) - 1 if b.opset >= 11 and b.c.chance(30) else axis], 13)


def plan_transpose(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Transpose by any permutation, or the default one."""
    perm = [int(a) for a in b.c.rng.permutation(len(shape))]
    return Move("Transpose", attrs={} if b.c.chance(15) else {"perm": perm})


def plan_slice(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Slice some axes with positive or negative steps; at least one element remains."""
    c = b.c
    axes = sorted({c.integer(0, len(shape) - 1) for _ in range(c.integer(1, 2))})
    rows = [_slice_of(c, shape[a]) for a in axes]
    starts, ends, steps = (_ints([row[i] for row in rows]) for i in range(3))
    named = _ints([a - len(shape) if c.chance(30) else a for a in axes])
    return Move("Slice", (starts, ends, named, steps))


def _slice_of(c: Chooser, length: int) -> tuple[int, int, int]:
    start = c.integer(0, length - 1)
    if c.chance(25):
        step = -c.integer(1, 2)
        return start, c.pick(-(2**31) - 5, -length - 1), step
    end = c.integer(start + 1, length)
    return (start - length if c.chance(20) else start), c.pick(end, end, 2**31 - 1, 2**62), c.integer(1, 3)


def plan_pad(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Pad: constant, edge or reflect; negative pads crop."""
    c = b.c
    mode = c.pick("constant", "constant", "edge", "reflect")
    pads = [0] * (2 * len(shape))
    for axis in {c.integer(0, len(shape) - 1) for _ in range(2)}:
        for side in (0, len(shape)):
            pads[axis + side] = c.integer(0, shape[axis] - 1 if mode == "reflect" else 2)
        if mode == "constant" and shape[axis] > 1 and c.chance(15):
            pads[axis] = -1
    if b.opset < 11:
        return Move("Pad", attrs={"mode": mode, "pads": pads})
    return Move("Pad", (_ints(pads),), {"mode": mode})


def plan_resize(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Resize, nearest: scales or sizes, every coordinate transformation and nearest mode."""
    c = b.c
    factors = [1.0 if a < 2 else c.pick(2.0, 1.0, 0.5, 3.0, 1.5, 0.7) for a in range(len(shape))]
    factors = [1.0 if int(np.floor(d * f)) < 1 else f for d, f in zip(shape, factors, strict=True)]
    scales = np.asarray(factors, np.float32)
    if b.opset == 10:
        return Move("Resize", (scales,), {"mode": "nearest"})
    attrs = {
        "mode": "nearest",
        "coordinate_transformation_mode": c.pick("asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"),
        "nearest_mode": c.pick("floor", "round_prefer_floor", "round_prefer_ceil", "ceil"),
    }
    roi = None if b.opset >= 13 else np.zeros(0, np.float32)
    if c.chance(40):
        sizes = _ints([d if a < 2 else c.integer(1, 2 * d) for a, d in enumerate(shape)])
        return Move("Resize", (roi, None if b.opset >= 13 else np.zeros(0, np.float32), sizes), attrs)
    return Move("Resize", (roi, scales), attrs)


def plan_max_pool(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """MaxPool."""
    return Move("MaxPool", attrs=pool_window(b.c, shape[2:], dilated=True))


def plan_split(b: ModelBuilder, shape: tuple[int, ...]) -> Move:
    """Split into equal parts, or parts of given lengths."""
    c = b.c
    axis = max(range(len(shape)), key=lambda a: shape[a])
    length = shape[axis]
    first = c.integer(1, max(length - 1, 1))
    lengths = [first, length - first] if length > 1 else [1]
    attrs: dict[str, Any] = {"axis": axis}
    if b.opset < 13:
        return Move("Split", attrs=attrs | {"split": lengths}, outputs=len(lengths))
    if b.opset >= 18 and length % 2 == 0 and c.chance(40):
        return Move("Split", attrs=attrs | {"num_outputs": 2}, outputs=2)
    return Move("Split", (_ints(lengths),), attrs, len(lengths))


ANY_RANK: tuple[Plan, ...] = (
    plan_reshape,
    plan_flatten,
    plan_squeeze,
    plan_unsqueeze,
    plan_transpose,
    plan_slice,
    plan_pad,
    plan_split,
)
IMAGES: tuple[Plan, ...] = (plan_max_pool, plan_resize)


def movement(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """One operator that moves the values of one tensor."""
    plans = (*ANY_RANK, *IMAGES, *IMAGES) if len(x.shape) in (3, 4) else ANY_RANK
    return apply(b, x, b.c.pick(*plans)(b, x.shape))


def apply(b: ModelBuilder, x: Tensor, move: Move) -> list[Tensor]:
    """Write a movement in one of its spellings."""
    attrs = {key: value for key, value in move.attrs.items() if value is not None}
    reals = evaluate(move.op, [x.real(), *move.operands], b.opset, move.outputs, **attrs)
    constants = ["" if a is None else b.constant(move.op.lower(), a) for a in move.operands]
    if b.is_qoperator(move.op, b.opset > FLOAT_DATA_ONLY.get(move.op, 0) and move.op != "Pad"):
        outs = b.node(move.op, [x.name, *constants], move.outputs, **attrs)
        return [b.defined(n, r, (x.scale, x.zero_point), x.dtype) for n, r in zip(outs, reals, strict=True)]
    outs = b.node(move.op, [b.real(x), *constants], move.outputs, **attrs)
    found = []
    for name, real in zip(outs, reals, strict=True):
        params = (x.scale, x.zero_point) if b.c.chance(75) else b.described(real, x.dtype)
        found.append(b.quantized(name, real, params, x.dtype))
    return found


def concat(b: ModelBuilder, x: Tensor, others: Sequence[Tensor] = ()) -> list[Tensor]:
    """Concat of two or three tensors, each with its own parameters."""
    c = b.c
    axis = c.integer(0, len(x.shape) - 1)
    parts = [x]
    for _ in range(c.integer(1, 2)):
        fitting = [t for t in others if t.dtype == x.dtype and _fits(t.shape, x.shape, axis)]
        shape = tuple(c.integer(1, 3) if a == axis else d for a, d in enumerate(x.shape))
        parts.append(fitting[c.integer(0, len(fitting) - 1)] if fitting and c.chance(50) else b.input(shape, x.dtype))
    real = np.concatenate([t.real() for t in parts], axis)
    params = (x.scale, x.zero_point) if c.chance(30) else b.described(real, x.dtype)
    given = axis - len(x.shape) if b.opset >= 11 and c.chance(20) else axis
    if b.is_qoperator("Concat"):
        operands = [n for t in parts for n in (t.name, *b.both(t.scale, t.zero_point, t.dtype))]
        (out,) = b.node("QLinearConcat", [*b.both(*params, x.dtype), *operands], domain=MICROSOFT, axis=given)
        return [b.defined(out, real, params, x.dtype)]
    (out,) = b.node("Concat", [b.real(t) for t in parts], axis=given)
    return [b.quantized(out, real, params, x.dtype)]


def _fits(shape: tuple[int, ...], wanted: tuple[int, ...], axis: int) -> bool:
    return len(shape) == len(wanted) and all(
        i == j for a, (i, j) in enumerate(zip(shape, wanted, strict=True)) if a != axis
    )


def requantize(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """DequantizeLinear and QuantizeLinear with other parameters."""
    dtype = x.dtype if b.c.chance(70) else b.c.pick("uint8", "int8")
    b.operators.append("Requantize/qdq")
    return [b.quantized(b.real(x), x.real(), b.described(x.real(), dtype), dtype)]
