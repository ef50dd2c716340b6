# SPDX-License-Identifier: Apache-2.0
"""A canonical Graph written as ONNX, in the QDQ or the QOperator spelling.

Names of inputs, outputs and quantized tensors stay. A graph with the channels last keeps that layout: a Transpose of
the quantized values stands before and behind each operator on images. In QOperator, an operator without a QLinear form
stands between DequantizeLinear and QuantizeLinear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import onnx
from onnx import helper, numpy_helper

from q8emu.errors import UnsupportedOperator
from q8emu.export.onnx_forms import Form, form
from q8emu.export.onnx_names import Names
from q8emu.export.qoperator_forms import MICROSOFT, spell
from q8emu.graph import Graph, Node, QuantParams
from q8emu.numerics import spec

Format = Literal["qdq", "qoperator"]
FORMATS: tuple[Format, ...] = ("qdq", "qoperator")
OPSET, OLDEST, IR_VERSION = 17, 13, 8  # 13: scales per channel; 17 and 8 are read by tools of the last years
ON_IMAGES = frozenset({"AveragePool", "Conv", "GlobalAveragePool", "MaxPool"})
AS_THEY_ARE = frozenset({"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"})
MOVING = frozenset("Concat Flatten Identity MaxPool Pad Reshape Resize Slice Split Squeeze Transpose Unsqueeze".split())


def to_onnx(graph: Graph, *, style: Format = "qdq", wider: Graph | None = None) -> onnx.ModelProto:
    """Write a canonical graph as an ONNX model.

    Args:
        graph: canonical.
        style: "qdq" or "qoperator".
        wider: the same graph for another batch; where given, the axes that differ are symbolic in the model.

    Raises:
        UnsupportedOperator: an operator that ONNX cannot express; nothing has been written then.
    """
    writer = _Writer(graph, wider or graph, style, _opset(graph))
    for node in graph.nodes:
        writer.add(node)
    return writer.model()


def _opset(graph: Graph) -> int:
    """That of the file where operators of it stay in float, else OPSET."""
    own = graph.opsets.get("", OPSET)
    hosts = [n for n in graph.nodes if n.op == "Host"]
    if hosts and own < OLDEST:
        raise UnsupportedOperator(
            f"{hosts[0].attrs['op_type']} '{hosts[0].name}' stays in float and is of opset {own}; expected {OLDEST} or "
            "newer. Convert the model with onnx.version_converter first."
        )
    return own if hosts else max(own, OPSET)


class _Writer:
    """The ONNX graph under construction."""

    def __init__(self, graph: Graph, wider: Graph, style: Format, opset: int) -> None:
        self.graph, self.wider, self.style, self.opset = graph, wider, style, opset
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.domains = {"": opset, **{d: v for d, v in graph.opsets.items() if d}}
        self.names = Names(graph)

    # What every operator is made of

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str],
        attrs: Mapping[str, Any] | None = None,
        name: str = "",
    ) -> None:
        """Append a node, named after its first output where it has no name of its own."""
        domain = "com.microsoft" if op.startswith(MICROSOFT) else ""
        self.domains.setdefault(domain, 1)
        name = self.names.of_node(name or outputs[0])
        kind = op.removeprefix(MICROSOFT)
        self.nodes.append(helper.make_node(kind, list(inputs), list(outputs), name, domain=domain, **attrs or {}))

    def constant(self, stem: str, value: np.ndarray) -> str:
        """An initializer; equal ones of one stem are one."""
        for name in self.names.given(stem):
            known = self.initializers.get(name)
            if known is not None and _identical(known, value):
                return name
        name = self.names.fresh(stem)
        self.initializers[name] = value
        return name

    def tensor(self, name: str) -> str:
        """The ONNX name of a tensor of the graph; a constant becomes an initializer."""
        if name in self.graph.constants:
            self.initializers.setdefault(self.names[name], self.graph.constants[name])
        return self.names[name]

    def params(self, stem: str, quant: QuantParams, *, as_vector: bool = False) -> list[str]:
        """Names of a scale and a zero point."""
        shape: tuple[int, ...] = () if quant.is_per_tensor and not as_vector else (len(quant.scale),)
        scale = quant.scales().reshape(shape)
        point = quant.zero_points().astype(quant.dtype).reshape(shape)
        return [self.constant(f"{stem}_scale", scale), self.constant(f"{stem}_zero_point", point)]

    def dequantized(self, name: str, quant: QuantParams) -> str:
        """DequantizeLinear of a tensor that already has its ONNX name."""
        real = self.names.fresh(f"{name}_real")
        attrs = {} if quant.axis is None else {"axis": quant.axis}
        self.node("DequantizeLinear", [name, *self.params(name, quant)], [real], attrs)
        return real

    def quantized(self, real: str, name: str, node: Node, index: int, clamp: tuple[int, int]) -> None:
        """The activation that the clamp is, and QuantizeLinear."""
        quant = node.out_quant[index]
        assert quant is not None
        has_vectors = bool(node.attrs.get("has_vectors"))
        real = self._activation(real, name, quant, clamp)
        attrs = {} if quant.axis is None else {"axis": quant.axis}
        self.node("QuantizeLinear", [real, *self.params(name, quant, as_vector=has_vectors)], [name], attrs)

    def _activation(self, real: str, name: str, quant: QuantParams, clamp: tuple[int, int]) -> str:
        limits, point = spec.limits(quant.dtype), quant.zero_point[0]
        if clamp == limits:
            return real
        out = self.names.fresh(f"{name}_clamped")
        if clamp == (point, limits[1]):
            self.node("Relu", [real], [out])
            return out
        ends = [None if q == end else q for q, end in zip(clamp, limits, strict=True)]
        stems = f"{name}_low", f"{name}_high"
        bounds = [
            "" if q is None else self.constant(stem, np.array((q - point) * np.float32(quant.scale[0]), np.float32))
            for q, stem in zip(ends, stems, strict=True)
        ]
        self.node("Clip", [real, *bounds], [out])
        return out

    # Operators

    def add(self, node: Node) -> None:
        """Write one canonical node."""
        if node.op == "Host":
            self._host(node)
        elif node.op in AS_THEY_ARE:
            operands = [self.tensor(n) if n else "" for n in node.inputs]
            attrs = form(node, self.graph, self.wider, self.opset).attrs
            self.node(node.op, operands, [self.names[n] for n in node.outputs], attrs, node.name)
        elif node.op == "QuantizeLinear":
            quant = node.out_quant[0]
            assert quant is not None
            self.quantized(self.tensor(node.inputs[0]), self.names[node.outputs[0]], node, 0, spec.limits(quant.dtype))
        elif node.op == "DequantizeLinear":
            self._dequantize(node)
        else:
            self._operator(node)

    def _host(self, node: Node) -> None:
        proto = onnx.NodeProto.FromString(node.proto)
        for name in node.inputs:
            if name:
                self.tensor(name)
        self.domains.setdefault(proto.domain, 1)
        self.nodes.append(proto)

    def _dequantize(self, node: Node) -> None:
        quant, name = node.in_quant[0], self.tensor(node.inputs[0])
        assert quant is not None
        attrs = {} if quant.axis is None else {"axis": quant.axis}
        operands = [name, *self.params(name, quant)[: 1 if quant.dtype == "int32" else 2]]
        self.node("DequantizeLinear", operands, [self.names[node.outputs[0]]], attrs, node.name)

    def _operator(self, node: Node) -> None:
        spelled = form(node, self.graph, self.wider, self.opset)
        turned = self.graph.layout == "NHWC" and node.op in ON_IMAGES
        operands = [self.tensor(n) for n in node.inputs[: len(_tensors(node))]]
        outputs = [self.names[n] for n in node.outputs]
        targets = outputs
        if turned:
            operands[0] = self._turned(operands[0], (0, 3, 1, 2))
            targets = [self.names.fresh(f"{outputs[0]}_channels_first")]
        if node.op in MOVING and (self.style == "qoperator" or None in node.in_quant) and _only_moves(node):
            self._on_integers(node, spelled, operands, targets)
        elif self.style != "qoperator" or not self._qoperator(node, spelled, operands, targets[0]):
            self._qdq(node, spelled, operands, targets)
        if turned:
            self.node("Transpose", targets, outputs, {"perm": (0, 2, 3, 1)})

    def _turned(self, name: str, perm: tuple[int, ...]) -> str:
        out = self.names.fresh(f"{name}_channels_first")
        self.node("Transpose", [name], [out], {"perm": perm})
        return out

    def _constants(self, node: Node, spelled: Form) -> list[str]:
        stem = self.names[node.outputs[0]]
        return ["" if v is None else self.constant(f"{stem}_operand", v) for v in spelled.constants]

    def _on_integers(self, node: Node, spelled: Form, operands: list[str], outputs: list[str]) -> None:
        constants = self._constants(node, spelled)
        if node.op == "Pad" and len(constants) > 1:
            quant, out = node.in_quant[0], self.names[node.outputs[0]]
            info = self.graph.tensors[node.inputs[0]]
            value = np.array(node.attrs["value"], np.float32)
            point = value.astype(info.dtype)
            if quant is not None:
                point = spec.quantize(value, quant.scales()[0], quant.zero_points()[0], quant.dtype)
            constants[1] = self.constant(f"{out}_value", point)
        self.node(node.op, [*operands, *constants], outputs, spelled.attrs, node.name)

    def _qdq(self, node: Node, spelled: Form, operands: list[str], outputs: list[str]) -> None:
        reals = []
        for name, quant in zip(operands, node.in_quant, strict=False):
            assert quant is not None
            reals.append(self.dequantized(name, quant))
        if node.op == "Requantize":
            return self.quantized(reals[0], outputs[0], node, 0, _clamp(node, 0))
        bias = [self._bias(node)] if len(node.inputs) > len(operands) and node.input(len(operands)) else []
        makes_real = node.out_quant[0] is None
        made = outputs if makes_real else [self.names.fresh(f"{name}_exact") for name in outputs]
        if node.op == "MatMul" and bias:
            self._matmul_and_bias(node, reals, bias[0], made[0])
        else:
            self.node(node.op, [*reals, *bias, *self._constants(node, spelled)], made, spelled.attrs, node.name)
        if not makes_real:
            for index, (real, name) in enumerate(zip(made, outputs, strict=True)):
                self.quantized(real, name, node, index, _clamp(node, index))
        return None

    def _matmul_and_bias(self, node: Node, reals: list[str], bias: str, out: str) -> None:
        product = self.names.fresh(f"{out}_product")
        self.node("MatMul", reals, [product], {}, node.name)
        self.node("Add", [product, bias], [out])

    def _bias(self, node: Node) -> str:
        """The bias as real numbers: as it is, or dequantized with x_scale * w_scale."""
        name = node.inputs[2]
        value, x, w = self.graph.constants[name], node.in_quant[0], node.in_quant[1]
        assert x is not None and w is not None
        if value.dtype == np.float32:
            return self.tensor(name)
        if node.attrs.get("alpha", 1.0) != 1.0:
            raise UnsupportedOperator(
                f"{node.where()}: a bias beside alpha {node.attrs['alpha']}, which QDQ lacks; use the format qoperator."
            )
        scale = (x.scales() * w.scales()).astype(np.float32)
        quant = QuantParams("int32", tuple(map(float, scale)), (0,) * scale.size, None)
        axis = {} if scale.size == 1 else {"axis": value.ndim - 1}
        stem, real = self.tensor(name), self.names.fresh(f"{self.names[name]}_real")
        self.node("DequantizeLinear", [stem, *self.params(stem, quant)[:1]], [real], axis)
        return real

    def _qoperator(self, node: Node, spelled: Form, operands: list[str], out: str) -> bool:
        """The QLinear form; False where there is none."""
        y = node.out_quant[0] if node.out_quant else None
        if y is None or node.attrs.get("has_vectors"):
            return False
        bias = ""
        if len(node.inputs) > len(operands) and node.input(2):
            if self.graph.constants[node.inputs[2]].dtype != np.int32:
                return False
            bias = self.tensor(node.inputs[2])
        groups = [[name, *self.params(name, q)] for name, q in zip(operands, node.in_quant, strict=False) if q]
        clamp = _clamp(node, 0)
        is_clamped = clamp != spec.limits(y.dtype)
        target = self.names.fresh(f"{out}_unclamped") if is_clamped else out
        found = spell(node, spelled, groups, self.params(out, y), bias, self.opset)
        if found is None:
            return False
        op, inputs, attrs = found
        self.node(op, inputs, [target], attrs, node.name)
        if is_clamped:
            stems = f"{out}_qmin", f"{out}_qmax"
            ends = [self.constant(stem, np.array(q, y.dtype)) for stem, q in zip(stems, clamp, strict=True)]
            self.node("Clip", [target, *ends], [out])
        return True

    # The model

    def model(self) -> onnx.ModelProto:
        """All of it, checked."""
        graph = helper.make_graph(
            self.nodes,
            "q8emu",
            [self._described(name) for name in self.graph.inputs],
            [self._described(name) for name in self.graph.outputs],
            [numpy_helper.from_array(value, name) for name, value in self.initializers.items()],
        )
        opsets = [helper.make_opsetid(domain, version) for domain, version in self.domains.items()]
        needed = helper.find_min_ir_version_for(opsets, ignore_unknown=True)
        model = helper.make_model(
            graph, opset_imports=opsets, producer_name="q8emu", ir_version=max(IR_VERSION, needed)
        )
        onnx.checker.check_model(model)
        return model

    def _described(self, name: str) -> onnx.ValueInfoProto:
        info = self.graph.tensors[name]
        shape = [n if n == m else "N" for n, m in zip(info.shape, self.wider.tensors[name].shape, strict=True)]
        dtype = helper.np_dtype_to_tensor_dtype(np.dtype(info.dtype))
        return helper.make_tensor_value_info(self.names[name], dtype, shape)


def _identical(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _tensors(node: Node) -> tuple[str, ...]:
    """The operands that are dequantized; a bias is not one."""
    return node.inputs[:2] if node.op in ("Conv", "Gemm", "MatMul") else node.inputs


def _clamp(node: Node, index: int) -> tuple[int, int]:
    quant = node.out_quant[index]
    assert quant is not None
    found = node.attrs["clamps"][index] if "clamps" in node.attrs else node.attrs.get("clamp", spec.limits(quant.dtype))
    return int(found[0]), int(found[1])


def _only_moves(node: Node) -> bool:
    """Do the values keep their parameters, without an activation?"""
    (quant, *others) = {*node.in_quant, *node.out_quant}
    if others or quant is None:
        return not others
    return all(_clamp(node, i) == spec.limits(quant.dtype) for i in range(len(node.outputs)))
