# SPDX-License-Identifier: Apache-2.0
"""Small QDQ models that the tests of the comparison side write to disk. No tests here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS = 4
Dims = Sequence[int | str]


class Model:
    """Collects nodes and constants of a QDQ model."""

    def __init__(self, dtype: str = "int8", *, weight_zero_points: bool = True) -> None:
        self.point, self.weight_zero_points = np.array(0 if dtype == "int8" else 128, dtype), weight_zero_points
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.generator = np.random.default_rng(7)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant."""
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def add(self, op: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        """Add a node."""
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=output, **attributes))
        return output

    def quantize(self, name: str, quantized: str, scale: float) -> str:
        """QuantizeLinear and DequantizeLinear; returns the dequantized tensor."""
        operands = [
            self.constant(f"{quantized}_scale", np.array(scale, np.float32)),
            self.constant(f"{quantized}_zp", self.point),
        ]
        self.add("QuantizeLinear", [name, *operands], quantized)
        return self.add("DequantizeLinear", [quantized, *operands], f"{quantized}_dq")

    def conv(self, x: str, name: str, cin: int) -> str:
        """A convolution with quantized int8 weights and int32 bias."""
        weights = self.generator.integers(-127, 128, (CHANNELS, cin, 3, 3)).astype(np.int8)
        w = [self.constant(f"{name}_w", weights), self.constant(f"{name}_ws", np.array(0.004, np.float32))]
        if self.weight_zero_points:
            w.append(self.constant(f"{name}_wz", np.array(0, np.int8)))
        b = self.generator.integers(-500, 500, CHANNELS).astype(np.int32)
        bias = [self.constant(f"{name}_b", b), self.constant(f"{name}_bs", np.array(0.02 * 0.004, np.float32))]
        self.add("DequantizeLinear", w, f"{name}_wdq")
        self.add("DequantizeLinear", bias, f"{name}_bdq")
        return self.add("Conv", [x, f"{name}_wdq", f"{name}_bdq"], name, pads=[1, 1, 1, 1])

    def save(self, path: Path, shape: Dims, out: Dims, opset: int = 17) -> Path:
        """Write the model from x to y."""
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
            self.constants,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9), path)
        return path


def residual(path: Path, dtype: str = "int8", opset: int = 17, *, weight_zero_points: bool = True) -> Path:
    """Stem Conv → branch Conv, their Add, a global average pool: the int8 stem has two consumers."""
    model = Model(dtype, weight_zero_points=weight_zero_points)
    x = model.quantize("x", "x_q", 0.02)
    stem = model.quantize(model.conv(x, "stem", 3), "stem_q", 0.02)
    branch = model.quantize(model.conv(stem, "branch", CHANNELS), "branch_q", 0.02)
    total = model.quantize(model.add("Add", [branch, stem], "sum"), "sum_q", 0.03)
    model.quantize(model.add("GlobalAveragePool", [total], "pool"), "pool_q", 0.01)
    model.nodes[-1].output[0] = "y"
    return model.save(path, ["N", 3, 8, 8], ["N", CHANNELS, 1, 1], opset)


def chain(path: Path) -> Path:
    """Three convolutions in a row: on x86-64 a plain tap keeps ONNX Runtime from holding them as uint8."""
    model = Model()
    x = model.quantize("x", "x_q", 0.02)
    for at, name in enumerate(("one", "two", "three")):
        x = model.quantize(model.conv(x, name, CHANNELS if at else 3), f"{name}_q", 0.02)
    model.nodes[-1].output[0] = "y"
    return model.save(path, ["N", 3, 8, 8], ["N", CHANNELS, 8, 8])


def integer_conv(path: Path) -> Path:
    """One QLinearConv from int8 to int8."""
    weights = np.random.default_rng(3).integers(-128, 128, (CHANNELS, 3, 3, 3)).astype(np.int8)
    constants = {"xs": np.float32(0.02), "xz": np.int8(3), "w": weights, "ws": np.float32(0.01), "wz": np.int8(0)}
    constants |= {"ys": np.float32(0.1), "yz": np.int8(-5)}
    graph = helper.make_graph(
        [helper.make_node("QLinearConv", ["x", *constants], ["y"], pads=[1, 1, 1, 1])],
        "integer",
        [helper.make_tensor_value_info("x", TensorProto.INT8, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, ["N", CHANNELS, 8, 8])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def dynamic_product(path: Path) -> Path:
    """A dynamically quantized MatMul with a float result."""
    weights = np.random.default_rng(3).integers(-128, 128, (16, CHANNELS)).astype(np.int8)
    constants = {"w": weights, "wz": np.int8(0), "ws": np.float32(0.01)}
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["x_q", "x_s", "x_zp"]),
        helper.make_node("MatMulInteger", ["x_q", "w", "x_zp", "wz"], ["acc"]),
        helper.make_node("Cast", ["acc"], ["acc_f"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x_s", "ws"], ["s"]),
        helper.make_node("Mul", ["acc_f", "s"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dynamic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", CHANNELS])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path
