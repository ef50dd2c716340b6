# SPDX-License-Identifier: Apache-2.0
"""DequantizeLinear at the boundary: y = f32(f32(x - zero_point) * scale)."""

from __future__ import annotations

from math import prod

import numpy as np

from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.ops.base import quant, scale_bits


def folded(shape: tuple[int, ...], params: QuantParams) -> tuple[int, int, int]:
    """The shape as [before, C, after] around the axis of the parameters."""
    if params.axis is None:
        return (1, 1, prod(shape))
    return (prod(shape[: params.axis]), shape[params.axis], prod(shape[params.axis + 1 :]))


def lower(node: Node, low: Lowering) -> None:
    """One dequantize on [before, C, after]; under "affine_by_8" one for whole groups of eight, one for the rest."""
    x = quant(node, 0)
    if low.numerics.dequantize == "affine_by_8":
        return _lower_by_8(node, low)
    shape = folded(low.graph.tensors[node.inputs[0]].shape, x)
    out = low.new("float32", shape)
    arrays = {"scale_bits": scale_bits(x.scales()), "zero_point": x.zero_points()}
    low.add("dequantize", (low.reshaped(node.inputs[0], shape),), (out,), {}, arrays)
    low.define_reshaped(node.outputs[0], out)
    return None


def _lower_by_8(node: Node, low: Lowering) -> None:
    x, elements = quant(node, 0), low.graph.tensors[node.inputs[0]].elements
    if not x.is_per_tensor:
        low.refuse(node, "dequantizes with one scale")
    arrays = {"scale_bits": scale_bits(x.scales()), "zero_point": x.zero_points()}
    parts = []
    for affine, begin, end in ((1, 0, elements // 8 * 8), (0, elements // 8 * 8, elements)):
        if begin < end:
            part = low.gathered(low.reshaped(node.inputs[0], (elements,)), [np.arange(begin, end)])
            out = low.new("float32", (1, 1, end - begin))
            params: dict[str, int | tuple[int, ...]] = {"affine": 1} if affine else {}
            low.add("dequantize", (low.copied(part, (1, 1, end - begin)),), (out,), params, arrays)
            parts.append(low.copied(out, (end - begin,)))
    low.joined(node.outputs[0], parts)
