# SPDX-License-Identifier: Apache-2.0
"""A small float network and its calibration data, for the tests of quantization. No tests here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, CLASSES = 4, 5
Dims = Sequence[int | str]


def residual(
    path: Path, shape: Dims = ("N", 3, 8, 8), *, opset: int = 17, normalized: bool = False, pixels: bool = False
) -> Path:
    """Two convolutions with Relu and their Add, a global average pool, a dense layer, a Softmax: x to y.

    Args:
        path: of the file.
        shape: of x, NCHW.
        opset: of the file.
        normalized: a BatchNormalization behind the first convolution?
        pixels: does x hold 0..255? Then the first weights are that much smaller.
    """
    draw = np.random.default_rng(5)
    size = 1 / 255 if pixels else 1.0
    arrays = {
        "first.w": draw.normal(0, 0.4 * size, (CHANNELS, 3, 3, 3)),
        "first.b": draw.normal(0, 0.1, CHANNELS),
        "second.w": draw.normal(0, 0.3, (CHANNELS, CHANNELS, 3, 3))
        * np.array([1, 0.5, 0.2, 0.05])[:, None, None, None],
        "second.b": draw.normal(0, 0.1, CHANNELS),
        "dense.w": draw.normal(0, 2, (CLASSES, CHANNELS)),
        "dense.b": draw.normal(0, 0.1, CLASSES),
    }
    nodes = [_node("Conv", ["x", "first.w", "first.b"], "first", pads=[1, 1, 1, 1])]
    if normalized:
        arrays |= {f"norm.{n}": draw.uniform(0.5, 1.5, CHANNELS) for n in ("gamma", "beta", "mean", "var")}
        operands = ["first", *(f"norm.{n}" for n in ("gamma", "beta", "mean", "var"))]
        nodes.append(_node("BatchNormalization", operands, "norm"))
    nodes += [
        _node("Relu", [nodes[-1].output[0]], "first_relu"),
        _node("Conv", ["first_relu", "second.w", "second.b"], "second", pads=[1, 1, 1, 1]),
        _node("Add", ["first_relu", "second"], "sum"),
        _node("Relu", ["sum"], "sum_relu"),
        _node("GlobalAveragePool", ["sum_relu"], "pool"),
        _node("Flatten", ["pool"], "flat"),
        _node("Gemm", ["flat", "dense.w", "dense.b"], "dense", transB=1),
        _node("Softmax", ["dense"], "y"),
    ]
    return save(path, nodes, arrays, shape, [shape[0], CLASSES], opset)


def save(
    path: Path, nodes: list[onnx.NodeProto], arrays: dict[str, np.ndarray], shape: Dims, out: Dims, opset: int = 17
) -> Path:
    """Write a model from x to y."""
    graph = helper.make_graph(
        nodes,
        "float",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in arrays.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), path)
    return path


def samples(count: int = 24, seed: int = 3) -> dict[str, np.ndarray]:
    """Calibration data for x, with one far outlier."""
    x = np.random.default_rng(seed).normal(0, 1, (count, 3, 8, 8)).astype(np.float32)
    x[0, 0, 0, 0] = 20
    return {"x": x}


def _node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], output, **attributes)
