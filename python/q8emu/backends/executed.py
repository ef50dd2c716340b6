# SPDX-License-Identifier: Apache-2.0
"""Which operators a runtime really executes, read from the graph that it optimized: names and operators only."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

BOUNDARY = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})
# Operators that select or move values and compute nothing.
MOVEMENT = frozenset(
    "Cast Concat Constant DepthToSpace Expand Flatten Gather Identity MaxPool Pad ReduceMax ReduceMin ReorderInput "
    "ReorderOutput Reshape Resize Shape Slice SpaceToDepth Split Squeeze Tile Transpose Unsqueeze Upsample".split()
)
UNARY = frozenset(
    "Abs Celu Clip Elu Erf Exp FastGelu Gelu HardSigmoid HardSwish LeakyRelu Log Mish Neg PRelu QuickGelu Reciprocal "
    "Relu Selu Sigmoid Softplus Softsign Sqrt Tanh ThresholdedRelu".split()
)
BINARY = frozenset("Add Div Max Min Mul Pow Sub".split())
LARGEST_EXACT = 64  # twice 255 times it, or its negative, is within int16
_INTEGER = ("QLinear", "QGemm", "ConvInteger", "MatMulInteger", "DynamicQuantizeMatMul")


class Executed:
    """The graph that a session executes."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Index the nodes of `graph` by what they produce."""
        self._nodes = list(graph.node)
        self._producer = {name: node for node in self._nodes for name in node.output if name}
        self._dtype = {init.name: init.data_type for init in graph.initializer}
        self._constants = {init.name: init for init in graph.initializer}
        self._dtype |= {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
        self._dtype |= {value.name: value.type.tensor_type.elem_type for value in graph.input}

    def arithmetic(self) -> Counter[str]:
        """How often each computing operator runs; layout changes and the boundary to float do not count."""
        computing = [node for node in self._nodes if _plain(node.op_type) not in MOVEMENT | BOUNDARY]
        return Counter(("Nchwc" if "nchwc" in node.domain else "") + _plain(node.op_type) for node in computing)

    def computes(self, tensor: str) -> bool:
        """Does a tensor of this name exist in the graph, as the result of a node?"""
        return tensor in self._producer

    def float_nodes(self, quantized: Collection[str], floats: Collection[str]) -> dict[str, str]:
        """Tensors that were computed in float, mapped to the operator that did it.

        Args:
            quantized: integer tensors.
            floats: float tensors, the final outputs of the model.
        """
        known = frozenset(quantized) | frozenset(floats)
        found = {name: self._float_operator(name, name in floats, known) for name in [*quantized, *floats]}
        return {name: op for name, op in found.items() if op is not None}

    def _float_operator(self, tensor: str, in_float: bool, known: frozenset[str]) -> str | None:
        """The operator of the float region right before `tensor` that decides its value, None for an integer one."""
        region: list[str] = []
        queue = deque([(tensor, in_float)])
        seen = {tensor}
        while queue:
            name, in_float = queue.popleft()
            node = self._producer.get(name)
            if node is None or (name != tensor and name in known):
                continue
            op = _plain(node.op_type)
            if op == "DequantizeLinear" or op.startswith(_INTEGER):
                continue
            operands = list(node.input)
            if op in ("QuantizeLinear", "DynamicQuantizeLinear"):
                in_float, operands = True, operands[:1]
            elif op in MOVEMENT:
                operands = operands if op == "Concat" else operands[:1]
            elif in_float:
                region.append(op)
            else:
                continue
            for operand in operands:
                if operand and operand not in seen:
                    seen.add(operand)
                    queue.append((operand, in_float))
        return min(region, key=_rank, default=None)

    def mixes_u8_and_s8(self, *, large: bool = False) -> bool:
        """Does an integer product take uint8 activations and int8 weights?

        Args:
            large: only such that a sum of two products can leave int16: weights that are computed, or not in [-64, 64];
                an output that is one product has no such sum.
        """
        mixing = [
            node
            for node in self._nodes
            if self._operand_types(node) == (2, 3)  # TensorProto.UINT8, INT8
            and node.op_type != "ConvInteger"  # its weights come first, and become uint8
        ]
        return any(not large or self._is_large(node) for node in mixing)

    def _is_large(self, node: onnx.NodeProto) -> bool:
        from onnx import numpy_helper

        weights = node.input[_ZERO_POINTS[_plain(node.op_type)][1][1]]
        if weights not in self._constants:
            return True
        values = numpy_helper.to_array(self._constants[weights])
        if not values.size or _products(node, values.shape) == 1:
            return False
        return max(-int(values.min()), int(values.max())) > LARGEST_EXACT

    def _operand_types(self, node: onnx.NodeProto) -> tuple[int, int]:
        """Element types of both operands of an integer product, (0, 0) for other nodes."""
        points = _ZERO_POINTS.get(_plain(node.op_type))
        if points is None:
            return 0, 0
        names = [[i for i in pair if i < len(node.input)] for pair in points]
        kinds = [next((t for i in pair if (t := self._type(node.input[i]))), 0) for pair in names]
        return kinds[0], kinds[1]

    def _type(self, name: str) -> int:
        while name not in self._dtype and name in self._producer:
            node = self._producer[name]
            if node.op_type == "DynamicQuantizeLinear" or (node.op_type == "QuantizeLinear" and len(node.input) < 3):
                return next((int(a.i) for a in node.attribute if a.name == "output_dtype" and a.i), 2)
            if node.op_type == "QuantizeLinear":  # as its zero point
                return int(self._dtype.get(node.input[2], 0))
            if node.op_type in BOUNDARY or _plain(node.op_type).startswith(_INTEGER):
                return 0
            name = node.input[0] if node.input else ""
        return int(self._dtype.get(name, 0))


def _products(node: onnx.NodeProto, weights: Sequence[int]) -> int:
    """How many products an output is the sum of."""
    if "Conv" in node.op_type:
        return prod(weights[1:])
    transposed = any(a.name == "transB" and a.i for a in node.attribute)
    return weights[-1 if transposed else -2] if len(weights) > 1 else weights[0]


# Where the two operands of an integer product show their types: the zero point first, then the operand itself.
_ZERO_POINTS: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "QLinearConv": ((2, 0), (5, 3)),
    "QLinearMatMul": ((2, 0), (5, 3)),
    "QGemm": ((2, 0), (5, 3)),
    "ConvInteger": ((2, 0), (3, 1)),
    "MatMulInteger": ((2, 0), (3, 1)),
    "MatMulIntegerToFloat": ((4, 0), (5, 1)),
    "DynamicQuantizeMatMul": ((9, 9), (3, 1)),
}


def _plain(op: str) -> str:
    """The operator without ONNX Runtime's marks for layout and fused activations."""
    op = op.removeprefix("Nhwc")
    return op.removeprefix("Fused")


def _rank(op: str) -> int:
    """Convolutions, products and means decide before sums of two, these before functions of one value."""
    return 2 if op in UNARY else 1 if op in BINARY else 0
