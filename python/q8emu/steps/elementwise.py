# SPDX-License-Identifier: Apache-2.0
"""Two quantized tensors to one, element by element with broadcasting; and lut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.numerics import spec as numerics
from q8emu.program import Buffer, Step
from q8emu.steps.base import Arrays, bounds, integer, real, requantized, round_inside, wrap32


def add_fma(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """v = fma(a, A, fma(b, B, F)), the zero points inside F; y = saturate(rne(v))."""
    ratio_a, ratio_b, fixed = (real(step, n) for n in ("a_ratio_bits", "b_ratio_bits", "fixed_bits"))
    a, b = np.broadcast_arrays(*inputs)
    pairs, inverse = np.unique(np.stack([a.ravel(), b.ravel()]).astype(np.int32), axis=1, return_inverse=True)
    inner = {int(q): numerics.fma(q, ratio_b, fixed) for q in np.unique(pairs[1])}
    values = [numerics.fma(p, ratio_a, inner[int(q)]) for p, q in pairs.T]
    v = np.array(values, np.float32)[inverse.ravel()].reshape(a.shape)
    return [round_inside(step, v, outs[0])]


def mul_ratio(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """v = f32(f32(f32((a - az)(b - bz)) * R) + f32(yz)), or with one rounding; y = saturate(rne(v))."""
    a = inputs[0].astype(np.int32) - integer(step, "a_zero_point")
    b = inputs[1].astype(np.int32) - integer(step, "b_zero_point")
    point = np.float32(integer(step, "y_zero_point"))
    if step.params.get("fused"):
        products, inverse = np.unique(a * b, return_inverse=True)
        values = [numerics.fma(product, real(step, "ratio_bits"), point) for product in products.tolist()]
        return [round_inside(step, np.array(values, np.float32)[inverse].reshape(np.shape(a * b)), outs[0])]
    with np.errstate(over="ignore"):
        v = (a * b).astype(np.float32) * real(step, "ratio_bits") + point
    return [round_inside(step, v, outs[0])]


def add_rescaled(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """acc = a_rescaled[a] + b_rescaled[b], wraps; requantized."""
    a, b = (step.arrays[f"{s}_rescaled"].astype(np.int64)[x.view(np.uint8)] for s, x in zip("ab", inputs, strict=True))
    return [_requantized_elements(step, wrap32(a + b), outs[0])]


def mul(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """acc = (a - az)(b - bz), requantized."""
    a = inputs[0].astype(np.int32) - integer(step, "a_zero_point")
    b = inputs[1].astype(np.int32) - integer(step, "b_zero_point")
    return [_requantized_elements(step, a * b, outs[0])]


def _requantized_elements(step: Step, acc: np.ndarray, out: Buffer) -> np.ndarray:
    return requantized(step, acc.reshape(-1, 1), out).reshape(acc.shape)


OPERATORS = (np.add, np.subtract, np.multiply)


def float_binary(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """Dequantize both, one float32 operation, quantize, clamp."""
    rounding = numerics.QUANTIZE[integer(step, "rounding") if "rounding" in step.params else 0]
    reals = []
    for x, side in zip(inputs, "ab", strict=True):
        scale, point = real(step, f"{side}_scale_bits"), np.int32(integer(step, f"{side}_zero_point"))
        if rounding == "half_even_reciprocal":
            reals.append(numerics.fma_array(x.astype(np.float32), scale, np.float32(-point) * scale))
        else:
            reals.append(numerics.dequantize(x, scale, point))
    a, b = reals
    with np.errstate(over="ignore", invalid="ignore"):
        v = OPERATORS[integer(step, "operator")](a, b)
    zero_point = np.int32(integer(step, "y_zero_point"))
    y = numerics.quantize(v, real(step, "y_scale_bits"), zero_point, outs[0].dtype, rounding)
    return [np.clip(y, *bounds(step)).astype(outs[0].dtype)]


def lut(step: Step, inputs: Sequence[np.ndarray], outs: Sequence[Buffer]) -> Arrays:
    """y = table[x], the bits of x read as uint8."""
    return [step.arrays["table"][inputs[0].view(np.uint8)]]
