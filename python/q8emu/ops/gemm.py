# SPDX-License-Identifier: Apache-2.0
"""Gemm (QDQ, QGemm): y = requantize(bias + sum over k of (a - a_zero_point)(b - b_zero_point)), scale times alpha."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.ops.accumulator import check_product
from q8emu.ops.base import Attributes, FileView, quant, require
from q8emu.ops.bias import integer_bias
from q8emu.ops.output_stage import output_stage


def attributes(node: Node, view: FileView) -> Attributes:
    """alpha, transA, transB."""
    alpha, beta = float(node.attrs.get("alpha", 1.0)), float(node.attrs.get("beta", 1.0))
    require(np.isfinite(alpha) and alpha > 0, node, f"alpha {alpha}; expected a positive number.")
    if node.op == "Gemm" and node.input(2):  # a QGemm scales its bias by alpha too
        require(alpha == 1.0 and beta == 1.0, node, f"a bias with alpha {alpha} and beta {beta}; expected 1.")
    return {k: int(node.attrs.get(k, 0)) for k in ("transA", "transB")} | {"alpha": alpha}


def weight_axis(node: Node, shape: tuple[int, ...]) -> int:
    """Axis of the output columns in b."""
    return 0 if node.attrs.get("transB", 0) else 1


def channel_axis_fits(node: Node, params: QuantParams, shape: tuple[int, ...]) -> bool:
    """Is b quantized per tensor or per output column?"""
    return params.is_per_tensor or params.axis == weight_axis(node, shape)


def lower(node: Node, low: Lowering) -> None:
    """One matmul on transposed operands, with the bias in the accumulator."""
    a_quant, b_quant = quant(node, 0), quant(node, 1)
    a, b = (
        low.value(name, (1, 0) if node.attrs[trans] else (0, 1))
        for name, trans in zip(node.inputs[:2], ("transA", "transB"), strict=True)
    )
    info = low.graph.tensors[node.outputs[0]]
    arrays = {"b_zero_point": b_quant.zero_points()}
    bias = integer_bias(node, low, a_quant.scales(), b_quant.scales())
    if bias is not None:
        rows = bias.reshape(1, -1) if bias.ndim < 2 else bias
        arrays["bias"] = np.ascontiguousarray(np.broadcast_to(rows, (rows.shape[0], info.shape[1])))
    check_product(node, low, arrays.get("bias"))
    params = {
        "a_zero_point": a_quant.zero_point[0],
        "has_a_zero_point_input": 0,
        "has_b_zero_point_input": 0,
    }
    a_scale = (np.float32(node.attrs["alpha"]) * a_quant.scales()).astype(np.float32)
    out_params, out_arrays = output_stage(node, low, a_scale, b_quant.scales(), "fully_connected")
    y = low.new(info.dtype, info.shape)
    low.add("matmul", (a, b), (y,), params | out_params, arrays | out_arrays)
    low.define(node.outputs[0], y)
