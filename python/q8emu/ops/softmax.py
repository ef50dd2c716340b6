# SPDX-License-Identifier: Apache-2.0
"""Softmax (QDQ, QLinearSoftmax): exp(x) / sum of exp(x), with a table of 256 exponentials.

T[i] = f32(exp((i - 255 + b / x_scale) * x_scale)), b = max(0, logf(f32(FLT_MAX / D)) - 5), the index shifted so that
the row's maximum takes entry 255; y = rne(f64(f64(e * floor(1 / y_scale)) / sum)) + y_zero_point, saturated. The input
zero point cancels. ONNX Runtime up to 1.31 made product and quotient in float32. Source: microsoft/onnxruntime
contrib_ops/cpu/quantization/qlinear_softmax.cc, and the released binary of 1.32.

Rule "float_by_8": the float32 operator between dequantize and quantize, its exponentials summed in eight lanes. Source:
microsoft/onnxruntime core/mlas/lib/compute.cpp, core/mlas/lib/x86_64/{TransKernelFma3,SoftmaxKernelAvx}.S; confirmed
by running it. With AVX-512 ONNX Runtime has sixteen lanes.

Rule "float_reciprocal": f32(exp(-f32(x_scale * i))) of the distance i from the maximum, times the reciprocal of 1/256
of their sum, half up. Source: google-ai-edge/LiteRT tflite/kernels/internal/optimized/optimized_ops.h.

Rule "fixed_point": Q0.31 exponentials of x - max x, their sum in Q12.19, a Newton reciprocal; the output has scale
1/256 and the least value as zero point. Source: google-ai-edge/LiteRT tflite/kernels/internal/reference/softmax.h.
"""

from __future__ import annotations

import math
from math import prod

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import fixed_point, spec
from q8emu.ops.base import Attributes, FileView, clamp_params, out_quant, quant, require, scale_bits


def attributes(node: Node, view: FileView) -> Attributes:
    """axes: (first, last + 1) of the axes over which the sum runs; before opset 13 all from `axis` on."""
    rank = len(view.shape(node.inputs[0]))
    contrib = node.op.startswith("com.microsoft:")
    opset = int(node.attrs.get("opset", 13)) if contrib else view.graph.opsets[""]
    axis = int(node.attrs.get("axis", -1 if opset >= 13 else 1))
    axis = axis + rank if axis < 0 else axis
    require(0 <= axis < rank, node, f"axis {axis} of a tensor of rank {rank}.")
    return {"axes": (axis, axis + 1 if opset >= 13 else rank)}


def exponentials(depth: int, x_scale: float) -> np.ndarray:
    """float32[256], the table for rows of `depth` elements."""
    largest = np.float32(np.finfo(np.float32).max / np.float32(depth))
    shift = max(0.0, float(np.log(largest)) - 5) / x_scale
    return np.array([np.float32(math.exp((i - 255 + shift) * x_scale)) for i in range(256)], np.float32)


def lower(node: Node, low: Lowering) -> None:
    """One softmax, float_softmax, softmax_reciprocal or softmax_fixed, on [before, D, after]."""
    x, y = quant(node, 0), out_quant(node)
    shape = low.graph.tensors[node.inputs[0]].shape
    first, end = node.attrs["axes"]
    folded = (prod(shape[:first]), prod(shape[first:end]), prod(shape[end:]))
    if low.numerics.softmax == "fixed_point":
        return _lower_fixed(node, low, folded)
    if low.numerics.softmax == "float_by_8":
        return _lower_float(node, low, folded)
    if low.numerics.softmax == "float_reciprocal":
        return _lower_reciprocal(node, low, folded)
    numerator = np.floor(np.float32(1) / np.float32(y.scale[0]))
    params = {"numerator_bits": spec.f32_bits(numerator), "y_zero_point": y.zero_point[0]}
    table = exponentials(folded[1], x.scale[0])
    out = low.new(y.dtype, folded)
    low.add(
        "softmax",
        (low.reshaped(node.inputs[0], folded),),
        (out,),
        params | clamp_params(node.attrs["clamp"]),
        {"table": scale_bits(table)},
    )
    low.define_reshaped(node.outputs[0], out)
    return None


def _lower_float(node: Node, low: Lowering, folded: tuple[int, int, int]) -> None:
    x, y = quant(node, 0), out_quant(node)
    params = {
        "x_zero_point": x.zero_point[0],
        "y_zero_point": y.zero_point[0],
        "x_scale_bits": spec.f32_bits(x.scale[0]),
        "y_scale_bits": spec.f32_bits(y.scale[0]),
    }
    source, out = low.reshaped(node.inputs[0], folded), low.new(y.dtype, folded)
    low.add("float_softmax", (source,), (out,), params | clamp_params(node.attrs["clamp"]))
    low.define_reshaped(node.outputs[0], out)


MAX_FIXED_DEPTH = 4095


def _lower_reciprocal(node: Node, low: Lowering, folded: tuple[int, int, int]) -> None:
    x, y = quant(node, 0), out_quant(node)
    if y.scale[0] != 1 / 256 or y.zero_point[0] != spec.limits(y.dtype)[0]:
        low.refuse(node, f"writes scale 1/256 and the least value as zero point; found {y}")
    with np.errstate(over="ignore", under="ignore"):
        arguments = np.float32(x.scale[0]) * np.arange(255, -1, -1, dtype=np.float32)
    table = np.array([np.float32(math.exp(-float(v))) for v in arguments], np.float32)
    source, out = low.reshaped(node.inputs[0], folded), low.new(y.dtype, folded)
    low.add("softmax_reciprocal", (source,), (out,), clamp_params(node.attrs["clamp"]), {"table": scale_bits(table)})
    low.define_reshaped(node.outputs[0], out)


def _lower_fixed(node: Node, low: Lowering, folded: tuple[int, int, int]) -> None:
    x, y = quant(node, 0), out_quant(node)
    if y.scale[0] != 1 / 256 or y.zero_point[0] != spec.limits(y.dtype)[0]:
        low.refuse(node, f"writes scale 1/256 and the least value as zero point; found {y}")
    if folded[1] > MAX_FIXED_DEPTH or x.scale[0] < 2.0**-26:
        low.refuse(node, f"covers {MAX_FIXED_DEPTH} elements and scales from 2^-26; found {folded[1]} and {x}")
    table = np.array(fixed_point.softmax_table(float(x.scale[0])), np.int32)
    source, out = low.reshaped(node.inputs[0], folded), low.new(y.dtype, folded)
    low.add("softmax_fixed", (source,), (out,), clamp_params(node.attrs["clamp"]), {"table": table})
    low.define_reshaped(node.outputs[0], out)
