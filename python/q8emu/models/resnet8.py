# SPDX-License-Identifier: Apache-2.0
"""The ResNet8 of MLPerf Tiny's image classification task as a float ONNX model, built from a table of weights.

A stem, three residual stacks of 16, 32 and 64 channels, global average pooling, a dense layer and a softmax. Pixels go
in as 0..255; the batch normalizations and the factor 1/255 are part of the weights. Nodes and tensors carry the names
of the layers in the table, so that a quantized tensor is recognized by its name.

Source: mlcommons/tiny benchmark/training/image_classification/keras_model.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import onnx

OPSET, IR_VERSION = 17, 8
INPUT, OUTPUT = "image", "probabilities"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
STACKS = (("stack1", 1), ("stack2", 2), ("stack3", 2))
"""Name and stride of each residual stack; a stack with a stride has a convolution on its shortcut."""


def float_model(weights: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """The network with these weights.

    Args:
        weights: float32 "<layer>.weight" [O, I, KH, KW] ([10, 64] for "dense") and "<layer>.bias" [O].

    Returns:
        A model with input image float32[N, 3, 32, 32] and output probabilities float32[N, 10], N open.
    """
    from onnx import TensorProto, checker, helper, numpy_helper

    nodes = _Nodes(weights)
    x = nodes.relu("stem", nodes.conv("stem", INPUT))
    for stack, stride in STACKS:
        x = nodes.residual(stack, x, stride)
    x = nodes.add("GlobalAveragePool", "pool", [x])
    x = nodes.add("Flatten", "flatten", [x], axis=1)
    x = nodes.add("Gemm", "dense", [x, "dense.weight", "dense.bias"], transB=1)
    nodes.add("Softmax", "softmax", [x], OUTPUT, axis=-1)
    graph = helper.make_graph(
        nodes.made,
        "resnet8",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["N", 3, 32, 32])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["N", len(CLASSES)])],
        [numpy_helper.from_array(np.ascontiguousarray(weights[n], np.float32), n) for n in sorted(weights)],
    )
    opsets = [helper.make_opsetid("", OPSET)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="q8emu")
    checker.check_model(model, full_check=True)
    return model


class _Nodes:
    """The nodes made so far; every method appends and returns the name of the tensor that it defines."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.made: list[onnx.NodeProto] = []

    def add(self, op: str, name: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        """One node; its output has its name unless another is given."""
        from onnx import helper

        self.made.append(helper.make_node(op, list(inputs), [output or name], name, **attributes))
        return output or name

    def relu(self, name: str, x: str) -> str:
        return self.add("Relu", f"{name}_relu", [x])

    def conv(self, name: str, x: str, stride: int = 1) -> str:
        """A convolution with "same" padding in the TensorFlow sense: the odd row and column go to the end."""
        kernel = int(self.weights[f"{name}.weight"].shape[2])
        total = max(kernel - stride, 0)  # 32 and 16 divide by the stride
        begin, end = total // 2, total - total // 2
        return self.add(
            "Conv",
            name,
            [x, f"{name}.weight", f"{name}.bias"],
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[begin, begin, end, end],
        )

    def residual(self, stack: str, x: str, stride: int) -> str:
        inner = self.relu(f"{stack}_conv1", self.conv(f"{stack}_conv1", x, stride))
        inner = self.conv(f"{stack}_conv2", inner)
        shortcut = x if stride == 1 else self.conv(f"{stack}_shortcut", x, stride)
        return self.relu(stack, self.add("Add", f"{stack}_add", [shortcut, inner]))
