# SPDX-License-Identifier: Apache-2.0
"""Ways to damage a model file: its bytes, or one field of its messages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper
from onnx.checker import ValidationError

import strategies

SMALL = (0, 1, 2, 3, 4, 5, 7)
SIZES = (*SMALL, *SMALL, -1, -2, 255, 2**16, 2**20, 2**28, 2**31 - 1, 2**31, 2**40, 2**62, -(2**63))
SCALES = (0.0, -1.0, float("nan"), float("inf"), float("-inf"), 1e-45, 1e-38, 3e38, 1e-10, 1e10, 1.0, 0.5, 0.03, 0.1)
OPERATORS = (
    "Add Conv QLinearConv MatMul QLinearMatMul Gemm Relu Clip Concat Split Slice Pad Transpose Reshape Flatten Squeeze "
    "Unsqueeze Resize MaxPool AveragePool GlobalAveragePool ReduceMean Softmax QuantizeLinear DequantizeLinear "
    "DynamicQuantizeLinear ConvInteger MatMulInteger Identity Cast Shape Gather Expand Tile ConstantOfShape Constant "
    "Loop If Scan Exp LSTM Einsum TopK NonZero RandomNormal Range Where QGemm QLinearAdd QLinearConcat QLinearSoftmax "
    "Nonsense"
).split()
DOMAINS = ("", "ai.onnx", "com.microsoft", "com.example", "ai.onnx.ml")
LOCATIONS = ("/etc/hostname", "../outside", "..\\outside", "C:\\outside", "model.onnx", "", "a/../../b", "/dev/zero")
GENERATED = 24  # models from the generator among the bases

Edit = Callable[[ModelProto, random.Random], str]


def bases(seed: int) -> list[tuple[str, bytes]]:
    """Models to start from: generated ones, and the packaged one."""
    found = []
    for index in range(GENERATED):
        case = strategies.model(seed * 1000 + index, most=1 + index % 3)
        found.append((f"generated {seed * 1000 + index}: {' '.join(case.operators)}", case.model))
    try:
        from q8emu import models

        packaged = models.default_model().read_bytes()
    except (ImportError, AttributeError, OSError):
        return found
    return [*found, *[("packaged", packaged)] * 3]


def mutate(data: bytes, r: random.Random) -> tuple[bytes, str]:
    """One damage, or several; how it was done in words."""
    if r.random() < 0.35:
        return damaged_bytes(data, r)
    model = ModelProto.FromString(data)
    told = []
    for _ in range(r.choice((1, 1, 1, 2, 3))):
        edit = r.choice(EDITS)
        try:
            told.append(f"{edit.__name__.strip('_')}: {edit(model, r)}")
        except (IndexError, KeyError, TypeError, ValueError, ValidationError) as nothing:  # no such field, or damaged
            told.append(f"{edit.__name__.strip('_')}: {type(nothing).__name__}")
    return model.SerializeToString(), "; ".join(told)


def damaged_bytes(data: bytes, r: random.Random) -> tuple[bytes, str]:
    """Bits flipped; bytes inserted, removed, repeated or zeroed; cut off; or all random."""
    kind = r.choice(("flip", "flip", "flip", "truncate", "insert", "remove", "repeat", "zero", "random"))
    at = r.randrange(len(data))
    size = r.choice((1, 1, 2, 4, 16, 200))
    if kind == "flip":
        changed = bytearray(data)
        places = [r.randrange(len(data)) for _ in range(r.choice((1, 1, 2, 4, 8)))]
        for place in places:
            changed[place] ^= 1 << r.randrange(8)
        return bytes(changed), f"flip bits at {places}"
    if kind == "truncate":
        return data[:at], f"truncate to {at}"
    if kind == "random":
        return r.randbytes(r.choice((1, 10, 1000))), "random bytes"
    middle = {"insert": r.randbytes(size), "remove": b"", "repeat": data[at : at + size] * 2, "zero": bytes(size)}[kind]
    rest = at if kind == "insert" else at + size
    return data[:at] + middle + data[rest:], f"{kind} {size} bytes at {at}"


def _shape_of_input(model: ModelProto, r: random.Random) -> str:
    value = r.choice([*model.graph.input, *model.graph.output])
    dims = value.type.tensor_type.shape.dim
    dim = r.choice(list(dims))
    if r.random() < 0.2:
        dim.dim_param = r.choice(("N", "batch", "?"))
        return f"{value.name} symbolic"
    dim.dim_value = r.choice(SIZES)
    return f"{value.name} {dim.dim_value}"


def _rank_of_input(model: ModelProto, r: random.Random) -> str:
    value = r.choice(list(model.graph.input))
    dims = value.type.tensor_type.shape.dim
    if r.random() < 0.5:
        del dims[r.randrange(len(dims))]
    else:
        dims.add().dim_value = r.choice(SIZES)
    return str(value.name)


def _type_of_input(model: ModelProto, r: random.Random) -> str:
    value = r.choice([*model.graph.input, *model.graph.output])
    value.type.tensor_type.elem_type = r.randrange(0, 30)
    return f"{value.name} {value.type.tensor_type.elem_type}"


def _dims_of_constant(model: ModelProto, r: random.Random) -> str:
    tensor = r.choice(list(model.graph.initializer))
    if tensor.dims and r.random() < 0.7:
        tensor.dims[r.randrange(len(tensor.dims))] = r.choice(SIZES)
    else:
        tensor.dims.append(r.choice(SIZES))
    return f"{tensor.name} {list(tensor.dims)}"


def _data_of_constant(model: ModelProto, r: random.Random) -> str:
    tensor = r.choice(list(model.graph.initializer))
    kind = r.choice(("cut", "random", "type", "repeat"))
    if kind == "type":
        tensor.data_type = r.randrange(0, 30)
    elif kind == "cut":
        tensor.raw_data = tensor.raw_data[: r.randrange(len(tensor.raw_data) + 1)]
    elif kind == "random":
        tensor.raw_data = r.randbytes(len(tensor.raw_data))
    else:
        tensor.raw_data = tensor.raw_data * 2
    return f"{tensor.name} {kind}"


def _scale(model: ModelProto, r: random.Random) -> str:
    scales = [t for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]
    tensor = r.choice(scales)
    values = numpy_helper.to_array(tensor).copy()
    value = r.choice(SCALES)
    values.reshape(-1)[r.randrange(values.size)] = value
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), tensor.name))
    return f"{tensor.name} {value}"


def _zero_point(model: ModelProto, r: random.Random) -> str:
    points = [t for t in model.graph.initializer if t.data_type in (TensorProto.UINT8, TensorProto.INT8)]
    tensor = r.choice(points)
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[r.randrange(values.size)] ^= r.choice((1, 5, 127))
    tensor.CopyFrom(numpy_helper.from_array(np.asarray(values), tensor.name))
    return str(tensor.name)


def _external(model: ModelProto, r: random.Random) -> str:
    tensor = r.choice(list(model.graph.initializer))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (
        ("location", r.choice(LOCATIONS)),
        ("offset", str(r.choice(SIZES))),
        ("length", "x" * r.randrange(2)),
    ):
        if r.random() < 0.7:
            tensor.external_data.add(key=key, value=value)
    return str(tensor.name)


def _operator(model: ModelProto, r: random.Random) -> str:
    node = r.choice(list(model.graph.node))
    told = f"{node.op_type} becomes "
    node.op_type = r.choice(OPERATORS)
    if r.random() < 0.3:
        node.domain = r.choice(DOMAINS)
    return f"{told}{node.domain}:{node.op_type}"


def _names(model: ModelProto) -> list[str]:
    tensors = [t.name for t in model.graph.initializer] + [v.name for v in model.graph.input]
    return [*tensors, *(n for node in model.graph.node for n in node.output), "", "nobody"]


def _wiring(model: ModelProto, r: random.Random) -> str:
    node = r.choice(list(model.graph.node))
    side = node.input if r.random() < 0.75 else node.output
    kind = r.choice(("rename", "rename", "remove", "append", "swap"))
    at = r.randrange(len(side))
    if kind == "rename":
        side[at] = r.choice(_names(model))
    elif kind == "remove":
        del side[at]
    elif kind == "append":
        side.append(r.choice(_names(model)))
    else:
        other = r.randrange(len(side))
        side[at], side[other] = side[other], side[at]
    return f"{node.op_type} {kind}"


def _attribute(model: ModelProto, r: random.Random) -> str:
    node = r.choice([n for n in model.graph.node if n.attribute])
    attribute = r.choice(list(node.attribute))
    kind = r.choice(("value", "value", "value", "type", "remove", "name", "length"))
    if kind == "remove":
        node.attribute.remove(attribute)
    elif kind == "type":
        attribute.type = r.randrange(0, 15)
    elif kind == "name":
        attribute.name = r.choice(("pads", "strides", "axis", "group", "perm", "mode", "kernel_shape", "nonsense"))
    elif kind == "length" and attribute.type == AttributeProto.INTS:
        attribute.ints.append(r.choice(SIZES))
    elif attribute.type == AttributeProto.INTS:
        attribute.ints[r.randrange(len(attribute.ints))] = r.choice(SIZES)
    elif attribute.type == AttributeProto.INT:
        attribute.i = r.choice(SIZES)
    elif attribute.type == AttributeProto.FLOAT:
        attribute.f = r.choice(SCALES)
    else:
        attribute.s = r.choice((b"", b"SAME_UPPER", b"VALID", b"edge", b"nonsense", b"\xff\xfe"))
    return f"{node.op_type} {attribute.name} {kind}"


def _new_attribute(model: ModelProto, r: random.Random) -> str:
    node = r.choice(list(model.graph.node))
    name = r.choice(
        "axis pads strides dilations group auto_pad ceil_mode keepdims alpha block_size saturate perm to".split()
    )
    node.attribute.append(onnx.helper.make_attribute(name, r.choice(([1, 1], [2**31, 5], 3, -1, 2**40, 0.5, "VALID"))))
    return f"{node.op_type} {name}"


def _nodes(model: ModelProto, r: random.Random) -> str:
    nodes = list(model.graph.node)
    at = r.randrange(len(nodes))
    kind = r.choice(("remove", "repeat", "shuffle", "subgraph"))
    if kind == "remove":
        del model.graph.node[at]
    elif kind == "repeat":
        model.graph.node.append(nodes[at])
    elif kind == "shuffle":
        r.shuffle(nodes)
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    else:
        model.graph.node[at].attribute.append(onnx.helper.make_attribute("body", model.graph))
    return f"{kind} {nodes[at].op_type}"


def _header(model: ModelProto, r: random.Random) -> str:
    kind = r.choice(("opset", "opset", "domain", "ir", "outputs", "inputs", "initializer"))
    if kind == "opset":
        model.opset_import[0].version = r.choice((*range(8, 30), 0, -1, 2**40))
    elif kind == "domain":
        model.opset_import[0].domain = r.choice(DOMAINS)
    elif kind == "ir":
        model.ir_version = r.choice((0, 1, 3, 10, 13, 2**31))
    else:
        fields: dict[str, Sequence[object]] = {
            "outputs": model.graph.output,
            "inputs": model.graph.input,
            "initializer": model.graph.initializer,
        }
        found = fields[kind]
        del found[r.randrange(len(found))]  # type: ignore[attr-defined]
    return kind


EDITS: tuple[Edit, ...] = (
    _shape_of_input,
    _rank_of_input,
    _type_of_input,
    _dims_of_constant,
    _data_of_constant,
    _scale,
    _scale,
    _scale,
    _zero_point,
    _zero_point,
    _external,
    _operator,
    _operator,
    _wiring,
    _wiring,
    _attribute,
    _attribute,
    _new_attribute,
    _nodes,
    _header,
)
