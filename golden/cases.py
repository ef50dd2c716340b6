# SPDX-License-Identifier: Apache-2.0
"""The single-operator cases: one model per operator, each with several branches, and the data that they run on.

`build(operator)` makes the model and its inputs; what comes out is computed by ONNX Runtime (golden/oracle.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from golden import archive, oracle
from golden.operators import functions, movement, products
from golden.spelling import Model, with_shapes

CASES: dict[str, Callable[[Model], None]] = {
    "Add": functions.binary,
    "AveragePool": functions.average_pool,
    "Clip": functions.unary,
    "Concat": movement.concat,
    "Conv": products.conv,
    "ConvInteger": products.conv_integer,
    "DequantizeLinear": movement.dequantize_linear,
    "DynamicQuantizeLinear": movement.dynamic_quantize_linear,
    "Flatten": movement.move,
    "Gemm": products.gemm,
    "GlobalAveragePool": functions.global_average_pool,
    "HardSigmoid": functions.unary,
    "HardSwish": functions.unary,
    "LeakyRelu": functions.unary,
    "MatMul": products.matmul,
    "MatMulInteger": products.matmul_integer,
    "MaxPool": movement.move,
    "Mul": functions.binary,
    "Pad": movement.pad,
    "QGemm": products.qgemm,
    "QLinearAdd": functions.qlinear_binary,
    "QLinearAveragePool": functions.qlinear_average_pool,
    "QLinearConcat": movement.qlinear_concat,
    "QLinearConv": products.qlinear_conv,
    "QLinearGlobalAveragePool": functions.qlinear_global_average_pool,
    "QLinearLeakyRelu": functions.qlinear_unary,
    "QLinearMatMul": products.qlinear_matmul,
    "QLinearMul": functions.qlinear_binary,
    "QLinearSigmoid": functions.qlinear_unary,
    "QLinearSoftmax": functions.qlinear_softmax,
    "QuantizeLinear": movement.quantize_linear,
    "ReduceMean": functions.reduce_mean,
    "Relu": functions.unary,
    "Reshape": movement.move,
    "Resize": movement.resize,
    "Sigmoid": functions.unary,
    "Slice": movement.move,
    "Softmax": functions.softmax,
    "Split": movement.split,
    "Squeeze": movement.move,
    "Sub": functions.binary,
    "Tanh": functions.unary,
    "Transpose": movement.move,
    "Unsqueeze": movement.move,
}


@dataclass(frozen=True)
class Case:
    """A model file, the arrays that it is fed, and what ONNX Runtime computes from them."""

    model: bytes
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]

    def arrays(self) -> bytes:
        """The npz file: every input under "in.<name>", every output under "out.<name>"."""
        made = {f"in.{name}": array for name, array in self.inputs.items()}
        return archive.npz_bytes(made | {f"out.{name}": array for name, array in self.outputs.items()})


def build(operator: str) -> Case:
    """One operator's model and data; the same bytes under the same versions of onnx and onnxruntime."""
    model = Model(operator)
    CASES[operator](model)
    proto = model.proto()
    outputs = oracle.run(proto.SerializeToString(), model.feeds)
    final = with_shapes(proto, outputs).SerializeToString(deterministic=True)
    return Case(final, dict(model.feeds), outputs)


def read(folder: Path, operator: str) -> Case:
    """The committed case of one operator."""
    arrays = archive.read_npz((folder / f"{operator}.npz").read_bytes())
    inputs, outputs = (
        {name.partition(".")[2]: array for name, array in arrays.items() if name.startswith(side)}
        for side in ("in.", "out.")
    )
    return Case((folder / f"{operator}.onnx").read_bytes(), inputs, outputs)
