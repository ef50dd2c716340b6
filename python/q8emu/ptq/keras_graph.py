# SPDX-License-Identifier: Apache-2.0
"""The ONNX graph of a Keras model under construction: nodes, weights, and each layer's result.

Images are NCHW inside, as every ONNX operator on them wants it; the input and an image as a result stay NHWC, as Keras
has them, with one Transpose each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from q8emu.errors import BadModel
from q8emu.ptq.keras_config import Layer
from q8emu.readers.shapes import checked_shape

OPSET, IR_VERSION = 17, 8
BATCH = "N"


@dataclass(frozen=True)
class Tensor:
    """A layer's result: its name in ONNX, and its shape in Keras's order, without the batch."""

    name: str
    shape: tuple[int, ...]

    @property
    def is_image(self) -> bool:
        """Is it [H, W, C], and so stored as NCHW?"""
        return len(self.shape) == 3

    @property
    def onnx_shape(self) -> tuple[int, ...]:
        """The shape that it has in the graph, without the batch."""
        return (self.shape[2], *self.shape[:2]) if self.is_image else self.shape


class Graph:
    """The nodes made so far."""

    def __init__(self, weights: Mapping[str, Mapping[str, np.ndarray]]) -> None:
        """Make a graph of these weights, by layer and name."""
        self.tensors: dict[str, Tensor] = {}
        self._weights = weights
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, layer: Layer, shape: tuple[int, ...]) -> Tensor:
        """An input of the model, NHWC where it is an image."""
        if len(shape) not in (1, 3):
            raise layer.refuse(f"the input shape {list(shape)}; expected [features] or [height, width, channels]")
        checked_shape(shape, f"input '{layer.name}'")
        self._inputs.append(helper.make_tensor_value_info(layer.name, TensorProto.FLOAT, [BATCH, *shape]))
        if len(shape) == 1:
            return Tensor(layer.name, shape)
        return self.add("Transpose", f"{layer.name}/nchw", [layer.name], shape, perm=[0, 3, 1, 2])

    def output(self, x: Tensor, name: str) -> None:
        """A result of the model under the name of its layer; an image, which that name has as NCHW, as <name>/nhwc."""
        if x.is_image:
            name = f"{name}/nhwc"
            self._node("Transpose", [x.name], name, perm=[0, 2, 3, 1])
        elif x.name != name:
            self._node("Identity", [x.name], name)
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [BATCH, *x.shape]))

    def add(
        self, op: str, name: str, inputs: Sequence[str], shape: Sequence[int], *, node: str = "", **attributes: Any
    ) -> Tensor:
        """A node that defines the tensor `name`, of this shape in Keras's order."""
        sizes = checked_shape(shape, f"tensor '{name}'")
        self._node(op, inputs, name, node=node, **attributes)
        return Tensor(name, sizes)

    def constant(self, name: str, value: np.ndarray) -> str:
        """Weights under this name, float32.

        Raises:
            BadModel: a value is not finite, after a normalization was folded in.
        """
        if not np.isfinite(value).all():
            raise BadModel(f"The weights '{name}' of the Keras model have a value that is not finite.")
        single = np.ascontiguousarray(value, np.float32)
        self._initializers[name] = numpy_helper.from_array(single, name)
        return name

    def weight(self, layer: Layer, name: str, shape: Sequence[int]) -> np.ndarray:
        """Weights of a layer, which must have this shape.

        Raises:
            BadModel: they are absent or have another one.
        """
        found = self._weights.get(layer.name, {}).get(name)
        if found is None:
            raise BadModel(f"{layer} has no weights '{name}' in the file; save the whole model, with its weights.")
        if found.shape != tuple(shape):
            raise BadModel(f"{layer}: the weights '{name}' have shape {list(found.shape)}; expected {list(shape)}.")
        return found

    def model(self) -> onnx.ModelProto:
        """The whole model, checked.

        Raises:
            BadModel: onnx finds something wrong with it, or another shape for a tensor.
        """
        graph = helper.make_graph(
            self._nodes, "keras", self._inputs, self._outputs, [self._initializers[n] for n in self._initializers]
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="q8emu"
        )
        try:
            onnx.checker.check_model(model, full_check=True)
            inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as problem:
            raise BadModel(
                f"The Keras model gives a graph that onnx refuses: {str(problem).splitlines()[0]}."
            ) from problem
        known = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim][1:] for v in inferred.graph.value_info}
        for tensor in self.tensors.values():
            if known.get(tensor.name, list(tensor.onnx_shape)) != list(tensor.onnx_shape):
                raise BadModel(f"'{tensor.name}' has shape {known[tensor.name]}; Keras has {list(tensor.onnx_shape)}.")
        return model

    def _node(self, op: str, inputs: Sequence[str], output: str, *, node: str = "", **attributes: Any) -> None:
        self._nodes.append(helper.make_node(op, list(inputs), [output], node or output, **attributes))
