# SPDX-License-Identifier: Apache-2.0
"""QuantizeLinear at the boundary: y = f32(x / scale) to the nearest integer + zero_point; the profile decides ties."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.base import clamp_params, out_quant, scale_bits
from q8emu.ops.dequantize_linear import folded


def lower(node: Node, low: Lowering) -> None:
    """One quantize on [before, C, after]."""
    y = out_quant(node)
    shape = folded(low.graph.tensors[node.outputs[0]].shape, y)
    out = low.new(y.dtype, shape)
    arrays = {"scale_bits": scale_bits(y.scales()), "zero_point": y.zero_points()}
    params = clamp_params(spec.limits(y.dtype)) | ({"rounding": 1} if low.numerics.quantize == "half_away" else {})
    low.add("quantize", (low.reshaped(node.inputs[0], shape),), (out,), params, arrays)
    low.define_reshaped(node.outputs[0], out)
