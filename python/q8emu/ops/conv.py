# SPDX-License-Identifier: Apache-2.0
"""Conv (QDQ, QLinearConv): y[o] = requantize(bias[o] + sum of (x - x_zero_point)(w[o] - w_zero_point[o]))."""

from __future__ import annotations

import numpy as np

from q8emu.errors import ShapeMismatch
from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.ops.accumulator import check_bias, check_groups, check_sums, check_taps
from q8emu.ops.base import Attributes, FileView, quant, require
from q8emu.ops.bias import integer_bias
from q8emu.ops.output_stage import Role, Stage, output_stage
from q8emu.ops.window import resolve


def attributes(node: Node, view: FileView) -> Attributes:
    """kernel, strides, dilations, pads (top, left, bottom, right), group."""
    names = node.inputs[3] if node.op == "QLinearConv" else node.inputs[1]
    x, w = view.shape(node.inputs[0]), view.shape(names)
    out = view.shape(node.outputs[0])
    group = int(node.attrs.get("group", 1))
    require(len(x) in (3, 4) and len(w) == len(x), node, f"a {len(x) - 2}-D image and a {len(w) - 2}-D kernel.")
    if group < 1 or w[0] % group or x[1] != w[1] * group:
        raise ShapeMismatch(
            f"{node.where()}: {x[1]} channels in, weights {list(w)} and group {group} do not fit; expected "
            f"{w[1]} times the group in, and the group to divide {w[0]}."
        )
    require(node.op == "ConvInteger" or _is_constant(node, names, view), node, "weights computed at run time.")
    kernel = tuple(node.attrs.get("kernel_shape") or w[2:])
    if kernel != tuple(w[2:]):
        raise ShapeMismatch(f"{node.where()}: kernel_shape {list(kernel)} is not that of the weights {list(w[2:])}.")
    return resolve(node, x[2:], w[2:], out[2:]) | {"group": group}


def _is_constant(node: Node, name: str, view: FileView) -> bool:
    known = view.dequantized.get(name)
    return name in view.graph.constants or (known is not None and known[0] in view.constants)


def weight_axis(node: Node, shape: tuple[int, ...]) -> int:
    """Axis of the weights' channels."""
    return 0


def channel_axis_fits(node: Node, params: QuantParams, shape: tuple[int, ...]) -> bool:
    """Are the weights quantized per tensor or per output channel?"""
    return params.axis in (None, 0)


def lower(node: Node, low: Lowering) -> None:
    """One conv2d, or depthwise_conv2d where each group has one input channel."""
    w = low.graph.constants[node.inputs[1]]
    x_quant, w_quant = quant(node, 0), quant(node, 1)
    arrays = {"w_zero_point": np.broadcast_to(w_quant.zero_points(), w.shape[:1]).copy()}
    bias = integer_bias(node, low, x_quant.scales(), w_quant.scales())
    if bias is not None:
        arrays["bias"] = bias.reshape(-1)
    check_bias(node, low, arrays.get("bias"))
    check_taps(node, low, w)
    check_groups(node, low, w)
    centred = (w.reshape(w.shape[0], -1).astype(np.int64) - arrays["w_zero_point"][:, None]).T
    check_sums(node, low, x_quant, centred, centred.shape[0], arrays.get("bias"))
    params: dict[str, int | tuple[int, ...]] = {"x_zero_point": x_quant.zero_point[0]}
    role: Role = "depthwise" if _is_depthwise(node, w) else "grouped" if node.attrs["group"] > 1 else "product"
    stage = output_stage(node, low, x_quant.scales(), np.broadcast_to(w_quant.scales(), w.shape[:1]), role)
    emit(node, low, w, params, arrays, stage)


def _is_depthwise(node: Node, w: np.ndarray) -> bool:
    """TFLite has an operator of its own for it; in ONNX it is a group for each of several input channels."""
    return bool(node.attrs.get("depthwise", node.attrs["group"] > 1 and w.shape[1] == 1))


def emit(
    node: Node,
    low: Lowering,
    w: np.ndarray,
    params: dict[str, int | tuple[int, ...]],
    arrays: dict[str, np.ndarray],
    stage: Stage,
    extra: tuple[int, ...] = (),
) -> None:
    """Append the convolution; `stage` is empty for an int32 output."""
    x = low.channels_last(node.inputs[0])
    channels = low.buffers[x].shape[-1]
    weights = np.ascontiguousarray(np.moveaxis(w.reshape(*w.shape[:2], *node.attrs["kernel"]), 1, -1))  # OHWI
    params = params | {k: node.attrs[k] for k in ("strides", "dilations", "pads")}
    depthwise = weights.shape[-1] == 1 and node.attrs["group"] == channels and channels > 1
    depthwise = depthwise and not stage[0].get("saturates_pairs")
    if not depthwise:
        params["group"] = node.attrs["group"]
    out_params, out_arrays = stage
    y = low.new_channels_last(node.outputs[0])
    inputs = (x, low.constant(weights), *extra)
    low.add("depthwise_conv2d" if depthwise else "conv2d", inputs, (y,), params | out_params, arrays | out_arrays)
    low.define_channels_last(node.outputs[0], y)
