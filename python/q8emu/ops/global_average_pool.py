# SPDX-License-Identifier: Apache-2.0
"""GlobalAveragePool (QDQ, QLinearGlobalAveragePool): the sum of x - x_zero_point, requantized.

Under the mean rule "requantize" it is a ReduceMean over the image. Else the scale is
f32(x_scale / f32(y_scale * f32(H W))). Source: microsoft/onnxruntime core/mlas/lib/qlgavgpool.cpp. Under the
average_pool rule "float" it is the float32 operator between dequantize and quantize, four lanes at a time.
"""

from __future__ import annotations

from math import prod

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, clamp_params, out_quant, quant, ratio, require, scale_bits
from q8emu.ops.reduce_mean import PACKETS, lower_float_mean, lower_requantized


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    require(len(view.shape(node.inputs[0])) in (3, 4), node, "an image that is not 1-D or 2-D.")
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One mean over [N, H W, C], or one float_mean."""
    if low.numerics.mean not in ("float_sum", "pool_only"):
        return lower_requantized(node, low, low.image_axes(node.inputs[0]))
    if low.numerics.average_pool == "float":
        return lower_float_mean(node, low, low.image_axes(node.inputs[0]), PACKETS)
    x, y = quant(node, 0), out_quant(node)
    shape = low.graph.tensors[node.inputs[0]].shape
    area = prod(shape[axis] for axis in low.image_axes(node.inputs[0]))
    factor = ratio(x.scale[0], over=np.float32(y.scale[0]) * np.float32(area))
    low.check_scale(node, np.array([factor]))
    image = low.channels_last(node.inputs[0])
    channels = low.buffers[image].shape[-1]
    source = low.copied(image, (shape[0], area, channels))
    params = {"x_zero_point": x.zero_point[0], "y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    out = low.new(y.dtype, (shape[0], channels))
    low.add("mean", (source,), (out,), params, {"scale_bits": scale_bits(factor)})
    low.define_reshaped(node.outputs[0], out)
    return None
