# SPDX-License-Identifier: Apache-2.0
"""The operators of ONNX and com.microsoft that carry scales and zero points as operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from q8emu.export.onnx_forms import Form
from q8emu.graph import Node

MICROSOFT = "com.microsoft:"
UNARY = frozenset({"AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax"})
BINARY = frozenset({"Add", "Mul"})
Spelled = tuple[str, list[str], dict[str, Any]]


def spell(node: Node, form: Form, groups: Sequence[list[str]], out: list[str], bias: str, opset: int) -> Spelled | None:
    """Operator, operands and attributes; None where there is no such operator for this node.

    Args:
        node: canonical, with a quantized output.
        form: its attributes in the QDQ spelling.
        groups: for each quantized operand, its name, scale and zero point.
        out: scale and zero point of the output.
        bias: name of an int32 bias, or "".
        opset: of the model.
    """
    dtypes = {q.dtype for q in (*node.in_quant[: len(groups)], *node.out_quant) if q is not None}
    flat = [name for group in groups for name in group]
    if node.op == "Conv" and _one_dtype(node):
        return "QLinearConv", [*flat, *out, *([bias] if bias else [])], form.attrs
    if node.op == "MatMul" and not bias and _one_dtype(node):
        return "QLinearMatMul", [*flat, *out], {}
    if node.op == "Gemm" and _one_dtype(node):
        return f"{MICROSOFT}QGemm", [*flat, bias, *out], form.attrs
    if node.op == "Concat" and len(dtypes) == 1:
        return f"{MICROSOFT}QLinearConcat", [*out, *flat], form.attrs
    if node.op in BINARY and len(dtypes) == 1:
        return f"{MICROSOFT}QLinear{node.op}", [*flat, *out], {}
    if node.op in UNARY and len(dtypes) == 1 and "dilations" not in form.attrs:
        attrs = form.attrs | ({"opset": opset} if node.op == "Softmax" else {})
        return f"{MICROSOFT}QLinear{node.op}", [*flat, *out], attrs
    return None


def _one_dtype(node: Node) -> bool:
    """Do input and output of a product have one dtype, and weights that ONNX Runtime multiplies with it?"""
    x, w, y = (q.dtype if q else "" for q in (*node.in_quant[:2], node.out_quant[0]))
    return x == y and (x, w) != ("int8", "uint8")
