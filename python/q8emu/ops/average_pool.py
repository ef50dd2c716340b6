# SPDX-License-Identifier: Apache-2.0
"""AveragePool (QDQ, QLinearAveragePool): mean of the values under each window.

Rules "raw_half_away", "centred_half_away", "raw_toward_zero" divide the sum of the quantized values as they are, or
less the zero point; operand and output share their parameters.
Source: google-ai-edge/LiteRT tflite/kernels/internal/reference/integer_ops/pooling.h; arm/tosa-specification
AVG_POOL2D; majianjia/nnom src/backends/nnom_local.c.

Rule "dequantized_sum" adds float32 values tap by tap, the zero point inside the rounding; a window that is the whole
image, unpadded, is a GlobalAveragePool there.
Source: microsoft/onnxruntime contrib_ops/cpu/quantization/qlinear_pool.cc.

Rule "float" is the float32 operator between dequantize and quantize, its sum in ONNX Runtime's order.
Source: core/mlas/lib/pooling.cpp, core/providers/cpu/nn/pool_functors.h; the orders confirmed by running it.

Rules "by_memory" and "ratio" multiply the integer sum; operand and output share their parameters. Under "by_memory" the
node's attribute `memory` says how PyTorch stores the image, by default channels-last.
Source: pytorch/pytorch aten/src/ATen/native/quantized/cpu/{AveragePool2d.cpp,kernels/QuantizedOpKernels.cpp}, and the
lanes from running it.
"""

from __future__ import annotations

from math import prod

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops import global_average_pool
from q8emu.ops.base import Attributes, FileView, clamp_params, out_quant, quant, ratio, require
from q8emu.ops.window import resolve

OUTSIDE, FUSED = 0, 2  # values of the parameter `rounding`
DIVIDED = {
    "centred_half_away": (True, "half_away"),
    "raw_half_away": (False, "half_away"),
    "raw_toward_zero": (False, "toward_zero"),
}
"""Is the zero point taken off first, and how is the quotient rounded?"""

ROWS, COLUMNS = 1, 2  # the parameter `form` of the step
OPSET_BY_ROWS = 19
WIDEST_VECTOR = 2045  # of the padded image, in elements


def attributes(node: Node, view: FileView) -> Attributes:
    """kernel, strides, dilations, pads, count_include_pad, ceil_mode."""
    x, out = view.shape(node.inputs[0]), view.shape(node.outputs[0])
    require("kernel_shape" in node.attrs, node, "no kernel_shape.")
    window = resolve(node, x[2:], node.attrs["kernel_shape"], out[2:], is_pool=True)
    return window | {key: int(node.attrs.get(key, 0)) for key in ("count_include_pad", "ceil_mode")}


def lower(node: Node, low: Lowering) -> None:
    """One average_pool_raw, or one average_pool_scaled; or one average_pool, or the global one."""
    if low.numerics.average_pool in ("by_memory", "by_memory_8", "ratio"):
        return _lower_scaled(node, low)
    if low.numerics.average_pool == "none":
        low.refuse(node, "has no rule for this operator")
    if low.numerics.average_pool in DIVIDED:
        return _lower_raw(node, low)
    shape = low.graph.tensors[node.inputs[0]].shape
    image = tuple(shape[axis] for axis in low.image_axes(node.inputs[0]))
    is_float = low.numerics.average_pool == "float"
    is_global = node.attrs["kernel"][-len(image) :] == image and not any(node.attrs["pads"])
    has_strides = set(node.attrs["strides"]) != {1}  # then the float operator has no kernel for a whole image
    if is_global and not (is_float and (has_strides or _is_by_rows(node, low))):
        return global_average_pool.lower(node, low)
    x, q, y = low.channels_last(node.inputs[0]), quant(node, 0), out_quant(node)
    low.same_dtype(node)
    params = {k: node.attrs[k] for k in ("kernel", "strides", "dilations", "pads", "count_include_pad")} | {
        "x_zero_point": q.zero_point[0],
        "y_zero_point": y.zero_point[0],
        "x_scale_bits": spec.f32_bits(q.scale[0]),
        "y_scale_bits": spec.f32_bits(y.scale[0]),
        **({"form": _float_form(node, low, image[-1])} if is_float else {}),
    }
    out = low.new_channels_last(node.outputs[0])
    low.add("average_pool", (x,), (out,), params | clamp_params(node.attrs["clamp"]))
    low.define_channels_last(node.outputs[0], out)
    return None


def _is_by_rows(node: Node, low: Lowering) -> bool:
    """Does ONNX Runtime's float operator add the taps one after another: from opset 19 on, and for this pair?"""
    is_pair = bool(node.attrs.get("ceil_mode")) and bool(node.attrs["count_include_pad"])
    return is_pair or low.graph.opsets.get("", OPSET_BY_ROWS) >= OPSET_BY_ROWS


def _float_form(node: Node, low: Lowering, width: int) -> int:
    """The order of the float sum: by rows, or column by column where the older operator takes its vector kernel."""
    pads = node.attrs["pads"]
    is_vector = node.attrs["strides"][1] <= 2 and width + pads[1] + pads[3] <= WIDEST_VECTOR
    return ROWS if _is_by_rows(node, low) or not is_vector else COLUMNS


def _lower_raw(node: Node, low: Lowering) -> None:
    x, y = quant(node, 0), out_quant(node)
    if x != y:
        low.refuse(node, f"divides quantized values: the output must have the input's parameters, {x}")
    if node.attrs["count_include_pad"] and any(node.attrs["pads"]):
        low.refuse(node, "counts the taps inside the image only; found count_include_pad 1")
    params = {k: node.attrs[k] for k in ("kernel", "strides", "dilations", "pads")} | clamp_params(node.attrs["clamp"])
    is_centred, division = DIVIDED[low.numerics.average_pool]
    params |= {"x_zero_point": x.zero_point[0]} if is_centred else {}
    params |= {"division": spec.DIVISION.index(division)} if division != spec.DIVISION[0] else {}
    source, out = low.channels_last(node.inputs[0]), low.new_channels_last(node.outputs[0])
    low.add("average_pool_raw", (source,), (out,), params)
    low.define_channels_last(node.outputs[0], out)


def _lower_scaled(node: Node, low: Lowering) -> None:
    x, y = quant(node, 0), out_quant(node)
    if x != y:
        low.refuse(node, f"averages without a change of scale: the output must have the input's parameters, {x}")
    if any(node.attrs["pads"]):
        low.refuse(node, "has no rule for an average with padding")
    count = np.float32(prod(node.attrs["kernel"]))
    channels = low.graph.tensors[node.inputs[0]].shape[1]
    more: dict[str, int] = {"rounding": OUTSIDE}
    point = x.zero_point[0]
    if low.numerics.average_pool == "ratio":
        factor = ratio(x.scale[0], over=np.float32(x.scale[0]) * count)
    else:
        factor = ratio(1.0, over=count)
        if node.attrs.get("memory") == "NCHW":
            point = 0
        elif node.attrs.get("adaptive"):
            more = {"rounding": FUSED, "inside_from": channels // 8 * 8}
        else:
            lanes = 8 if low.numerics.average_pool == "by_memory_8" else 16
            more["inside_from"] = channels // lanes * lanes
    low.check_scale(node, np.array([factor]))
    params = {k: node.attrs[k] for k in ("kernel", "strides", "dilations", "pads")} | more
    params |= {"x_zero_point": point, "y_zero_point": point, "factor_bits": spec.f32_bits(factor)}
    source, out = low.channels_last(node.inputs[0]), low.new_channels_last(node.outputs[0])
    low.add("average_pool_scaled", (source,), (out,), params | clamp_params(node.attrs["clamp"]))
    low.define_channels_last(node.outputs[0], out)
