# SPDX-License-Identifier: Apache-2.0
"""The QOperator spelling: operators that carry their scales and zero points as operands, and the integer operators."""

from __future__ import annotations

import numpy as np

from q8emu.canonical.builder import Builder
from q8emu.errors import UnsupportedOperator
from q8emu.graph import QUANTIZED_DTYPES, Node, QuantParams, TensorInfo
from q8emu.numerics import spec
from q8emu.ops import OPS

UNARY = (("x", 0), ("y", 3))
BINARY = (("x", 0), ("w", 3), ("y", 6))
# operator of the file → canonical operator, where the operands (each followed by scale and zero point) and the bias are
LAYOUTS: dict[str, tuple[str, tuple[tuple[str, int], ...], int | None]] = {
    "QLinearConv": ("Conv", BINARY, 8),
    "QLinearMatMul": ("MatMul", BINARY, None),
    "com.microsoft:QGemm": ("Gemm", (("x", 0), ("w", 3), ("y", 7)), 6),
    "com.microsoft:QLinearAdd": ("Add", BINARY, None),
    "com.microsoft:QLinearAveragePool": ("AveragePool", UNARY, None),
    "com.microsoft:QLinearGlobalAveragePool": ("GlobalAveragePool", UNARY, None),
    "com.microsoft:QLinearLeakyRelu": ("LeakyRelu", UNARY, None),
    "com.microsoft:QLinearMul": ("Mul", BINARY, None),
    "com.microsoft:QLinearSigmoid": ("Sigmoid", UNARY, None),
    "com.microsoft:QLinearSoftmax": ("Softmax", UNARY, None),
}
QOPERATORS = frozenset(LAYOUTS) | {"com.microsoft:QLinearConcat"}


def qoperator(node: Node, builder: Builder) -> bool:
    """One QLinear operator; False when its parameters are only known at run time."""
    try:
        if node.op == "com.microsoft:QLinearConcat":
            return _concat(node, builder)
        return _layout(node, builder)
    except UnsupportedOperator as error:
        builder.notes.append(f"{error} It runs as a host step.")
        return False


def _operand(node: Node, builder: Builder, at: int, op: str, is_weight: bool) -> tuple[str, QuantParams] | None:
    """A quantized input with the scale and zero point behind it."""
    name = node.input(at)
    dtype, shape = builder.dtype(name), builder.shape(name)
    if dtype not in QUANTIZED_DTYPES:
        return None
    axis = OPS[op].weight_axis(node, shape) if is_weight and hasattr(OPS[op], "weight_axis") else None
    length = None if axis is None else shape[axis]
    params = builder.params(node, node.input(at + 1), node.input(at + 2), dtype, axis, length)
    return None if params is None else (builder.operand(name), params)


def _layout(node: Node, builder: Builder) -> bool:
    op, places, bias_at = LAYOUTS[node.op]
    operands = [_operand(node, builder, at, op, role == "w") for role, at in places[:-1]]
    if any(o is None for o in operands):
        return False
    out = builder.graph.tensors[node.outputs[0]]
    attrs = dict(OPS[op].attributes(node, builder))
    inputs, in_quant = [o[0] for o in operands if o], [o[1] for o in operands if o]
    if bias_at is not None and node.input(bias_at):
        bias = builder.constant(node.input(bias_at))
        if bias is None or bias.dtype != np.int32:
            return False
        inputs, in_quant = [*inputs, node.input(bias_at)], [*in_quant, None]  # type: ignore[list-item]
    at = places[-1][1]
    if out.dtype == "float32":  # QGemm without an output scale
        builder.emit(op, node, inputs, [out], attrs, in_quant)
        return True
    params = builder.params(node, node.input(at), node.input(at + 1), out.dtype)
    if params is None or not params.is_per_tensor or not in_quant[0].is_per_tensor:
        return False
    info = TensorInfo(out.name, out.dtype, out.shape, params)
    attrs["clamp"] = spec.limits(out.dtype)
    builder.emit(op, node, inputs, [info], attrs, in_quant, [params])
    return True


def _concat(node: Node, builder: Builder) -> bool:
    out = builder.graph.tensors[node.outputs[0]]
    params = builder.params(node, node.inputs[0], node.inputs[1], out.dtype)
    operands = [_operand(node, builder, at, "Concat", False) for at in range(2, len(node.inputs), 3)]
    if params is None or any(o is None for o in operands):
        return False
    inputs, in_quant = [o[0] for o in operands if o], [o[1] for o in operands if o]
    info = TensorInfo(out.name, out.dtype, out.shape, params)
    attrs = dict(OPS["Concat"].attributes(node, builder)) | {"clamps": (spec.limits(out.dtype),)}
    builder.emit("Concat", node, inputs, [info], attrs, in_quant, [params])
    return True


def integer_operator(node: Node, builder: Builder) -> bool:
    """ConvInteger, MatMulInteger, DynamicQuantizeLinear: integers in, int32 or dynamically quantized values out."""
    try:
        attrs = dict(OPS[node.op].attributes(node, builder))
    except UnsupportedOperator as error:
        builder.notes.append(f"{error} It runs as a host step.")
        return False
    inputs = [builder.real(n) if n else "" for n in node.inputs]
    builder.emit(node.op, node, inputs, [builder.graph.tensors[n] for n in node.outputs], attrs)
    return True
