# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models of one operator, in the QDQ and in the QOperator spelling, with the data that they run on.

A model holds several independent branches, each with inputs, constants and outputs of its own: one branch is one way to
use the operator. Every name begins with the branch's.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import checker, helper, numpy_helper

OPSET, IR_VERSION = 17, 8
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Quant:
    """Quantization parameters as a file writes them: scalars per tensor, tuples per channel along `axis`."""

    dtype: str
    scale: float | tuple[float, ...]
    zero_point: int | tuple[int, ...] = 0
    axis: int | None = None


@dataclass(frozen=True)
class Operand:
    """8-bit values and what they mean; a constant is part of the model, anything else an input of it."""

    codes: np.ndarray
    quant: Quant
    is_constant: bool = False


@dataclass(frozen=True)
class Activation:
    """Relu or Clip between the operator and its QuantizeLinear."""

    op: str
    bounds: tuple[float, ...] = ()


def codes(label: str, shape: Sequence[int], dtype: str, bits: int = 8) -> np.ndarray:
    """Values of `bits` bits around the middle of the dtype, decided by the label alone, the same in every numpy."""
    raw = np.random.PCG64(zlib.crc32(label.encode())).random_raw(int(np.prod(shape)))
    centred = ((raw >> np.uint64(56)).astype(np.int64) - 128) >> (8 - bits)
    return (centred + (128 if dtype == "uint8" else 0)).astype(dtype).reshape(shape)


def every_code(dtype: str, shape: Sequence[int] = (1, 256)) -> np.ndarray:
    """All 256 values in ascending order."""
    limits = np.iinfo(dtype)
    return np.arange(limits.min, limits.max + 1).astype(dtype).reshape(shape)


class Model:
    """The branches made so far, as protobuf messages, and the arrays that they are fed."""

    def __init__(self, operator: str) -> None:
        """Begin without branches."""
        self.operator = operator
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.feeds: dict[str, np.ndarray] = {}
        self.outputs: list[onnx.ValueInfoProto] = []

    def constant(self, name: str, array: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def feed(self, name: str, array: np.ndarray) -> str:
        self.feeds[name] = array
        return name

    def operand(self, name: str, operand: Operand) -> str:
        return (self.constant if operand.is_constant else self.feed)(name, operand.codes)

    def params(self, name: str, quant: Quant) -> list[str]:
        """The names of a scale and a zero point."""
        scale = self.constant(f"{name}_scale", np.array(quant.scale, np.float32))
        points = np.broadcast_to(np.array(quant.zero_point, quant.dtype), np.shape(quant.scale))
        return [scale, self.constant(f"{name}_zero_point", points)]

    def node(self, op: str, inputs: Sequence[str], outputs: Sequence[str], domain: str = "", **attrs: Any) -> None:
        name = f"{outputs[0]}.{op}"
        self.nodes.append(helper.make_node(op, list(inputs), list(outputs), name, domain=domain, **attrs))

    def show(self, name: str, dtype: str) -> str:
        element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.outputs.append(helper.make_tensor_value_info(name, element, None))
        return name

    def dequantize(self, name: str, operand: Operand) -> str:
        """A float tensor."""
        axis: dict[str, Any] = {} if operand.quant.axis is None else {"axis": operand.quant.axis}
        inputs = [self.operand(name, operand), *self.params(name, operand.quant)]
        self.node("DequantizeLinear", inputs, [f"{name}_real"], **axis)
        return f"{name}_real"

    def quantize(self, real: str, name: str, quant: Quant) -> None:
        """An 8-bit output of the model."""
        self.node("QuantizeLinear", [real, *self.params(name, quant)], [self.show(name, quant.dtype)])

    def proto(self) -> onnx.ModelProto:
        """The model without the shapes of its outputs."""
        inputs = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in self.feeds.items()
        ]
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        graph = helper.make_graph(self.nodes, self.operator, inputs, self.outputs, self.constants)
        return helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="q8emu")


def with_shapes(model: onnx.ModelProto, results: Mapping[str, np.ndarray]) -> onnx.ModelProto:
    """A copy whose outputs have the shapes of the results, checked against the onnx package's own inference."""
    outputs = [
        helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, results[value.name].shape)
        for value in model.graph.output
    ]
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.ClearField("output")
    copy.graph.output.extend(outputs)
    checker.check_model(copy, full_check=True)
    return copy


def qdq(
    model: Model,
    branch: str,
    operands: Sequence[Operand],
    results: Sequence[Quant],
    *,
    extra: Sequence[np.ndarray] = (),
    bias: np.ndarray | None = None,
    is_bias_added: bool = False,
    activation: Activation | None = None,
    op: str = "",
    **attrs: Any,
) -> None:
    """The operator between DequantizeLinear and QuantizeLinear.

    Args:
        model: gets the branch.
        branch: its name.
        operands: quantized ones, in order.
        results: parameters of each output.
        extra: constants behind the operands.
        bias: float32, or int32 with the scale x_scale * w_scale of the first two operands.
        is_bias_added: does an Add behind the operator take the bias, rather than the operator itself?
        activation: between the operator and the only output.
        op: when it is not the model's own.
        attrs: of the node.
    """
    inputs = [model.dequantize(f"{branch}.{letter}", o) for letter, o in zip("abcd", operands, strict=False)]
    real_bias = [] if bias is None else [_bias(model, f"{branch}.bias", bias, operands)]
    inputs += [] if is_bias_added else real_bias
    inputs += [model.constant(f"{branch}.extra{i}", array) for i, array in enumerate(extra)]
    reals = [f"{branch}.real{i}" for i in range(len(results))]
    model.node(op or model.operator, inputs, reals, **attrs)
    if is_bias_added:
        model.node("Add", [reals[0], *real_bias], [f"{branch}.added"])
        reals = [f"{branch}.added"]
    if activation is not None:
        bounds = [
            model.constant(f"{branch}.bound{i}", np.array(v, np.float32)) for i, v in enumerate(activation.bounds)
        ]
        model.node(activation.op, [reals[0], *bounds], [f"{branch}.activated"])
        reals = [f"{branch}.activated"]
    for i, (real, quant) in enumerate(zip(reals, results, strict=True)):
        model.quantize(real, f"{branch}.y{i if len(results) > 1 else ''}", quant)


def _bias(model: Model, name: str, bias: np.ndarray, operands: Sequence[Operand]) -> str:
    if bias.dtype == np.float32:
        return model.constant(name, bias)
    scales = [np.array(operand.quant.scale, np.float32) for operand in operands[:2]]
    product = (scales[0] * scales[1]).astype(np.float32)
    inputs = [model.constant(name, bias), model.constant(f"{name}_scale", product)]
    axis: dict[str, Any] = {"axis": 0} if product.ndim else {}
    model.node("DequantizeLinear", inputs, [f"{name}_real"], **axis)
    return f"{name}_real"


def qoperator(
    model: Model,
    branch: str,
    operands: Sequence[Operand],
    result: Quant | None,
    *,
    bias: np.ndarray | None = None,
    bias_first: bool = False,
    result_first: bool = False,
    domain: str = MICROSOFT,
    **attrs: Any,
) -> None:
    """The operator with its scales and zero points as operands.

    Args:
        model: gets the branch.
        branch: its name.
        operands: quantized ones, in order.
        result: parameters of the output, None for a float one (QGemm).
        bias: int32.
        bias_first: does the bias stand before the output's parameters (QGemm)?
        result_first: do the output's parameters stand before the operands (QLinearConcat)?
        domain: of the operator.
        attrs: of the node.
    """
    inputs: list[str] = []
    for letter, operand in zip("abcd", operands, strict=False):
        name = f"{branch}.{letter}"
        inputs += [model.operand(name, operand), *model.params(name, operand.quant)]
    own = model.params(f"{branch}.y", result) if result else []
    added = [] if bias is None else [model.constant(f"{branch}.bias", bias)]
    if result_first:
        inputs = own + inputs
    else:
        inputs += added + own if bias_first else own + added
    name = model.show(f"{branch}.y", result.dtype if result else "float32")
    model.node(model.operator, inputs, [name], domain, **attrs)


def integers(
    model: Model,
    branch: str,
    inputs: Sequence[np.ndarray],
    outputs: Sequence[str],
    *,
    extra: Sequence[np.ndarray] = (),
    constants: Sequence[int] = (),
    op: str = "",
    **attrs: Any,
) -> None:
    """The operator on the arrays as they are.

    Args:
        model: gets the branch.
        branch: its name.
        inputs: arrays that the model is fed; those with an index in `constants` are part of the model instead.
        outputs: dtypes.
        extra: constants behind the inputs.
        constants: see inputs.
        op: when it is not the model's own.
        attrs: of the node.
    """
    names = []
    for i, array in enumerate(inputs):
        name = f"{branch}.{'abcd'[i]}"
        names.append(model.constant(name, array) if i in constants else model.feed(name, array))
    names += [model.constant(f"{branch}.extra{i}", array) for i, array in enumerate(extra)]
    made = [model.show(f"{branch}.y{i if len(outputs) > 1 else ''}", dtype) for i, dtype in enumerate(outputs)]
    model.node(op or model.operator, names, made, **attrs)
