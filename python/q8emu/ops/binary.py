# SPDX-License-Identifier: Apache-2.0
"""What Add, Sub and Mul share: when the integer rule applies, and the float32 operation otherwise."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.base import clamp_params, out_quant, quant


def is_fused(node: Node) -> bool:
    """Do both operands and the output have one dtype, and is there no activation that changes a value?"""
    dtypes = {quant(node, 0).dtype, quant(node, 1).dtype, out_quant(node).dtype}
    return len(dtypes) == 1 and node.attrs["clamp"] == spec.limits(out_quant(node).dtype)


def lower_float(node: Node, low: Lowering, operator: int) -> None:
    """One float_binary: dequantize both, one float32 operation (0 add, 1 sub, 2 mul), quantize, clamp."""
    params: dict[str, int | tuple[int, ...]] = {"operator": operator, **clamp_params(node.attrs["clamp"])}
    for side, q in zip("aby", (quant(node, 0), quant(node, 1), out_quant(node)), strict=True):
        params[f"{side}_zero_point"] = q.zero_point[0]
        params[f"{side}_scale_bits"] = spec.f32_bits(q.scale[0])
    low.binary(node, "float_binary", (0, 1), params)
