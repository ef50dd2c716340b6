# SPDX-License-Identifier: Apache-2.0
"""What Add, Sub and Mul share: when the integer rule applies, and the float32 operation otherwise.

The Add rule "left_shift": with t = 2 max(a_scale, b_scale), A = (a - a_zero_point) 2^20 rescaled by a_scale / t, B
likewise, y = requantize(A + B) by t / (2^20 y_scale). Source: google-ai-edge/LiteRT tflite/kernels/add.cc, sub.cc.

The Add rule "common_shift": with s such that the larger of a_scale / y_scale and b_scale / y_scale lies in [2^20, 2^21)
after 2^s, both in half_even integers of that unit, y = half_up(((a - az) A + (b - bz) B) / 2^s) + y_zero_point.
Source: google/XNNPACK src/microparams-init.c.
"""

from __future__ import annotations

import math

import numpy as np

from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.numerics.multiplier import RULES, Rule
from q8emu.ops.base import clamp_params, out_quant, quant, ratio
from q8emu.ops.output_stage import by_multiplier, multiplier_arrays, rule_of
from q8emu.tables import rescaled

LEFT_SHIFT = 20
LANES = 64  # elements that PyTorch's vector code adds at once, with AVX-512
COMMON_BITS = 21


def is_fused(node: Node) -> bool:
    """Do both operands and the output have one dtype and scalar parameters, and no activation that changes a value?

    ONNX Runtime makes an integer Add or Mul where every scale and zero point in the file is a scalar; no vector of one.
    """
    if node.attrs.get("has_vectors"):
        return False
    dtypes = {quant(node, 0).dtype, quant(node, 1).dtype, out_quant(node).dtype}
    return len(dtypes) == 1 and node.attrs["clamp"] == spec.limits(out_quant(node).dtype)


def lower_float(node: Node, low: Lowering, operator: int) -> None:
    """One float_binary: dequantize both, one float32 operation (0 add, 1 sub, 2 mul), quantize, clamp."""
    params = _float_params(node, operator)
    if low.numerics.quantize == "half_even_fused":
        params["rounding"] = spec.QUANTIZE.index("half_even_fused")
    low.binary(node, "float_binary", (0, 1), params)


def _float_params(node: Node, operator: int) -> dict[str, int | tuple[int, ...]]:
    params: dict[str, int | tuple[int, ...]] = {"operator": operator, **clamp_params(node.attrs["clamp"])}
    for side, q in zip("aby", (quant(node, 0), quant(node, 1), out_quant(node)), strict=True):
        params[f"{side}_zero_point"] = q.zero_point[0]
        params[f"{side}_scale_bits"] = spec.f32_bits(q.scale[0])
    return params


def lower_by_64(node: Node, low: Lowering) -> None:
    """A float_binary for whole groups of 64 elements as they are in memory, and one for the others.

    Source: pytorch/pytorch aten/src/ATen/native/quantized/cpu/kernels/QuantizedOpKernels.cpp; the groups: measured.
    """
    name, params = node.outputs[0], _float_params(node, 0)
    fast = params | {"rounding": spec.QUANTIZE.index("half_even_reciprocal")}
    rest = "half_even_added" if low.numerics.add == "float_reciprocal_added" else "half_even_fused"
    slow = params | {"rounding": spec.QUANTIZE.index(rest)}
    elements = low.graph.tensors[name].elements
    same = len({low.graph.tensors[n].shape for n in (*node.inputs, name)}) == 1
    if not same or node.attrs.get("memory") == "mixed":
        low.refuse(node, "adds tensors of one shape in one memory layout; other ones go through its lanes otherwise")
    whole = elements // LANES * LANES
    if whole == elements:
        return low.binary(node, "float_binary", (0, 1), fast)
    last = node.attrs.get("memory") == "NHWC"
    buffers = [low.channels_last(n) if last else low.value(n) for n in node.inputs]
    parts = []
    for rule, begin, end in ((fast, 0, whole), (slow, whole, elements)):
        if begin < end:
            taken = [low.gathered(low.copied(b, (elements,)), [np.arange(begin, end)]) for b in buffers]
            parts.append(low.new(out_quant(node).dtype, (end - begin,)))
            low.add("float_binary", (taken[0], taken[1]), (parts[-1],), rule)
    if not last:
        return low.joined(name, parts)
    out = low.new_channels_last(name)
    flat = low.new(out_quant(node).dtype, (elements,))
    low.add("concat", tuple(parts), (flat,), {"axis": 0})
    low.add("copy", (flat,), (out,))
    return low.define_channels_last(name, out)


def lower_common_shift_22(node: Node, low: Lowering) -> None:
    """One add_rescaled: half_away(((a - az) A + (b - bz) B) / 2^S) with A = half_even(f32(a_scale / y_scale) 2^S).

    S leaves the larger of A and B 22 bits.
    Source: pytorch/pytorch aten/src/ATen/native/quantized/cpu/qnnpack/src/add.c.
    """
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    ratios = [ratio(q.scale[0], over=y.scale[0]) for q in (a, b)]
    if not all(2.0**-14 <= r < 2.0**8 for r in ratios):
        low.refuse(node, f"adds with scales of 2^-14 to 2^8 of the output's; found {ratios[0]:.6g} and {ratios[1]:.6g}")
    shift = 22 - math.frexp(float(max(ratios)))[1]
    arrays = {}
    for name, operand, factor in (("a_rescaled", a, ratios[0]), ("b_rescaled", b, ratios[1])):
        codes = np.arange(256, dtype=np.uint8).view(operand.dtype).astype(np.int64) - operand.zero_point[0]
        arrays[name] = (codes * round(float(factor) * 2**shift)).astype(np.int32)  # exact: a float32 and a power of two
    pairs = [(1, shift)]
    params = rule_of(Rule("half_away"), pairs) | {"y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    low.binary(node, "add_rescaled", (0, 1), params, arrays | multiplier_arrays(pairs))


def lower_left_shift(node: Node, low: Lowering, sign: int) -> None:
    """One add_rescaled; sign -1 subtracts the second operand."""
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    if sign > 0:  # the differences are computed one by one
        check_int16(node, low, (largest(a) * a.scale[0] + largest(b) * b.scale[0]) / y.scale[0])
    twice = 2 * max(float(a.scale[0]), float(b.scale[0]))
    arrays = {
        "a_rescaled": _rescaled_operand(low, a, twice),
        "b_rescaled": sign * _rescaled_operand(low, b, twice),
    }
    factor = twice / (2**LEFT_SHIFT * float(y.scale[0]))
    rule, stage = by_multiplier(node, low.numerics.rescale, np.array([factor]))
    params = rule | {"y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    low.binary(node, "add_rescaled", (0, 1), params, arrays | stage)


def check_int16(node: Node, low: Lowering, most: float) -> None:
    """Refuse what the kernels do not treat alike in all lanes; `most` bounds the magnitude without the zero point."""
    if low.numerics.beyond_int16 == "refuse" and most + abs(out_quant(node).zero_point[0]) >= 2**15 - 1:
        low.refuse(node, f"covers results within int16 before the clamp; its scales allow {most:.6g}")


def lower_common_shift(node: Node, low: Lowering, sign: int) -> None:
    """One add_rescaled: operands times half_even(ratio 2^s), with s such that the larger one has 21 bits, half_up."""
    y = out_quant(node)
    ratios = [ratio(quant(node, i).scale[0], over=y.scale[0]) for i in (0, 1)]
    shift = COMMON_BITS - math.frexp(float(max(ratios)))[1]
    multipliers = [int(np.rint(np.ldexp(np.float64(r), shift))) for r in ratios]
    arrays = {
        "a_rescaled": multipliers[0] * _centred_codes(quant(node, 0)),
        "b_rescaled": sign * multipliers[1] * _centred_codes(quant(node, 1)),
    }
    stage = rule_of(RULES["single_rounding"], [(1, shift)]), multiplier_arrays([(1, shift)])
    params = stage[0] | {"y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    low.binary(node, "add_rescaled", (0, 1), params, arrays | stage[1])


def _centred_codes(operand: QuantParams) -> np.ndarray:
    """int32[256] of q - zero_point, entry i for the value whose bits read as uint8 are i."""
    return np.arange(256, dtype=np.uint8).view(operand.dtype).astype(np.int32) - np.int32(operand.zero_point[0])


def largest(operand: QuantParams) -> int:
    """The largest magnitude of q - zero_point."""
    return max(abs(end - operand.zero_point[0]) for end in spec.limits(operand.dtype))


def _rescaled_operand(low: Lowering, operand: QuantParams, twice: float) -> np.ndarray:
    """int32[256], entry i for the value whose bits read as uint8 are i."""
    function = rescaled(low.node, low.numerics.rescale, float(operand.scale[0]) / twice)
    codes = np.arange(256, dtype=np.uint8).view(operand.dtype).tolist()
    return np.array([function((c - operand.zero_point[0]) << LEFT_SHIFT) for c in codes], np.int32)
