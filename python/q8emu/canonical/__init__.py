# SPDX-License-Identifier: Apache-2.0
"""The QDQ and the QOperator spelling of a model become one set of operators."""

from __future__ import annotations

from types import MappingProxyType

from q8emu.canonical.bias import BIAS_READINGS
from q8emu.canonical.builder import Builder
from q8emu.canonical.qdq import QDQ_OPERATORS, absorb, dequantize_linear, quantize_linear
from q8emu.canonical.qoperator import QOPERATORS, integer_operator, qoperator
from q8emu.errors import BadInput, BadModel, UnsupportedOperator
from q8emu.graph import INTERNAL, Graph, Node
from q8emu.ops import INTEGER_OPERATORS


def canonicalize(graph: Graph, *, bias: str = "auto") -> Graph:
    """Rewrite a graph as a reader returned it in q8emu's own operators.

    An operator whose operands are quantized becomes an integer operator with the quantization parameters on the node,
    its activation folded into clamp bounds. An operator that stays in float becomes a "Host" node.

    Args:
        graph: what a reader returned.
        bias: how an int32 bias whose scale is not x_scale * w_scale is read. "as-is": the integers are added as they
            are; "rescaled": bias * bias_scale / (x_scale * w_scale), half to even; "auto": as-is where ONNX Runtime's
            fused graph ignores the difference, rescaled where it would compute in float.

    Raises:
        BadQuantization: a scale or zero point that is not legal, with the node's name.
        BadInput: an unknown reading of the bias.
        UnsupportedOperator: nothing in the model is quantized.
    """
    if bias not in BIAS_READINGS:
        raise BadInput(f"The bias can be read {', '.join(BIAS_READINGS)}; '{bias}' is none of these.")
    reserved = next((n for n in graph.tensors if n.startswith(INTERNAL)), None)
    if reserved is not None:
        raise BadModel(f"Tensor '{reserved}' has a name that begins with '{INTERNAL}', which q8emu keeps for its own.")
    builder = Builder(graph, bias)
    for node in graph.nodes:
        if node.name not in builder.absorbed:
            _checked(node, builder)
    for name in graph.outputs:
        builder.real(name)
    result = Graph(
        graph.inputs,
        graph.outputs,
        tuple(builder.live_nodes()),
        MappingProxyType(builder.tensors),
        MappingProxyType(builder.constants),
        graph.opsets,
        graph.notes + tuple(builder.notes),
        declared=graph.declared,
    )
    if all(node.op == "Host" for node in result.nodes):
        raise UnsupportedOperator(
            "Nothing in the model is quantized: no operator has quantized operands. Quantize it first, for example "
            "with onnxruntime.quantization.quantize_static."
        )
    return result


def _checked(node: Node, builder: Builder) -> None:
    """Rewrite one node of an untrusted file: whatever its attributes and operands are, a failure names the node.

    Raises:
        BadModel: an attribute or operand is of another kind than the operator's.
    """
    try:
        _rewrite(node, builder)
    except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
        raise BadModel(
            f"{node.where()} has an attribute or operand that is not of the operator's kind "
            f"({type(error).__name__}: {error}); expected a legal node."
        ) from error


def _rewrite(node: Node, builder: Builder) -> None:
    """One node of the file: integer where its operands are quantized, else a host step."""
    if node.op == "DequantizeLinear":
        done = dequantize_linear(node, builder)
    elif node.op == "QuantizeLinear":
        done = quantize_linear(node, builder)
    elif node.op in QOPERATORS:
        done = qoperator(node, builder)
    elif node.op in INTEGER_OPERATORS:
        done = integer_operator(node, builder)
    else:
        done = node.op in QDQ_OPERATORS and absorb(node, builder)
    if not done:
        builder.host(node)


__all__ = ["canonicalize"]
