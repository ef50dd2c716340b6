# SPDX-License-Identifier: Apache-2.0
"""A float ONNX model as the quantizer takes it: opened, checked, and what it takes for calibration."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np
import onnx

from q8emu.canonical.qdq import QDQ_OPERATORS
from q8emu.datasets import pixels
from q8emu.errors import BadInput, BadModel, UnsupportedOperator
from q8emu.graph import Graph
from q8emu.inputs import MAX_BYTES, InputSpec, count_runs
from q8emu.ptq.calibrate import quietly
from q8emu.readers.onnx import batch_is_symbolic, read_onnx

PRODUCTS = ("Conv", "Gemm", "MatMul")
OLDEST_OPSET = 13  # the first with a scale per channel, and with Clip on integers
_QUANTIZED = (
    "QuantizeLinear",
    "DequantizeLinear",
    "QLinearConv",
    "QLinearMatMul",
    "QGemm",
    "ConvInteger",
    "MatMulInteger",
)


@dataclass(frozen=True)
class Layer:
    """A node with constant weights: its name, the tensor of weights, and the axis of its output channels."""

    name: str
    weights: str
    axis: int


@dataclass(frozen=True)
class FloatModel:
    """A float model that can be quantized.

    Attributes:
        path: the file.
        proto: the model, BatchNormalization folded.
        graph: its nodes, constants and shapes as q8emu reads them.
        specs: of its inputs.
        layers: its nodes with constant weights.
        operators: the ONNX operators that are quantized: those of the file that q8emu computes in integers.
        notes: what was changed.
    """

    path: Path
    proto: onnx.ModelProto
    graph: Graph
    specs: tuple[InputSpec, ...]
    layers: tuple[Layer, ...]
    operators: tuple[str, ...]
    notes: tuple[str, ...]

    def image_inputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Images uint8[N, 3, 32, 32] as the model takes them, the same as for an evaluation.

        Raises:
            BadInput: the model does not take such images.
        """
        layout = pixels.layout_of(self.specs[0].shape) if len(self.specs) == 1 else None
        if layout is None:
            found = ", ".join(f"'{spec.name}' {spec}" for spec in self.specs)
            raise BadInput(
                "Calibration images are float32 pixels [N, 3, 32, 32] or [N, 32, 32, 3]; the model's inputs are "
                f"{found}. Give data of your own with --calibration FILE.npz."
            )
        return {self.specs[0].name: pixels.as_input(images, self.specs[0].dtype, layout)}

    def check(self, inputs: Mapping[str, np.ndarray]) -> int:
        """The number of samples in calibration data.

        Raises:
            BadInput: names, dtypes or shapes are not the model's, or a value is not finite.
        """
        runs = count_runs(inputs, self.specs)
        for name, array in inputs.items():
            wrong = int(np.count_nonzero(~np.isfinite(array)))
            if wrong:
                raise BadInput(
                    f"The calibration data of input '{name}' have {wrong:,} values that are NaN or infinite; a range "
                    "cannot be taken from them."
                )
        return runs * self.batch

    @property
    def batch(self) -> int:
        """Samples in one run of the file; 1 where it leaves the batch open."""
        return self.specs[0].shape[0]

    @property
    def is_open(self) -> bool:
        """Does the file leave the batch open?"""
        return self.specs[0].per_sample


def open_float(path: Path) -> FloatModel:
    """Open a float ONNX model and see that it can be quantized.

    Raises:
        BadInput: there is no such file.
        BadModel: the file is damaged, or an input is without a batch.
        UnsupportedOperator: quantized already, no layer with weights, an old opset, an input that is not float32.
    """
    graph = read_onnx(path)
    proto = onnx.load(path)
    _check_nodes(proto)
    notes = []
    if any(node.op_type == "BatchNormalization" for node in proto.graph.node):
        before = sum(node.op_type == "BatchNormalization" for node in proto.graph.node)
        proto = _preprocessed(proto)
        after = sum(node.op_type == "BatchNormalization" for node in proto.graph.node)
        graph = read_onnx(proto.SerializeToString())
        notes.append(f"{before - after} of {before} BatchNormalization are folded into the weights before them.")
    used = {node.op_type for node in proto.graph.node}
    return FloatModel(
        path,
        proto,
        graph,
        _specs(path, graph),
        _layers(proto, graph),
        tuple(sorted(used & QDQ_OPERATORS)),
        tuple(notes),
    )


def _check_nodes(proto: onnx.ModelProto) -> None:
    found = next((node for node in proto.graph.node if node.op_type in _QUANTIZED), None)
    if found is not None:
        raise UnsupportedOperator(
            f"The model is quantized already: it has {found.op_type} '{found.name or found.output[0]}'. Give the float "
            "model; 'q8emu convert' changes the form of a quantized one."
        )
    opset = next((o.version for o in proto.opset_import if o.domain in ("", "ai.onnx")), 0)
    if opset < OLDEST_OPSET:
        raise UnsupportedOperator(f"The model has opset {opset}; expected {OLDEST_OPSET} or newer: export it again.")


def _specs(path: Path, graph: Graph) -> tuple[InputSpec, ...]:
    is_open = batch_is_symbolic(path)
    specs = []
    for name in graph.inputs:
        info = graph.tensors[name]
        if info.dtype != "float32" or not info.shape:
            raise UnsupportedOperator(
                f"Input '{name}' is {info.dtype}{list(info.shape)}; the quantizer takes float32 inputs with a batch."
            )
        specs.append(InputSpec(name, info.dtype, info.shape, per_sample=is_open))
    if not specs or sum(prod(spec.shape) for spec in specs) * 4 > MAX_BYTES:
        raise BadModel("The model has no inputs, or larger ones than q8emu takes.")
    return tuple(specs)


def _layers(proto: onnx.ModelProto, graph: Graph) -> tuple[Layer, ...]:
    initializers = {tensor.name for tensor in proto.graph.initializer}
    layers = []
    for node in proto.graph.node:
        if node.op_type in PRODUCTS and node.input[1] in initializers:
            last = len(graph.constants[node.input[1]].shape) - 1
            turned = any(a.name == "transB" and a.i for a in node.attribute)
            axis = 0 if node.op_type == "Conv" or turned else last
            layers.append(Layer(node.name or node.output[0], node.input[1], axis))
    if not layers:
        raise UnsupportedOperator(
            f"The model has no {', '.join(PRODUCTS[:-1])} or {PRODUCTS[-1]} with constant weights; there is nothing to "
            "quantize."
        )
    return tuple(layers)


def _preprocessed(proto: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime's basic graph optimizations, which fold BatchNormalization."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as folder, quietly():
        source, target = Path(folder, "float.onnx"), Path(folder, "folded.onnx")
        onnx.save(proto, source)
        quant_pre_process(source, target, skip_symbolic_shape=True)
        return onnx.load(target)
