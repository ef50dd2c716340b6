# SPDX-License-Identifier: Apache-2.0
"""ReduceMean (QDQ): the mean over any axes.

Rule "requantize": the sum of x - x_zero_point, requantized; the multiplier of x_scale / y_scale is divided by
the count.
Source: google-ai-edge/LiteRT tflite/kernels/internal/reference/reduce.h (QuantizedMeanOrSum).

Rule "requantize_quotient": the same sum, requantized by 1 / count * (x_scale / y_scale) in binary64.
Source: tensorflow compiler/mlir/tosa/transforms/legalize_common.cc (convertReduceMeanOp).

Rule "requantize_by_16": as "requantize", but for the mean over height and width with the axes kept, which LiteRT
computes from the raw sum with a float32 quotient, whole groups of 16 channels in two half_up stages and the others by
"double_rounding".
Source: tflite/kernels/internal/optimized/integer_ops/mean.h.

Rule "affine": the raw sum in float32, times f32(f32(x_scale / y_scale) * f32(1 / count)), plus an addend with both zero
points. Source: google/XNNPACK src/microparams-init.c.

Rule "float_sum": Q(f32(sum / f32(n))) of the dequantized values, summed in the order of ONNX Runtime's float kernel.
ONNX Runtime has no integer kernel for it. The order of its float32 sum follows the pattern of kept (K) and reduced (R)
axes, neighbours of one kind merged. KR and R: four lanes at a time from the first 16-byte boundary. KRK with two or
more leading rows: blocks of four. Every other pattern: one after another. The result of one image can therefore depend
on its place in the batch; that is a property of the runtime which q8emu reproduces.

Source: microsoft/onnxruntime core/providers/cpu/reduction/reduction_ops.cc; the orders were found by running it.
"""

from __future__ import annotations

from math import prod

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.numerics.multiplier import RULES, Rescaling, Rule
from q8emu.ops.base import Attributes, FileView, clamp_params, out_quant, quant, ratio, require
from q8emu.ops.output_stage import by_multiplier, multiplier_arrays, rule_of
from q8emu.tables import quantize_multiplier

LANES, SEQUENTIAL, BLOCKS, PACKETS = range(4)


def attributes(node: Node, view: FileView) -> Attributes:
    """axes: the reduced ones, sorted."""
    rank = len(view.shape(node.inputs[0]))
    axes = node.attrs.get("axes")
    if node.input(1):
        given = view.constant(node.inputs[1])
        require(given is not None, node, "axes computed at run time.")
        assert given is not None
        axes = tuple(int(v) for v in given.reshape(-1)) or None
    require(bool(axes) or not node.attrs.get("noop_with_empty_axes", 0), node, "nothing to reduce.")
    found = tuple(sorted({int(a) % rank for a in axes} if axes else range(rank)))
    require(_pattern(rank, found) != "RKR", node, "reduced axes on both sides of kept ones.")
    return {"axes": found}


def _pattern(rank: int, axes: tuple[int, ...]) -> str:
    """K and R for the axes, equal neighbours merged."""
    letters = ["R" if a in axes else "K" for a in range(rank)]
    return "".join(c for i, c in enumerate(letters) if i == 0 or letters[i - 1] != c)


def lower(node: Node, low: Lowering) -> None:
    """One transpose that brings the reduced axes together, one float_mean on [kept, reduced], or one mean."""
    if low.numerics.mean == "requantize_by_16" and _is_optimized(node, low):
        return _lower_by_16(node, low)
    if low.numerics.mean == "affine":
        return _lower_affine(node, low)
    if low.numerics.mean == "pool_only":
        low.refuse(node, "has no rule for this operator")
    if low.numerics.mean != "float_sum":
        return lower_requantized(node, low, node.attrs["axes"])
    shape, axes = low.graph.tensors[node.inputs[0]].shape, node.attrs["axes"]
    pattern = _pattern(len(shape), axes)
    order = LANES if pattern in ("R", "KR") else SEQUENTIAL
    if pattern == "KRK" and prod(shape[: axes[0]]) >= 2:
        order = BLOCKS
    return lower_float_mean(node, low, axes, order)


def lower_float_mean(node: Node, low: Lowering, axes: tuple[int, ...], order: int) -> None:
    """One float_mean on [kept, reduced]."""
    shape, x, y = low.graph.tensors[node.inputs[0]].shape, quant(node, 0), out_quant(node)
    perm = tuple(a for a in range(len(shape)) if a not in axes) + axes
    folded = (prod(shape) // prod(shape[a] for a in axes), prod(shape[a] for a in axes))
    source = low.copied(low.value(node.inputs[0], perm), folded)
    params = {
        "order": order,
        "x_zero_point": x.zero_point[0],
        "y_zero_point": y.zero_point[0],
        "x_scale_bits": spec.f32_bits(x.scale[0]),
        "y_scale_bits": spec.f32_bits(y.scale[0]),
    }
    out = low.new(y.dtype, folded[:1])
    low.add("float_mean", (source,), (out,), params | clamp_params(node.attrs["clamp"]))
    low.define_reshaped(node.outputs[0], out)


def lower_requantized(node: Node, low: Lowering, axes: tuple[int, ...]) -> None:
    """One mean on [kept before, reduced, kept after]."""
    x, y = quant(node, 0), out_quant(node)
    source, (outer, count, inner) = _folded(node, low, axes)
    quotient = float(x.scale[0]) / float(y.scale[0])
    if low.numerics.mean == "requantize_quotient":
        rule, arrays = by_multiplier(node, low.numerics.rescale, np.array([1.0 / count * quotient]))
    elif low.numerics.mean == "shift_toward_zero":
        if count & (count - 1):
            low.refuse(node, f"divides by powers of two; found a count of {count}")
        rescaling = Rescaling(Rule("toward_zero"), low.numerics.rescale.form)
        rule, arrays = by_multiplier(node, rescaling, np.array([quotient / count]))
    else:
        pair = divided(quantize_multiplier(node, low.numerics.rescale, quotient), count)
        rule, arrays = rule_of(low.numerics.rescale.rule, [pair]), multiplier_arrays([pair])
    params = {"x_zero_point": x.zero_point[0], "y_zero_point": y.zero_point[0], **clamp_params(node.attrs["clamp"])}
    out = low.new(y.dtype, (outer, inner))
    low.add("mean", (source,), (out,), params | rule, arrays)
    low.define_reshaped(node.outputs[0], out)


def _folded(node: Node, low: Lowering, axes: tuple[int, ...]) -> tuple[int, tuple[int, int, int]]:
    """The operand as [kept before, reduced, kept after], and that shape."""
    shape = low.graph.tensors[node.inputs[0]].shape
    before = tuple(range(min(axes)))
    after = tuple(a for a in range(len(shape)) if a not in before + axes)
    folded = prod(shape[a] for a in before), prod(shape[a] for a in axes), prod(shape[a] for a in after)
    return low.copied(low.value(node.inputs[0], before + axes + after), folded), folded


def _lower_affine(node: Node, low: Lowering) -> None:
    """One mean_affine: the addend is f32(y_zero_point - f32(count * x_zero_point * scale))."""
    x, y = quant(node, 0), out_quant(node)
    source, (outer, count, inner) = _folded(node, low, node.attrs["axes"])
    scale = np.float32(ratio(x.scale[0], over=y.scale[0]) * np.float32(np.float32(1) / np.float32(count)))
    addend = np.float32(y.zero_point[0]) - np.float32(np.float32(count * x.zero_point[0]) * scale)
    low.check_scale(node, np.array([scale]))
    params = {"scale_bits": spec.f32_bits(scale), "addend_bits": spec.f32_bits(addend)}
    out = low.new(y.dtype, (outer, inner))
    low.add("mean_affine", (source,), (out,), params | clamp_params(node.attrs["clamp"]))
    low.define_reshaped(node.outputs[0], out)


def _is_optimized(node: Node, low: Lowering) -> bool:
    """Is it the mean of an image over height and width, with both kept as axes of length 1?"""
    return node.attrs["axes"] == (1, 2) and len(low.graph.tensors[node.outputs[0]].shape) == 4


def _lower_by_16(node: Node, low: Lowering) -> None:
    x, y = quant(node, 0), out_quant(node)
    n, h, w, c = low.graph.tensors[node.inputs[0]].shape
    x_scale, y_scale = np.float32(x.scale[0]), np.float32(y.scale[0])
    zero = np.float32(np.float32(np.float32(x.zero_point[0]) * x_scale) / y_scale)
    zero = np.float32(zero + np.float32(0.5)) if zero > 0 else np.float32(zero - np.float32(0.5))
    factor = float(np.float32(x_scale / np.float32(np.float32(h * w) * y_scale)))
    pair = quantize_multiplier(node, Rescaling(RULES["ruy_x86"]), factor)
    params = {"x_zero_point": 0, "y_zero_point": y.zero_point[0] - int(zero), **clamp_params(node.attrs["clamp"])}
    rule = rule_of(RULES["ruy_x86"], [pair]) | {"double_rounding_from": c // 16 * 16}
    out = low.new(y.dtype, (n, c))
    source = low.reshaped(node.inputs[0], (n, h * w, c))
    low.add("mean", (source,), (out,), params | rule, multiplier_arrays([pair]))
    low.define_reshaped(node.outputs[0], out)


def divided(pair: tuple[int, int], count: int) -> tuple[int, int]:
    """(multiplier, total right shift) over a count, with as many bits as the shift leaves room for.

    Example:
        >>> divided((2**30, 31), 3)
        (715827882, 32)
    """
    multiplier, shift = pair
    bits = min(count.bit_length() - 1, 32, 62 - shift)
    return (multiplier << bits) // count, shift + bits
