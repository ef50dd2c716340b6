# SPDX-License-Identifier: Apache-2.0
"""The operators of a TFLite file that q8emu reads, and how the element-wise and the moving ones become canonical nodes.

Source of the rules: litert/tflite/kernels/, one file per operator.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from q8emu.errors import BadQuantization, ShapeMismatch
from q8emu.readers import tflite_schema as schema
from q8emu.readers.tflite_operator import INT8, Made, Operator
from q8emu.readers.tflite_products import (
    average_pool_2d,
    conv_2d,
    depthwise_conv_2d,
    fully_connected,
    max_pool_2d,
)

# What LiteRT demands of the output of a function with a fixed range.
_UNIT = ((2.0**-8,), (-128,))  # softmax and logistic: 0 to 255/256
_SYMMETRIC = ((2.0**-7,), (0,))  # tanh: -1 to 127/128


def _binary(canonical: str) -> Callable[[Operator], Made]:
    def read(op: Operator) -> Made:
        a, b = op.operand(0), op.operand(1)
        shapes = a.info.shape, b.info.shape
        rank = max(map(len, shapes))
        full = [(1,) * (rank - len(s)) + s for s in shapes]
        if any(m != n and 1 not in (m, n) for m, n in zip(*full, strict=True)):
            raise ShapeMismatch(f"{op.where}: shapes {list(shapes[0])} and {list(shapes[1])} do not broadcast.")
        op.require(any(t.constant is None for t in (a, b)), "two constants; expected an activation among them")
        op.require(rank <= 4, f"operands of {rank} axes; expected up to 4")
        op.expect_shape(op.output, [n if m == 1 else m for m, n in zip(*full, strict=True)])
        quants = [op.quant(a), op.quant(b)]
        attrs = op.activation(schema.ACTIVATION)
        names = [a.info.name, b.info.name]
        constants = {t.info.name: t.constant for t in (a, b) if t.constant is not None}
        return Made((op.node(canonical, names, attrs, quants, op.quant(op.output)),), (), constants)

    return read


def _activation(name: str) -> Callable[[Operator], Made]:
    def read(op: Operator) -> Made:
        return _unary(op, "Relu", op.bounds(name))

    return read


def _unary(op: Operator, canonical: str, attrs: Mapping[str, object]) -> Made:
    x = op.operand(0)
    op.expect_shape(op.output, x.info.shape)
    return Made((op.node(canonical, [x.info.name], attrs, [op.quant(x)], op.quant(op.output)),))


def _leaky_relu(op: Operator) -> Made:
    alpha = 0.0 if op.options is None else op.options.real(schema.ALPHA)
    return _unary(op, "LeakyRelu", {"alpha": alpha, "clamp": INT8})


def _fixed_range(op: Operator, expected: tuple[tuple[float, ...], tuple[int, ...]]) -> None:
    y = op.quant(op.output)
    if (y.scale, y.zero_point) != expected:
        raise BadQuantization(
            f"{op.where}: the output has scale {y.scale[0]} and zero point {y.zero_point[0]}; "
            f"expected {expected[0][0]} and {expected[1][0]}."
        )


def _logistic(op: Operator) -> Made:
    _fixed_range(op, _UNIT)
    return _unary(op, "Sigmoid", {"clamp": INT8})


def _tanh(op: Operator) -> Made:
    _fixed_range(op, _SYMMETRIC)
    return _unary(op, "Tanh", {"clamp": INT8})


def _softmax(op: Operator) -> Made:
    beta = 0.0 if op.options is None else op.options.real(schema.BETA)
    rank = len(op.operand(0).info.shape)
    op.require(beta == 1.0, f"beta {beta}; expected 1")
    op.require(1 <= rank <= 4, f"an input of {rank} axes; expected 1 to 4")
    _fixed_range(op, _UNIT)
    return _unary(op, "Softmax", {"axes": (rank - 1, rank), "clamp": INT8})


def _quantize(op: Operator) -> Made:
    x, y = op.operand(0), op.quant(op.output)
    op.expect_shape(op.output, x.info.shape)
    if x.info.dtype == "float32":
        return Made((op.node("QuantizeLinear", [x.info.name], {}, [None], y),))
    return Made((op.node("Requantize", [x.info.name], {}, [op.quant(x)], y),))


def _dequantize(op: Operator) -> Made:
    x = op.operand(0)
    op.expect_shape(op.output, x.info.shape)
    op.require(op.output.info.dtype == "float32", f"an output of {op.output.info.dtype}; expected float32")
    return Made((op.node("DequantizeLinear", [x.info.name], {}, [op.quant(x)], None),))


def _mean(op: Operator) -> Made:
    x = op.operand(0)
    rank = len(x.info.shape)
    axes = _axes(op, op.integers(1), rank)
    op.require(bool(axes), "no axes; expected one or more")
    keep = bool(op.option(schema.KEEP_DIMS, "?"))
    shape = [1 if i in axes else d for i, d in enumerate(x.info.shape) if keep or i not in axes]
    op.expect_shape(op.output, shape)
    attrs = {"axes": axes, "clamp": INT8}
    return Made((op.node("ReduceMean", [x.info.name], attrs, [op.quant(x)], op.quant(op.output)),))


def _axes(op: Operator, axes: list[int], rank: int) -> tuple[int, ...]:
    op.require(all(-rank <= a < rank for a in axes), f"axes {axes} of a tensor of {rank} axes")
    return tuple(sorted({a % rank for a in axes}))


# Operators that move integers as they are


def _reshape(op: Operator) -> Made:
    x = op.operand(0)
    if prod(x.info.shape) != prod(op.output.info.shape):
        raise ShapeMismatch(f"{op.where}: {list(x.info.shape)} cannot become {list(op.output.info.shape)}.")
    return _moved(op, "Reshape", {})


def _moved(op: Operator, canonical: str, attrs: Mapping[str, object]) -> Made:
    q = op.unchanged(op.operand(0))
    node = op.node(canonical, [op.operand(0).info.name], {**attrs, "clamps": (INT8,)}, [q], q)
    return Made((node,))


def _transpose(op: Operator) -> Made:
    shape = op.operand(0).info.shape
    perm = tuple(a % len(shape) if -len(shape) <= a < 0 else a for a in op.integers(1))
    op.require(sorted(perm) == list(range(len(shape))), f"a permutation {list(perm)} of {len(shape)} axes")
    op.expect_shape(op.output, [shape[a] for a in perm])
    return _moved(op, "Transpose", {"perm": perm})


def _pad(op: Operator) -> Made:
    shape, pads = op.operand(0).info.shape, op.integers(1)
    op.require(len(pads) == 2 * len(shape) and min(pads, default=0) >= 0, f"paddings {pads} of {len(shape)} axes")
    before, after = pads[::2], pads[1::2]
    op.expect_shape(op.output, [b + d + a for b, d, a in zip(before, shape, after, strict=True)])
    return _moved(op, "Pad", {"mode": "constant", "pads": (*before, *after), "value": 0.0})


def _concatenation(op: Operator) -> Made:
    op.require(op.activation(schema.Concatenation.ACTIVATION)["clamp"] == INT8, "a fused activation; expected none")
    shapes = [op.operand(i).info.shape for i in range(len(op.inputs))]
    rank, axis = len(shapes[0]), op.option(schema.Concatenation.AXIS)
    op.require(-rank <= axis < rank, f"axis {axis} of tensors of {rank} axes")
    axis %= rank
    others = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    if len(others) > 1 or any(len(s) != rank for s in shapes):
        raise ShapeMismatch(f"{op.where}: shapes {[list(s) for s in shapes]} do not join along axis {axis}.")
    op.expect_shape(op.output, [*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :]])
    operands = [op.operand(i) for i in range(len(shapes))]
    quants = [op.unchanged(t) for t in operands]
    constants = {t.info.name: t.constant for t in operands if t.constant is not None}
    attrs = {"axis": axis, "clamps": (INT8,)}
    names = [t.info.name for t in operands]
    return Made((op.node("Concat", names, attrs, quants, op.quant(op.output)),), (), constants)


def _strided_slice(op: Operator) -> Made:
    fields, x = schema.StridedSlice, op.operand(0)
    shape, q = x.info.shape, op.unchanged(x)
    refused = {"ellipsis": fields.ELLIPSIS_MASK, "new axis": fields.NEW_AXIS_MASK}
    for what, field in refused.items():
        op.require(op.option(field) == 0, f"an {what} mask; expected none")
    op.require(not op.option(fields.OFFSET, "?"), "ends that are offsets; expected plain ends")
    lists = [op.integers(i) for i in (1, 2, 3)]
    op.require(all(len(v) == len(shape) for v in lists) and 0 not in lists[2], f"bounds {lists} of {len(shape)} axes")
    masks = [op.option(f) for f in (fields.BEGIN_MASK, fields.END_MASK, fields.SHRINK_AXIS_MASK)]
    ranges = []
    for axis, (begin, end, stride) in enumerate(zip(*lists, strict=True)):
        no_begin, no_end, shrink = (bool(mask >> axis & 1) for mask in masks)
        if shrink:
            op.require(-shape[axis] <= begin < shape[axis] and stride == 1, f"index {begin} of axis {axis}")
            begin, end, no_begin, no_end = begin % shape[axis], begin % shape[axis] + 1, False, False
        ranges.append(slice(None if no_begin else begin, None if no_end else end, stride).indices(shape[axis]))
    kept = [len(range(*r)) for r in ranges]
    op.require(min(kept, default=1) > 0, f"an empty slice {kept}")
    op.expect_shape(op.output, [n for axis, n in enumerate(kept) if not masks[2] >> axis & 1])
    attrs = {"ranges": tuple(ranges), "clamps": (INT8,)}
    if op.output.info.shape == tuple(kept):
        return Made((op.node("Slice", [x.info.name], attrs, [q], q),))
    part = op.internal("slice", kept, q)
    first = op.node("Slice", [x.info.name], attrs, [q], q, output=part.name, name=part.name)
    return Made((first, op.node("Reshape", [part.name], {"clamps": (INT8,)}, [q], q)), (part,))


READ: Mapping[str, Callable[[Operator], Made]] = {
    "ADD": _binary("Add"),
    "AVERAGE_POOL_2D": average_pool_2d,
    "CONCATENATION": _concatenation,
    "CONV_2D": conv_2d,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEQUANTIZE": _dequantize,
    "EXPAND_DIMS": _reshape,
    "FULLY_CONNECTED": fully_connected,
    "LEAKY_RELU": _leaky_relu,
    "LOGISTIC": _logistic,
    "MAX_POOL_2D": max_pool_2d,
    "MEAN": _mean,
    "MUL": _binary("Mul"),
    "PAD": _pad,
    "QUANTIZE": _quantize,
    "RELU": _activation("RELU"),
    "RELU6": _activation("RELU6"),
    "RESHAPE": _reshape,
    "SOFTMAX": _softmax,
    "SQUEEZE": _reshape,
    "STRIDED_SLICE": _strided_slice,
    "SUB": _binary("Sub"),
    "TANH": _tanh,
    "TRANSPOSE": _transpose,
}
