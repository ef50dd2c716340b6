# SPDX-License-Identifier: Apache-2.0
"""The QDQ spelling: a float operator between DequantizeLinear and QuantizeLinear is an integer operator."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.canonical.bias import accumulator_scale, integer_bias
from q8emu.canonical.builder import Builder
from q8emu.errors import BadQuantization, UnsupportedOperator
from q8emu.graph import INTERNAL, QUANTIZED_DTYPES, Node, QuantParams, TensorInfo
from q8emu.numerics import spec
from q8emu.ops import OPS

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})  # an accumulator and a bias; a float output is possible
FUNCTIONS = frozenset(
    "Add AveragePool Clip GlobalAveragePool HardSigmoid HardSwish LeakyRelu Mul ReduceMean Relu Sigmoid Softmax Sub "
    "Tanh".split()
)
MOVEMENTS = frozenset(
    "Concat Flatten Identity MaxPool Pad Reshape Resize Slice Split Squeeze Transpose Unsqueeze".split()
)
QDQ_OPERATORS = PRODUCTS | FUNCTIONS | MOVEMENTS
OPERANDS = {"Conv": 2, "Gemm": 2, "MatMul": 2, "Add": 2, "Sub": 2, "Mul": 2}  # quantized operands, 1 where not named

Sink = tuple[str, QuantParams, tuple[int, int], list[Node]]  # quantized tensor, parameters, clamp bounds, nodes taken


def _axis(node: Node, rank: int) -> int:
    axis = int(node.attrs.get("axis", 1))
    return axis + rank if axis < 0 else axis


def _read_params(node: Node, builder: Builder, tensor: str, dtype: str) -> QuantParams | None:
    """Parameters of a QuantizeLinear or DequantizeLinear whose quantized side is `tensor`."""
    if node.attrs.get("block_size", 0):
        return None
    shape = builder.shape(tensor)
    axis = _axis(node, len(shape))
    length = shape[axis] if 0 <= axis < len(shape) else None
    return builder.params(node, node.inputs[1], node.input(2), dtype, axis, length)


def dequantize_linear(node: Node, builder: Builder) -> bool:
    """Remember a dequantized tensor; it is only computed where something reads it in float."""
    name, out = node.inputs[0], node.outputs[0]
    dtype = builder.dtype(name)
    if dtype not in (*QUANTIZED_DTYPES, "int32") or builder.graph.tensors[out].dtype != "float32":
        return False
    params = _read_params(node, builder, name, dtype)
    if params is None:
        return False
    builder.dequantized[out] = (builder.operand(name), params)
    if _has_vectors(node, builder):
        builder.vectors.add(out)
    return True


def _has_vectors(node: Node, builder: Builder) -> bool:
    """Is the scale or the zero point of a QuantizeLinear or DequantizeLinear no scalar?"""
    return any(name and builder.shape(name) != () for name in (node.inputs[1], node.input(2)))


def quantize_linear(node: Node, builder: Builder) -> bool:
    """A boundary, a change of parameters, or a constant that the file quantizes itself."""
    name, out = node.inputs[0], node.outputs[0]
    info = builder.graph.tensors[out]
    if info.dtype not in QUANTIZED_DTYPES or builder.dtype(name) != "float32":
        return False
    params = _read_params(node, builder, out, info.dtype)
    if params is None:
        return False
    info = TensorInfo(out, info.dtype, info.shape, params)
    value = builder.constant(name)
    if value is not None:
        along = [-1 if axis == params.axis else 1 for axis in range(len(info.shape))]
        both = (params.scales(), params.zero_points())
        scale, zero_point = (v if params.is_per_tensor else v.reshape(along) for v in both)
        builder.add_constant(out, spec.quantize(value, scale, zero_point, info.dtype).reshape(info.shape))
        return True
    known = builder.dequantized.get(name)
    if known and known[1].is_per_tensor and params.is_per_tensor and known[1].dtype in QUANTIZED_DTYPES:
        builder.emit("Requantize", node, [known[0]], [info], {}, [known[1]], [params])
        return True
    builder.emit("QuantizeLinear", node, [builder.real(name)], [info], {}, [None], [params])
    return True


def find_sink(name: str, builder: Builder) -> Sink | None:
    """Follow a float tensor through Relu and Clip to the one QuantizeLinear that consumes it."""
    taken: list[Node] = []
    while True:
        users = builder.consumers.get(name, [])
        if name in builder.graph.outputs or len(users) != 1:
            return None
        (user,) = users
        taken.append(user)
        if user.op == "QuantizeLinear" and user.inputs[0] == name:
            break
        if user.op not in ("Relu", "Clip") or user.inputs[0] != name:
            return None
        name = user.outputs[0]
    out = taken[-1].outputs[0]
    found = builder.graph.tensors[out].dtype
    if found not in QUANTIZED_DTYPES:
        return None
    params = _read_params(taken[-1], builder, out, found)
    if params is None or not params.is_per_tensor:
        return None
    clamp = activation_clamp(taken[:-1], params, builder)
    return None if clamp is None else (out, params, clamp, taken)


def activation_clamp(nodes: Sequence[Node], params: QuantParams, builder: Builder) -> tuple[int, int] | None:
    """Bounds of the quantized output that mean the same as the activations before the quantization.

    Quantization is monotone, so Q(min(max(v, low), high)) = min(max(Q(v), Q(low)), Q(high)).
    """
    qmin, qmax = spec.limits(params.dtype)
    for node in nodes:
        bounds = OPS[node.op].bounds(node, builder.constant)
        if bounds is None:
            return None
        ends = spec.quantize(np.array(bounds, np.float32), params.scales(), params.zero_points(), params.dtype)
        low, high = map(int, ends)
        qmin, qmax = (min(max(q, low), high) for q in (qmin, qmax))
    return qmin, qmax


def absorb(node: Node, builder: Builder) -> bool:
    """Turn one float operator with quantized operands into an integer one; False when it has to stay in float."""
    if builder.dtype(node.inputs[0]) in QUANTIZED_DTYPES and node.op not in PRODUCTS:
        return _integer_already(node, builder)
    if node.op in MOVEMENTS:
        return _move(node, builder)
    count = OPERANDS.get(node.op, 1)
    known = [builder.dequantized.get(name) for name in node.inputs[:count]]
    if any(k is None or k[1].dtype not in QUANTIZED_DTYPES for k in known):
        return False
    operands = [k for k in known if k is not None]
    if node.op in PRODUCTS:
        return _product(node, operands, builder)
    sink = find_sink(node.outputs[0], builder)
    if sink is None or not all(params.is_per_tensor for _, params in operands):
        return False
    return _emit_function(node, operands, sink, builder)


def _attributes(node: Node, builder: Builder) -> dict[str, object] | None:
    """Canonical attributes, None when one of them is outside what the operator's integer form covers."""
    try:
        return dict(OPS[node.op].attributes(node, builder))
    except UnsupportedOperator as error:
        builder.notes.append(f"{error} It runs as a host step.")
        return None


def _emit_function(node: Node, operands: Sequence[tuple[str, QuantParams]], sink: Sink, builder: Builder) -> bool:
    attrs = _attributes(node, builder)
    if attrs is None:
        return False
    out, params, clamp, taken = sink
    info = TensorInfo(out, params.dtype, builder.graph.tensors[out].shape, params)
    inputs, in_quant = [o[0] for o in operands], [o[1] for o in operands]
    attrs["clamp"] = clamp
    if builder.vectors.intersection(node.inputs) or _has_vectors(taken[-1], builder):
        attrs["has_vectors"] = True
    builder.emit(node.op, node, inputs, [info], attrs, in_quant, [params])
    builder.absorbed.update(n.name for n in taken)
    return True


def _product(node: Node, operands: Sequence[tuple[str, QuantParams]], builder: Builder) -> bool:
    """Conv, MatMul, Gemm: with a QuantizeLinear behind it an integer output, else a float one."""
    attrs = _attributes(node, builder)
    (x, x_params), (w, w_params) = operands
    if attrs is None or not x_params.is_per_tensor:
        return False
    if not OPS[node.op].channel_axis_fits(node, w_params, builder.shape(w)):
        builder.notes.append(
            f"{node.where()}: the scales of its weights follow axis {w_params.axis}, not its output channels. "
            "It runs as a host step."
        )
        return False
    added = _added_bias(node, builder) if node.op == "MatMul" else None
    operand = added[1] if added else node.input(2)
    bias = _bias(node, operand, x_params, w_params, builder) if operand else ""
    if bias is None and not added:
        return False
    sink = find_sink(added[0].outputs[0] if added else node.outputs[0], builder)
    if added and (bias is None or sink is None):
        added, bias, sink = None, "", None
    inputs, in_quant = [x, w] + ([bias] if bias else []), [x_params, w_params] + ([None] if bias else [])
    if sink is None:
        builder.emit(node.op, node, inputs, [builder.graph.tensors[node.outputs[0]]], attrs, in_quant)
        return True
    out, params, clamp, taken = sink
    info = TensorInfo(out, params.dtype, builder.graph.tensors[out].shape, params)
    builder.emit(node.op, node, inputs, [info], attrs | {"clamp": clamp}, in_quant, [params])
    builder.absorbed.update(n.name for n in (*taken, *([added[0]] if added else [])))
    return True


def _added_bias(node: Node, builder: Builder) -> tuple[Node, str] | None:
    """The Add of a bias [N] that alone reads a product by a matrix, and its bias."""
    users = builder.consumers.get(node.outputs[0], [])
    if len(users) != 1 or users[0].op != "Add" or node.outputs[0] in builder.graph.outputs:
        return None
    bias = next((n for n in users[0].inputs if n != node.outputs[0]), None)
    columns = builder.shape(node.inputs[1])[-1]
    if bias is None or len(builder.shape(node.inputs[1])) != 2 or builder.shape(bias) != (columns,):
        return None
    return users[0], bias


def _bias(node: Node, name: str, x: QuantParams, w: QuantParams, builder: Builder) -> str | None:
    """Name of the bias constant, int32 or float32 as the file has it; None when the bias is not a constant."""
    channels = builder.shape(node.outputs[0])[1 if node.op == "Conv" else -1]
    scale = accumulator_scale(node, x, w, channels)
    known = builder.dequantized.get(name)
    if known is None:
        value = builder.constant(name)
        sizes = (channels, 1) if node.op == "Gemm" and w.is_per_tensor else (channels,)
        if value is None or value.dtype != np.float32 or value.ndim != 1 or value.size not in sizes:
            return None
        return builder.add_constant(name, value)
    bias = builder.constants.get(known[0])
    if bias is None or bias.dtype != np.int32 or bias.ndim > 2 or bias.shape[-1:] not in ((1,), (channels,)):
        return None
    if known[1].axis not in (None, bias.ndim - 1):
        raise BadQuantization(f"{node.where()}: the bias is quantized along axis {known[1].axis}; expected its last.")
    value, note = integer_bias(node, bias, known[1], scale, builder.bias)
    if note:
        builder.notes.append(note)
    return known[0] if value is bias else builder.add_constant(known[0] + "'", value)


def _data_inputs(node: Node) -> tuple[str, ...]:
    return node.inputs if node.op == "Concat" else node.inputs[:1]


def _move(node: Node, builder: Builder) -> bool:
    """Operators that only pick values: the integers move, and change parameters where the file says so."""
    known = [builder.dequantized.get(name) for name in _data_inputs(node)]
    if any(k is None or not k[1].is_per_tensor or k[1].dtype not in QUANTIZED_DTYPES for k in known):
        return False
    operands = [k for k in known if k is not None]
    attrs = _attributes(node, builder)
    if attrs is None or len(node.outputs) != (len(attrs["lengths"]) if node.op == "Split" else 1):  # type: ignore[arg-type]
        return False
    sinks = [find_sink(name, builder) for name in node.outputs]
    first = operands[0][1]
    if any(s is None for s in sinks) and any(params != first for _, params in operands):
        return False
    infos, out_quant, clamps = [], [], []
    for name, sink in zip(node.outputs, sinks, strict=True):
        params = sink[1] if sink else first
        infos.append(TensorInfo(sink[0] if sink else INTERNAL + name, params.dtype, builder.shape(name), params))
        out_quant.append(params)
        clamps.append(sink[2] if sink else spec.limits(params.dtype))
        if sink:
            builder.absorbed.update(n.name for n in sink[3])
        else:
            builder.dequantized[name] = (INTERNAL + name, first)
            if builder.vectors.intersection(_data_inputs(node)):
                builder.vectors.add(name)
    inputs, in_quant = [o[0] for o in operands], [o[1] for o in operands]
    builder.emit(node.op, node, inputs, infos, attrs | {"clamps": tuple(clamps)}, in_quant, out_quant)
    return True


def _integer_already(node: Node, builder: Builder) -> bool:
    """An operator of the file that works on 8-bit tensors as they are (QOperator models)."""
    names = _data_inputs(node)
    if any(n in builder.graph.constants for n in names) or node.op in ("Add", "Sub", "Mul", "Softmax"):
        return False
    attrs = _attributes(node, builder)
    if attrs is None or (node.op not in MOVEMENTS and node.op not in ("Relu", "Clip")):
        return False
    if node.op == "Split":
        if len(node.outputs) != len(attrs["lengths"]):  # type: ignore[arg-type]
            return False
    elif len(node.outputs) != 1:
        return False
    quants = [builder.quant_of(n) for n in names]
    same = quants[0] if all(q == quants[0] for q in quants) else None
    infos = [TensorInfo(n, builder.graph.tensors[n].dtype, builder.shape(n), same) for n in node.outputs]
    limits = spec.limits(infos[0].dtype)
    if node.op in ("Relu", "Clip"):  # on the integers themselves
        raw = QuantParams(infos[0].dtype, (1.0,), (0,))
        builder.emit(node.op, node, names, infos, attrs | {"clamp": limits}, [raw], [raw])
    else:
        clamps = (limits,) * len(infos)
        builder.emit(node.op, node, names, infos, attrs | {"clamps": clamps}, [same] * len(names), [same] * len(infos))
    return True
