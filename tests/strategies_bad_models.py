# SPDX-License-Identifier: Apache-2.0
"""A small legal model, and a table of ways to make it a bad one with the words that the refusal must contain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Damage = Callable[[ModelProto], Any]
CHANNELS = 4


def conv_model() -> ModelProto:
    """x → QuantizeLinear → Conv with per-channel weights and a bias → Add of itself → y, QDQ, open batch."""
    r = np.random.default_rng(0)
    constants = {
        "xs": np.float32(0.02),
        "xz": np.uint8(128),
        "w": r.integers(-127, 127, (CHANNELS, CHANNELS, 3, 3), dtype=np.int8),
        "ws": np.full(CHANNELS, 0.01, np.float32),
        "wz": np.zeros(CHANNELS, np.int8),
        "b": r.integers(-100, 100, CHANNELS, dtype=np.int32),
        "bs": np.full(CHANNELS, np.float32(0.02) * np.float32(0.01), np.float32),
        "bz": np.zeros(CHANNELS, np.int32),
        "ys": np.float32(0.05),
        "yz": np.uint8(100),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "xs", "xz"], ["xq"], "quantize_x"),
        helper.make_node("DequantizeLinear", ["xq", "xs", "xz"], ["xd"], "dequantize_x"),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"], "dequantize_w", axis=0),
        helper.make_node("DequantizeLinear", ["b", "bs", "bz"], ["bd"], "dequantize_b", axis=0),
        helper.make_node("Conv", ["xd", "wd", "bd"], ["c"], "conv", pads=[1, 1, 1, 1], strides=[1, 1], group=1),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["cq"], "quantize_c"),
        helper.make_node("DequantizeLinear", ["cq", "ys", "yz"], ["cd"], "dequantize_c"),
        helper.make_node("Add", ["cd", "cd"], ["a"], "add"),
        helper.make_node("QuantizeLinear", ["a", "ys", "yz"], ["aq"], "quantize_a"),
        helper.make_node("DequantizeLinear", ["aq", "ys", "yz"], ["y"], "dequantize_a"),
    ]
    return _model(nodes, ["N", CHANNELS, 5, 5], constants)


def host_model() -> ModelProto:
    """A quantized Add with an Erf in float behind it."""
    constants = {"s": np.float32(0.02), "z": np.uint8(128)}
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], "quantize"),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], "dequantize"),
        helper.make_node("Add", ["d", "d"], ["a"], "add"),
        helper.make_node("QuantizeLinear", ["a", "s", "z"], ["aq"], "quantize_a"),
        helper.make_node("DequantizeLinear", ["aq", "s", "z"], ["ad"], "dequantize_a"),
        helper.make_node("Erf", ["ad"], ["y"], "island"),
    ]
    return _model(nodes, ["N", 4], constants)


def _model(nodes: Sequence[NodeProto], shape: Sequence[int | str], constants: dict[str, Any]) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


# How to damage it


def node(proto: ModelProto, name: str) -> NodeProto:
    """A node by its name."""
    found: NodeProto = next(n for n in proto.graph.node if n.name == name)
    return found


def constant(name: str, value: Any) -> Damage:
    """Replace an initializer."""

    def damage(proto: ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(value), name))

    return damage


def element(name: str, index: int, value: float) -> Damage:
    """Change one value of an initializer."""

    def damage(proto: ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        array = numpy_helper.to_array(tensor).copy()
        array.reshape(-1)[index] = value
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), name))

    return damage


def raw_zero_point(value: int) -> Damage:
    """A uint8 zero point written as a number that does not fit."""

    def damage(proto: ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == "xz")
        tensor.CopyFrom(TensorProto(name="xz", data_type=TensorProto.UINT8, int32_data=[value]))

    return damage


def input_dim(axis: int, size: int) -> Damage:
    """Change a dimension of the input."""

    def damage(proto: ModelProto) -> None:
        proto.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = size

    return damage


def dims(name: str, *sizes: int) -> Damage:
    """Change the dimensions of an initializer and nothing else."""

    def damage(proto: ModelProto) -> None:
        tensor = next(t for t in proto.graph.initializer if t.name == name)
        del tensor.dims[:]
        tensor.dims.extend(sizes)

    return damage


def rewire(name: str, index: int, source: str) -> Damage:
    """Let a node read another tensor."""

    def damage(proto: ModelProto) -> None:
        node(proto, name).input[index] = source

    return damage


def attribute(name: str, key: str, value: Any) -> Damage:
    """Set an attribute of a node."""

    def damage(proto: ModelProto) -> None:
        found = node(proto, name)
        for old in [a for a in found.attribute if a.name == key]:
            found.attribute.remove(old)
        found.attribute.append(helper.make_attribute(key, value))

    return damage


def operator(name: str, op: str, domain: str = "") -> Damage:
    """Make a node another operator."""

    def damage(proto: ModelProto) -> None:
        found = node(proto, name)
        found.op_type, found.domain = op, domain

    return damage


def instead(op: str, *constants: Any, **attrs: Any) -> Damage:
    """Replace the Add by an operator on its operand."""

    def damage(proto: ModelProto) -> None:
        found = node(proto, "add")
        names = []
        for index, value in enumerate(constants):
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), f"extra{index}"))
            names.append(f"extra{index}")
        found.CopyFrom(helper.make_node(op, ["cd", *names], ["a"], "add", **attrs))

    return damage


def _function(proto: ModelProto) -> None:
    imports = [helper.make_opsetid("", 17)]
    body = [helper.make_node("Relu", ["i"], ["o"])]
    proto.functions.append(helper.make_function("local", "Mine", ["i"], ["o"], body, imports))


def _sparse(proto: ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [4]))


def _twice(proto: ModelProto) -> None:
    proto.graph.initializer.append(proto.graph.initializer[0])


def _defined_twice(proto: ModelProto) -> None:
    node(proto, "add").output[0] = "cd"


def _without(field: str) -> Damage:
    def damage(proto: ModelProto) -> None:
        target = proto.opset_import if field == "opset_import" else getattr(proto.graph, field)
        del target[:]

    return damage


def _opset(version: int) -> Damage:
    def damage(proto: ModelProto) -> None:
        proto.opset_import[0].version = version

    return damage


def _input_type(kind: int) -> Damage:
    def damage(proto: ModelProto) -> None:
        proto.graph.input[0].type.tensor_type.elem_type = kind

    return damage


def _loop(proto: ModelProto) -> None:
    node(proto, "add").CopyFrom(helper.make_node("Loop", ["", "", "cd"], ["a"], "add", body=proto.graph))


BAD_MODELS: dict[str, tuple[Damage, tuple[str, ...]]] = {
    # the graph
    "a cycle": (rewire("add", 0, "aq"), ("cycle",)),
    "a node that reads itself": (rewire("add", 0, "a"), ("cycle",)),
    "a dangling input": (rewire("add", 0, "nobody"), ("'nobody'", "add")),
    "a dangling output": (lambda p: setattr(p.graph.output[0], "name", "nobody"), ("'nobody'",)),
    "no nodes": (_without("node"), ("nodes",)),
    "no outputs": (_without("output"), ("outputs",)),
    "no inputs": (_without("input"), ("'x'",)),
    "a constant defined twice": (_twice, ("xs", "unique")),
    "a tensor defined twice": (_defined_twice, ("'cd'", "unique")),
    "control flow": (_loop, ("graph of its own",)),
    "functions": (_function, ("functions",)),
    "sparse constants": (_sparse, ("sparse",)),
    "an unknown operator": (operator("add", "Nonsense"), ("Nonsense",)),
    "an unknown domain": (operator("add", "Add", "com.example"), ("com.example",)),
    "an old opset": (_opset(9), ("opset 9",)),
    "a future opset": (_opset(1000), ("opset 1000",)),
    "no opset": (_without("opset_import"), ("opset",)),
    # dimensions
    "a negative dimension": (input_dim(1, -4), ("-4",)),
    "a zero dimension": (input_dim(2, 0), ("0",)),
    "an input of text": (_input_type(TensorProto.STRING), ("element type",)),
    "an input of an unknown type": (_input_type(77), ("77",)),
    "channels that do not fit": (input_dim(1, 5), ("conv",)),
    "constant of a negative dimension": (dims("w", -4, 4, 3, 3), ("'w'", "-4")),
    "constant with another number of values": (dims("w", 4, 4, 3, 4), ("'w'",)),
    # quantization parameters
    "a scale of zero": (constant("xs", np.float32(0)), ("scale", "quantize_x")),
    "a negative scale": (constant("xs", np.float32(-1)), ("scale", "-1")),
    "a scale that is not a number": (constant("xs", np.float32("nan")), ("scale", "nan")),
    "an infinite scale": (constant("xs", np.float32("inf")), ("scale", "inf")),
    "a scale whose values are infinite": (constant("xs", np.float32(3e38)), ("3.0000000054977558e+38", "quantize_x")),
    "one zero among the channels' scales": (element("ws", 2, 0.0), ("channel 2", "dequantize_w")),
    "one infinity among the channels' scales": (element("ws", 1, float("inf")), ("channel 1", "inf")),
    "a bias scale of zero": (element("bs", 3, 0.0), ("scale", "dequantize_b")),
    "scales that combine to nothing": (constant("xs", np.float32(1e-44)), ("scale",)),
    "a scale of another type": (constant("xs", np.float64(0.02)), ("quantize_x",)),
    "a scale with two axes": (constant("xs", np.full((1, 1), 0.02, np.float32)), ("scale",)),
    "a scale without values": (constant("xs", np.zeros(0, np.float32)), ("scale",)),
    "a zero point of another type": (rewire("dequantize_c", 2, "wz"), ("dequantize_c",)),
    "a zero point of the weights of another type": (constant("wz", np.zeros(CHANNELS, np.uint8)), ("dequantize_w",)),
    "a zero point out of range": (raw_zero_point(300), ("xz",)),
    "a negative zero point of uint8": (raw_zero_point(-1), ("xz",)),
    "a bias zero point": (element("bz", 0, 5), ("zero point", "dequantize_b")),
    "a scale too few": (constant("ws", np.full(3, 0.01, np.float32)), ("3", "4", "dequantize_w")),
    "a scale too many": (constant("ws", np.full(5, 0.01, np.float32)), ("5", "4", "dequantize_w")),
    "a zero point too few": (constant("wz", np.zeros(3, np.int8)), ("3", "4", "dequantize_w")),
    "a bias too short": (constant("b", np.zeros(3, np.int32)), ()),
    "an axis that is not there": (attribute("dequantize_w", "axis", 9), ("dequantize_w",)),
    # attributes
    "a stride of zero": (attribute("conv", "strides", [0, 1]), ("conv",)),
    "strides of another rank": (attribute("conv", "strides", [1, 1, 1]), ("conv",)),
    "negative pads": (attribute("conv", "pads", [-1, 0, 0, 0]), ("conv",)),
    "pads of another rank": (attribute("conv", "pads", [1, 1]), ("conv",)),
    "a dilation of zero": (attribute("conv", "dilations", [0, 1]), ("conv",)),
    "a group of zero": (attribute("conv", "group", 0), ("conv",)),
    "a group that does not divide": (attribute("conv", "group", 3), ("conv",)),
    "another kernel shape": (attribute("conv", "kernel_shape", [2, 2]), ()),
    "unknown padding": (attribute("conv", "auto_pad", "SOMEHOW"), ("conv",)),
    "an attribute of another type": (attribute("conv", "strides", "two"), ("conv",)),
    "a kernel larger than the image": (attribute("conv", "dilations", [9, 9]), ("conv",)),
    "a permutation that is none": (instead("Transpose", perm=[0, 0, 1, 2]), ("add",)),
    "an axis out of range": (instead("Concat", axis=7), ("add",)),
    "a slice with step zero": (instead("Slice", *[np.array([v], np.int64) for v in (0, 2, 1, 0)]), ("add",)),
    "a reshape that does not fit": (instead("Reshape", np.array([7, 7], np.int64)), ()),
    "parts that do not fit": (instead("Split", np.array([1, 1], np.int64), axis=1), ("add",)),
}


def _sizes(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


LIMITED_MEMORY: dict[str, Damage] = {
    "an input of 2^40 elements": input_dim(2, 2**38),
    "an input whose size overflows": input_dim(2, 2**62),
    "a batch of 2^40": input_dim(0, 2**40),
    "a constant of 2^40 elements": dims("w", 2**40),
    "a constant whose size overflows": dims("w", 2**33, 2**33, 3, 3),
    "pads of 2^40": attribute("conv", "pads", [2**40] * 4),
    "pads that overflow": attribute("conv", "pads", [2**62] * 4),
    "a group of 2^40": attribute("conv", "group", 2**40),
    "Pad to 2^40": instead("Pad", _sizes(0, 0, 0, 0, 0, 0, 0, 2**40)),
    "Expand to 2^40": instead("Expand", _sizes(1, CHANNELS, 2**38, 5, 5)),
    "Tile to 2^40": instead("Tile", _sizes(1, 1, 2**20, 2**20)),
    "Resize to 2^40": instead(
        "Resize", np.zeros(0, np.float32), np.zeros(0, np.float32), _sizes(1, CHANNELS, 2**20, 2**20)
    ),
    "Reshape to 2^40": instead("Reshape", _sizes(2**20, 2**20)),
    "Slice to 2^62": instead("Slice", _sizes(0), _sizes(2**62), _sizes(1), _sizes(2**62)),
    "an input of 500 MB": input_dim(0, 2**20),
    "much work": input_dim(2, 2**24),
}
