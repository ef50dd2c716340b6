# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear at the boundary: y = f32(x / scale) to the nearest integer + zero_point; the profile decides ties."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.base import clamp_params, out_quant, scale_bits
from q8emu.ops.dequantize_linear import folded

ROUNDING = {
    "half_even": {},
    "half_away": {"rounding": 1},
    "reciprocal": {"rounding": 2},
    "half_even_fused": {"rounding": 4},
}


def lower(node: Node, low: Lowering) -> None:
    """One quantize on [before, C, after]; under "reciprocal_by_8" one for whole groups of eight, one for the rest."""
    y = out_quant(node)
    if low.numerics.quantize == "reciprocal_by_8":
        return _lower_by_8(node, low)
    shape = folded(low.graph.tensors[node.outputs[0]].shape, y)
    out = low.new(y.dtype, shape)
    arrays = {"scale_bits": scale_bits(y.scales()), "zero_point": y.zero_points()}
    params = clamp_params(spec.limits(y.dtype)) | ROUNDING[low.numerics.quantize]
    low.add("quantize", (low.reshaped(node.inputs[0], shape),), (out,), params, arrays)
    low.define_reshaped(node.outputs[0], out)
    return None


def _lower_by_8(node: Node, low: Lowering) -> None:
    y, elements = out_quant(node), low.graph.tensors[node.inputs[0]].elements
    if not y.is_per_tensor:
        low.refuse(node, "quantizes with one scale")
    arrays = {"scale_bits": scale_bits(y.scales()), "zero_point": y.zero_points()}
    parts = []
    for rounding, begin, end in ((2, 0, elements // 8 * 8), (3, elements // 8 * 8, elements)):
        if begin < end:
            part = low.gathered(low.reshaped(node.inputs[0], (elements,)), [np.arange(begin, end)])
            out = low.new(y.dtype, (1, 1, end - begin))
            params = clamp_params(spec.limits(y.dtype)) | {"rounding": rounding}
            low.add("quantize", (low.copied(part, (1, 1, end - begin)),), (out,), params, arrays)
            parts.append(low.copied(out, (end - begin,)))
    low.joined(node.outputs[0], parts)
