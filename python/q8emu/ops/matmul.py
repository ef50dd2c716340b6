# SPDX-License-Identifier: Apache-2.0
"""MatMul (QDQ, QLinearMatMul): y = requantize(sum over k of (a - a_zero_point)(b - b_zero_point)), batches broadcast.

A MatMul by a matrix whose only reader is the Add of a bias [N] is one product with that bias in the accumulator, as in
ONNX Runtime's fused graph.
"""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.ops.accumulator import check_product
from q8emu.ops.base import Attributes, FileView, quant, require
from q8emu.ops.bias import integer_bias
from q8emu.ops.output_stage import Stage, output_stage


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    b = node.inputs[3 if node.op == "QLinearMatMul" else 1]
    ranks = len(view.shape(node.inputs[0])), len(view.shape(b))
    require(min(ranks) >= 1, node, "a scalar operand.")
    return {}


def weight_axis(node: Node, shape: tuple[int, ...]) -> int:
    """Axis of the columns of b."""
    return len(shape) - 1


def channel_axis_fits(node: Node, params: QuantParams, shape: tuple[int, ...]) -> bool:
    """Is b quantized per tensor or per column?"""
    return params.is_per_tensor or (params.axis == len(shape) - 1 and len(shape) >= 2)


def lower(node: Node, low: Lowering) -> None:
    """One matmul; a vector operand becomes a matrix of one row or one column."""
    a_quant, b_quant = quant(node, 0), quant(node, 1)
    params: dict[str, int | tuple[int, ...]] = {"a_zero_point": a_quant.zero_point[0]}
    arrays = {"b_zero_point": b_quant.zero_points()}
    bias = integer_bias(node, low, a_quant.scales(), b_quant.scales())
    if bias is not None:
        arrays["bias"] = bias.reshape(1, -1)
    check_product(node, low, arrays.get("bias"))
    emit(node, low, params, arrays, output_stage(node, low, a_quant.scales(), b_quant.scales()))


def emit(
    node: Node,
    low: Lowering,
    params: dict[str, int | tuple[int, ...]],
    arrays: dict[str, np.ndarray],
    stage: Stage,
    zero_points: tuple[int, ...] = (),
) -> None:
    """Append the product of two tensors of any rank."""
    shapes = [low.graph.tensors[name].shape for name in node.inputs[:2]]
    rank = max(2, *map(len, shapes))
    a_shape = (1, *shapes[0]) if len(shapes[0]) == 1 else shapes[0]
    b_shape = (*shapes[1], 1) if len(shapes[1]) == 1 else shapes[1]
    full_a, full_b = ((1,) * (rank - len(s)) + tuple(s) for s in (a_shape, b_shape))
    batch = tuple(max(i, j) if min(i, j) > 0 else 0 for i, j in zip(full_a[:-2], full_b[:-2], strict=True))
    inputs = (low.reshaped(node.inputs[0], full_a), low.reshaped(node.inputs[1], full_b), *zero_points)
    params = {"has_a_zero_point_input": 0, "has_b_zero_point_input": 0, **params}
    out_params, out_arrays = stage
    info = low.graph.tensors[node.outputs[0]]
    y = low.new(info.dtype, (*batch, full_a[-2], full_b[-1]))
    low.add("matmul", inputs, (y,), params | out_params, arrays | out_arrays)
    low.define_reshaped(node.outputs[0], y)
