# SPDX-License-Identifier: Apache-2.0
"""The nodes of an ONNX file, QDQ or QOperator or float, and where each of their parameters lives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import ModelProto, NodeProto

from q8emu.canonical.qoperator import LAYOUTS
from q8emu.errors import UnsupportedOperator
from q8emu.graph import TensorInfo
from q8emu.listing.base import FileNode, FileOperand, Place, Quantization
from q8emu.readers.onnx import DEFAULT_DOMAINS, file_node, initializers, parse_onnx, read_onnx

PASSING = ("Relu", "Clip")  # activations between an operator and its QuantizeLinear
# operand → its zero point, for operators whose scales are elsewhere
INTEGER = {"ConvInteger": {0: 2, 1: 3}, "MatMulInteger": {0: 2, 1: 3}}
SUMMANDS = {"x": "a", "w": "b"}  # of QLinearAdd and QLinearMul, which have no weights
Homes = Mapping[tuple[bool, int], tuple[int | None, int]]  # is it an output?, slot → slots of scale and zero point


def list_onnx(model: Path) -> tuple[FileNode, ...]:
    """The nodes of an ONNX file.

    Raises:
        Q8Error: the file cannot be read.
    """
    proto, folder = parse_onnx(model)
    return _File(proto, model, folder).nodes()


class _File:
    """The file with its tensors known by name."""

    def __init__(self, proto: ModelProto, model: Path, folder: Path | None) -> None:
        self._proto, self._folder = proto, folder
        self._initializers = {t.name for t in proto.graph.initializer}
        self._inputs = {v.name for v in proto.graph.input}
        self._all = list(proto.graph.node)
        self._maker = {name: i for i, node in enumerate(self._all) for name in node.output if name}
        self._readers: dict[str, list[int]] = {}
        for i, node in enumerate(self._all):
            for name in dict.fromkeys(node.input):
                self._readers.setdefault(name, []).append(i)
        self._opset = next((o.version for o in proto.opset_import if o.domain in DEFAULT_DOMAINS), 0)
        self._tensors, self._constants = self._types(model)

    def nodes(self) -> tuple[FileNode, ...]:
        """All of them, in the file's order."""
        return tuple(self._node(i) for i in range(len(self._all)))

    def _types(self, model: Path) -> tuple[Mapping[str, TensorInfo], Mapping[str, np.ndarray]]:
        """Of all tensors; of the initializers alone where some operator is not one that q8emu reads."""
        try:
            graph = read_onnx(model)
        except UnsupportedOperator:
            constants = initializers(self._proto, self._folder)
            return {n: TensorInfo(n, str(a.dtype), a.shape) for n, a in constants.items()}, constants
        return graph.tensors, graph.constants

    def _node(self, index: int) -> FileNode:
        proto = self._all[index]
        node = file_node(proto, index, self._folder)
        names, homes = _roles(proto, self._opset), _homes(proto)
        ins = tuple(
            self._operand(index, slot, name, names, homes, is_output=False)
            for slot, name in enumerate(proto.input)
            if name
        )
        outs = tuple(
            self._operand(index, slot, name, names, homes, is_output=True)
            for slot, name in enumerate(proto.output)
            if name
        )
        return FileNode(index, node.op, proto.name, dict(node.attrs), ins, outs)

    def _operand(
        self, index: int, slot: int, name: str, names: tuple[list[str], list[str]], homes: Homes, *, is_output: bool
    ) -> FileOperand:
        info = self._tensors.get(name)
        known = names[is_output]
        role = known[slot] if slot < len(known) else ""
        own = homes.get((is_output, slot))
        if own is not None:
            quantization = self._parameters(index, name, *own)
        elif homes:  # an operator with parameters of its own; this slot has none, or is one
            quantization = None
        else:
            quantization = self._behind(name) if is_output else self._before(name)
        place = None if is_output else self._place(name)
        return FileOperand(
            slot, role, name, info.dtype if info else "", info.shape if info else None, place, quantization
        )

    def _place(self, name: str) -> Place:
        if name in self._initializers:
            return Place("initializer", name)
        if name not in self._maker:
            return Place("input", name)
        index = self._maker[name]
        maker = self._all[index]
        if maker.op_type == "Constant":
            return Place("constant", name, index, "Constant")
        passes = maker.op_type in ("DequantizeLinear", "QuantizeLinear") and maker.input
        fed = maker.input[0] if passes else ""
        is_constant = fed in self._initializers or fed in self._constants
        return Place("node", name, index, maker.op_type, source=self._place(fed) if is_constant else None)

    def _before(self, name: str) -> Quantization | None:
        """The parameters of the DequantizeLinear whose output this is."""
        index = self._maker.get(name)
        if index is None or self._all[index].op_type != "DequantizeLinear":
            return None
        return self._parameters(index, self._all[index].input[0], 1, 2, index)

    def _behind(self, name: str) -> Quantization | None:
        """The parameters of the QuantizeLinear that alone reads this, directly or behind Relu and Clip."""
        for _ in self._all:
            readers = self._readers.get(name, [])
            node = self._all[readers[0]] if len(readers) == 1 else None
            if node is None or node.input[0] != name or not node.output:
                return None
            if node.op_type == "QuantizeLinear":
                return self._parameters(readers[0], node.output[0], 1, 2, readers[0])
            if node.op_type not in PASSING:
                return None
            name = node.output[0]
        return None

    def _parameters(
        self, index: int, tensor: str, scale: int | None, zero_point: int, by: int | None = None
    ) -> Quantization:
        proto = self._all[index]

        def name(slot: int | None) -> str:
            return proto.input[slot] if slot is not None and slot < len(proto.input) else ""

        values = self._constants.get(name(scale), np.zeros(0, np.float32)).reshape(-1)
        points = self._constants.get(name(zero_point), np.zeros(0, np.int8)).reshape(-1)
        info = self._tensors.get(tensor)
        dtype = str(points.dtype) if name(zero_point) in self._constants else info.dtype if info else ""
        rank = len(info.shape) if info else None
        return Quantization(
            dtype,
            tuple(float(v) for v in values),
            tuple(int(p) for p in points),
            _axis(proto, rank) if max(values.size, points.size) > 1 else None,
            self._place(name(scale)) if name(scale) else None,
            self._place(name(zero_point)) if name(zero_point) else None,
            by,
        )


def _axis(proto: NodeProto, rank: int | None) -> int | None:
    """Of several scales: the attribute, or the output channels of the weights."""
    numbers = {a.name: a.i for a in proto.attribute}
    if proto.op_type in ("QuantizeLinear", "DequantizeLinear"):
        axis = int(numbers.get("axis", 1))
        return axis + rank if axis < 0 and rank is not None else axis
    if proto.op_type in ("QLinearMatMul", "MatMulInteger"):
        return None if rank is None else rank - 1
    return int(not numbers.get("transB", 0)) if proto.op_type == "QGemm" else 0


def _key(proto: NodeProto) -> str:
    return proto.op_type if proto.domain in DEFAULT_DOMAINS else f"{proto.domain}:{proto.op_type}"


def _homes(proto: NodeProto) -> Homes:
    """Where an operator that carries parameters as operands has them."""
    key = _key(proto)
    if key == "QuantizeLinear":
        return {(True, 0): (1, 2)}
    if key == "DequantizeLinear":
        return {(False, 0): (1, 2)}
    if key in INTEGER:
        return {(False, slot): (None, point) for slot, point in INTEGER[key].items()}
    if key == "com.microsoft:QLinearConcat":
        return {(True, 0): (0, 1)} | {(False, at): (at + 1, at + 2) for at in range(2, len(proto.input), 3)}
    if key not in LAYOUTS:
        return {}
    places = LAYOUTS[key][1]
    return {(False, at): (at + 1, at + 2) for _, at in places[:-1]} | {(True, 0): (places[-1][1], places[-1][1] + 1)}


def _roles(proto: NodeProto, opset: int) -> tuple[list[str], list[str]]:
    """What the operator's definition calls its inputs and outputs."""
    key = _key(proto)
    if key in LAYOUTS and proto.domain not in DEFAULT_DOMAINS:
        _, places, bias = LAYOUTS[key]
        names = [""] * (len(proto.input) + 3)
        for role, at in places[:-1]:
            name = role if bias is not None or len(places) < 3 else SUMMANDS[role]
            names[at : at + 3] = name, f"{name}_scale", f"{name}_zero_point"
        names[places[-1][1] : places[-1][1] + 2] = "y_scale", "y_zero_point"
        if bias is not None:
            names[bias] = "bias"
        return names, ["y"]
    if proto.domain not in DEFAULT_DOMAINS or not onnx.defs.has(proto.op_type):
        return [], []
    try:
        schema = onnx.defs.get_schema(proto.op_type, opset)
    except onnx.defs.SchemaError:
        return [], []
    return [i.name for i in schema.inputs], [o.name for o in schema.outputs]
