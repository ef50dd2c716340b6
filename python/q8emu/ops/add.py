# SPDX-License-Identifier: Apache-2.0
"""Add (QDQ, QLinearAdd): two quantized tensors, broadcast.

Rule "fma": where the operands and the output have one dtype and the activation changes nothing, two fused
multiply-adds; else the float32 operation between dequantize and quantize, which is what ONNX Runtime runs then.
Rule "left_shift": see `binary`. Rules of accelerators: see `add_branches`.

Source: microsoft/onnxruntime core/mlas/lib/intrinsics/avx2/qladd_avx2.cpp; the constant is contracted to one fused
multiply-add in the released binaries.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.add_branches import BRANCHES, lower_branches
from q8emu.ops.base import Attributes, FileView, clamp_params, out_quant, quant, ratio
from q8emu.ops.binary import (
    is_fused,
    lower_by_64,
    lower_common_shift,
    lower_common_shift_22,
    lower_float,
    lower_left_shift,
)


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One add_fma, one float_binary, or one add_rescaled."""
    if low.numerics.add == "left_shift":
        return lower_left_shift(node, low, 1)
    if low.numerics.add == "common_shift":
        return lower_common_shift(node, low, 1)
    if low.numerics.add == "common_shift_22" or (low.numerics.add == "qlinear_22" and is_fused(node)):
        return lower_common_shift_22(node, low)
    if low.numerics.add in ("float_reciprocal", "float_reciprocal_added"):
        return lower_by_64(node, low)
    if low.numerics.add in BRANCHES:
        return lower_branches(node, low, 1)
    if low.numerics.add in ("float", "qlinear_22") or not is_fused(node):
        return lower_float(node, low, 0)
    order = (0, 1)
    if repeats_first(*(low.graph.tensors[n].shape for n in node.inputs)):
        order = (1, 0)  # the operand that repeats along the innermost run goes second
    a, b, y = quant(node, order[0]), quant(node, order[1]), out_quant(node)
    ratio_a, ratio_b = ratio(a.scale[0], over=y.scale[0]), ratio(b.scale[0], over=y.scale[0])
    low.check_scale(node, np.array([ratio_a, ratio_b]))
    zero_b = np.float32(ratio_b * np.float32(b.zero_point[0]))
    fixed = np.float32(np.float32(y.zero_point[0]) - spec.fma(ratio_a, a.zero_point[0], zero_b))
    params = {
        "a_ratio_bits": spec.f32_bits(ratio_a),
        "b_ratio_bits": spec.f32_bits(ratio_b),
        "fixed_bits": spec.f32_bits(fixed),
    }
    low.binary(node, "add_fma", order, params | clamp_params(node.attrs["clamp"]))
    return None


def repeats_first(a: Sequence[int], b: Sequence[int]) -> bool:
    """Does the first operand stay the same along the innermost axis on which either moves? True where neither does.

    The runtime looks at the axes that both operands have, and at one if an operand has none.
    """
    shared = max(min(len(a), len(b)), 1)
    ends = [((1,) * shared + tuple(s))[-shared:] for s in (a, b)]
    moving = [(i, j) for i, j in zip(*ends, strict=True) if (i, j) != (1, 1)]
    return not moving or moving[-1][0] == 1
