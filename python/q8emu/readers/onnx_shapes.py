# SPDX-License-Identifier: Apache-2.0
"""Static types of a node's outputs, and the values of nodes that only compute shapes.

Both are left to the onnx package, one node at a time: its inference knows every standard operator and version. The
com.microsoft operators are inferred through the standard operator of the same shape rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from q8emu.errors import ShapeMismatch, UnsupportedOperator
from q8emu.graph import Node, TensorInfo
from q8emu.readers.onnx_tensors import dtype_name
from q8emu.readers.shapes import checked_shape

CORRECT_CEIL_OPSET = 22
STANDIN_OPSET = 17  # of the standard operators that stand in for com.microsoft ones
SMALL = 1024  # constants up to this many elements may decide a shape
SHAPE_OPERATORS = frozenset(
    "Add Cast Concat Constant ConstantOfShape Div Equal Expand Floor Gather Identity Mul Range ReduceProd Reshape "
    "Shape Slice Squeeze Sub Unsqueeze Where".split()
)
# com.microsoft operator → standard operator with the same shape rule, and which operands it reads
MICROSOFT = {
    "QGemm": ("Gemm", (0, 3)),
    "QLinearAdd": ("Add", (0, 3)),
    "QLinearAveragePool": ("AveragePool", (0,)),
    "QLinearGlobalAveragePool": ("GlobalAveragePool", (0,)),
    "QLinearLeakyRelu": ("Relu", (0,)),
    "QLinearMul": ("Mul", (0, 3)),
    "QLinearSigmoid": ("Relu", (0,)),
    "QLinearSoftmax": ("Relu", (0,)),
}
# operands that must be there: each tensor with its scale
REQUIRED = {
    "QGemm": (0, 1, 3, 4),
    "QLinearAdd": (0, 1, 3, 4, 6),
    "QLinearAveragePool": (0, 1, 3),
    "QLinearGlobalAveragePool": (0, 1, 3),
    "QLinearLeakyRelu": (0, 1, 3),
    "QLinearMul": (0, 1, 3, 4, 6),
    "QLinearSigmoid": (0, 1, 3),
    "QLinearSoftmax": (0, 1, 3),
}
POOL_ATTRIBUTES = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides", "transA", "transB")


def infer_outputs(
    node: Node, tensors: Mapping[str, TensorInfo], constants: Mapping[str, np.ndarray], opsets: Mapping[str, int]
) -> list[TensorInfo]:
    """Types of the outputs of one node.

    Raises:
        ShapeMismatch: the operands do not fit each other.
        UnsupportedOperator: the operator is unknown, or its output shape depends on data.
    """
    proto = NodeProto.FromString(node.proto)
    if node.op.startswith("com.microsoft:"):
        return _infer_microsoft(node, proto, tensors)
    if ":" in node.op:
        raise UnsupportedOperator(f"{node.where()} belongs to a domain that q8emu does not know.")
    return _infer_standard(node, proto, tensors, constants, opsets)


def _infer_standard(
    node: Node,
    proto: NodeProto,
    tensors: Mapping[str, TensorInfo],
    constants: Mapping[str, np.ndarray],
    opsets: Mapping[str, int],
) -> list[TensorInfo]:
    names = dict.fromkeys(filter(None, proto.input))
    values = [_value_info(tensors[name]) for name in names]
    small = [numpy_helper.from_array(constants[n], n) for n in names if n in constants and constants[n].size <= SMALL]
    outputs = [helper.make_empty_tensor_value_info(name) for name in proto.output if name]
    graph = helper.make_graph([proto], "one", values, outputs, small)
    opset = _inference_opset(proto, opsets[""])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    try:
        onnx.checker.check_node(proto, _checker_context(opsets[""]))  # arity and types of the attributes
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        reason = " ".join(str(error).split())[-200:]
        raise ShapeMismatch(f"{node.where()}: its operands do not fit: {reason}") from error
    found = [_tensor_info(v, node) for v in inferred.graph.output]
    return [_resized(node, found[0], tensors, constants, opsets[""])] if proto.op_type == "Resize" else found


def _resized(
    node: Node,
    info: TensorInfo,
    tensors: Mapping[str, TensorInfo],
    constants: Mapping[str, np.ndarray],
    opset: int,
) -> TensorInfo:
    """The output of a Resize by scales: floor(f32(scale * length)); onnx rounds the product less."""
    scales = constants.get(node.input(1 if opset == 10 else 2), np.zeros(0, np.float32)).reshape(-1)
    shape = list(tensors[node.inputs[0]].shape)
    axes = node.attrs.get("axes") or range(len(shape))
    if scales.size == 0 or scales.dtype != np.float32 or scales.size != len(tuple(axes)):
        return info
    for axis, scale in zip(axes, scales, strict=True):
        shape[axis] = int(np.floor(scale * np.float32(shape[axis])))
    return TensorInfo(info.name, info.dtype, checked_shape(shape, f"tensor '{info.name}' of {node.where()}"))


def _inference_opset(proto: NodeProto, opset: int) -> int:
    """Before opset 22, onnx counts a window of a ceil_mode pool that begins in the end padding; no runtime does."""
    is_pool = proto.op_type in ("AveragePool", "MaxPool")
    ceil = any(a.name == "ceil_mode" and a.i for a in proto.attribute)
    return max(opset, CORRECT_CEIL_OPSET) if is_pool and ceil else opset


def _checker_context(opset: int) -> onnx.checker.C.CheckerContext:
    context = onnx.checker.C.CheckerContext()
    context.ir_version, context.opset_imports = onnx.IR_VERSION, {"": opset}
    return context


def _value_info(info: TensorInfo) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(info.name, helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype)), info.shape)


def _tensor_info(value: onnx.ValueInfoProto, node: Node) -> TensorInfo:
    tensor = value.type.tensor_type
    where = f"tensor '{value.name}' of {node.where()}"
    if not tensor.HasField("shape") or any(not d.HasField("dim_value") for d in tensor.shape.dim):
        raise UnsupportedOperator(f"{node.where()}: the shape of its output depends on data; expected a static one.")
    return TensorInfo(
        value.name, dtype_name(tensor.elem_type, where), checked_shape([d.dim_value for d in tensor.shape.dim], where)
    )


def _infer_microsoft(node: Node, proto: NodeProto, tensors: Mapping[str, TensorInfo]) -> list[TensorInfo]:
    """Infer through a standard operator on float tensors of the same shapes; the dtype is that of the zero point."""
    op = proto.op_type
    if op == "QLinearConcat":
        proxy, operands = "Concat", tuple(range(2, len(node.inputs), 3))
    elif op in MICROSOFT:
        proxy, operands = MICROSOFT[op]
    else:
        raise UnsupportedOperator(f"{node.where()} is a com.microsoft operator that q8emu does not know.")
    required = REQUIRED.get(op, range(len(node.inputs)))
    if not operands or any(not node.input(i) for i in required):
        raise ShapeMismatch(f"{node.where()} lacks one of its operands {list(required)}; expected them all.")
    names = [node.inputs[i] for i in operands]
    if node.attrs.get("channels_last", 0):
        raise UnsupportedOperator(f"{node.where()} is channels-last; expected the channels-first form.")
    kept = [a for a in proto.attribute if a.name in POOL_ATTRIBUTES or (op == "QLinearConcat" and a.name == "axis")]
    standin = NodeProto(op_type=proxy, input=names, output=proto.output, attribute=kept)
    shapes = {name: TensorInfo(name, "float32", tensors[name].shape) for name in names}
    inferred = _infer_standard(node, standin, shapes, {}, {"": STANDIN_OPSET})
    return [TensorInfo(i.name, _output_dtype(node, tensors, names[0]), i.shape) for i in inferred]


def _output_dtype(node: Node, tensors: Mapping[str, TensorInfo], first: str) -> str:
    if node.op == "com.microsoft:QGemm":
        return tensors[first].dtype if len(node.inputs) > 7 and node.input(7) else "float32"
    return tensors[first].dtype


def constant_value(
    node: Node, tensors: Mapping[str, TensorInfo], constants: Mapping[str, np.ndarray], opsets: Mapping[str, int]
) -> np.ndarray | None:
    """The value of a node that only computes shapes from constants, None for every other node."""
    if node.op not in SHAPE_OPERATORS or len(node.outputs) != 1:
        return None
    if node.op == "Constant":
        return _constant(node)
    if node.op == "Shape":
        start, end = node.attrs.get("start", 0), node.attrs.get("end", None)
        return np.array(tensors[node.inputs[0]].shape[start:end], np.int64)
    operands = [constants.get(name) for name in node.inputs if name]
    if not operands or any(v is None or v.size > SMALL or v.dtype.kind not in "iub" for v in operands):
        return None
    if not _is_bounded(node, operands) or prod(infer_outputs(node, tensors, constants, opsets)[0].shape) > SMALL:
        return None
    return _evaluate(node, constants, opsets)


def _is_bounded(node: Node, operands: Sequence[np.ndarray | None]) -> bool:
    """Can the output not be much larger than the constants that go in?"""
    if node.op in ("ConstantOfShape", "Expand"):
        shape = operands[-1]
        return shape is not None and bool((shape >= 0).all()) and prod(int(d) for d in shape) <= SMALL
    return node.op != "Range"


def _constant(node: Node) -> np.ndarray:
    if "value" in node.attrs:
        return np.asarray(node.attrs["value"])
    for key in ("value_int", "value_ints"):
        if key in node.attrs:
            return np.asarray(node.attrs[key], np.int64)
    for key in ("value_float", "value_floats"):
        if key in node.attrs:
            return np.asarray(node.attrs[key], np.float32)
    raise UnsupportedOperator(f"{node.where()} holds a constant that is not a dense numeric tensor.")


def _evaluate(node: Node, constants: Mapping[str, np.ndarray], opsets: Mapping[str, int]) -> np.ndarray:
    from onnx.reference import ReferenceEvaluator

    proto = NodeProto.FromString(node.proto)
    names = dict.fromkeys(filter(None, proto.input))
    initializers = [numpy_helper.from_array(constants[name], name) for name in names]
    output = helper.make_tensor_value_info(node.outputs[0], TensorProto.UNDEFINED, None)
    graph = helper.make_graph([proto], "one", [], [output], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opsets[""])])
    outputs: Any = ReferenceEvaluator(model).run(None, {})
    return np.asarray(outputs[0])
