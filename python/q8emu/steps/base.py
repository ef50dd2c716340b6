# SPDX-License-Identifier: Apache-2.0
"""What the definitions of the step kinds share: reading parameters, exact sums, the output stage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from q8emu.numerics import multiplier, spec
from q8emu.numerics.rounding import ROUNDINGS
from q8emu.program import Buffer, Step

Arrays = list[np.ndarray]


def integer(step: Step, name: str) -> int:
    """An integer parameter of a step."""
    value = step.params[name]
    assert isinstance(value, int), f"{step.kind}.{name} is not one integer"
    return value


def integers(step: Step, name: str) -> tuple[int, ...]:
    """A tuple parameter of a step."""
    value = step.params[name]
    assert isinstance(value, tuple), f"{step.kind}.{name} is not a tuple"
    return value


def real(step: Step, name: str) -> np.float32:
    """A float32 parameter, carried as its bit pattern."""
    return spec.f32_from_bits(integer(step, name))


def quantized(step: Step, values: np.ndarray, out: Buffer) -> np.ndarray:
    """Float32 values with the parameters of y, clamped."""
    y_zero_point = np.int32(integer(step, "y_zero_point"))
    y = spec.quantize(values, real(step, "y_scale_bits"), y_zero_point, out.dtype)
    clamped: np.ndarray = np.clip(y, *bounds(step)).astype(out.dtype)
    return clamped


def wrap32(values: np.ndarray) -> np.ndarray:
    """int64 to int32 modulo 2^32."""
    return values.astype(np.int64).astype(np.uint32).view(np.int32)


def saturated_bits(step: Step) -> int:
    """The width to which sums of products saturate, product by product; 0 where they wrap."""
    return integer(step, "accumulator_bits") if step.params.get("overflow") else 0


def saturate_bits(values: np.ndarray, bits: int) -> np.ndarray:
    """int64 limited to the range of so many bits."""
    limited: np.ndarray = np.clip(values, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return limited


def excess_of_pairs(step: Step, products: np.ndarray) -> np.ndarray:
    """What sums over the last axis gain when each two neighbouring products saturate to int16; 0 where they do not."""
    if not step.params.get("saturates_pairs"):
        return np.zeros(products.shape[:-1], np.int64)
    even = products[..., : products.shape[-1] // 2 * 2]
    pairs = even.reshape(*even.shape[:-1], -1, 2).sum(-1)
    gained: np.ndarray = (np.clip(pairs, -(2**15), 2**15 - 1) - pairs).sum(-1)
    return gained


def wrap_accumulators(step: Step, values: np.ndarray) -> np.ndarray:
    """int64 to int32 modulo 2^accumulator_bits: a sum may be narrowed at its end."""
    bits = integer(step, "accumulator_bits") if "accumulator_bits" in step.params else 32
    half = 2 ** (bits - 1)
    wrapped: np.ndarray = (values.astype(np.int64) + half) % (2 * half) - half
    return wrapped.astype(np.int32)


def bounds(step: Step) -> tuple[int, int]:
    """The clamp bounds (qmin, qmax)."""
    return integer(step, "qmin"), integer(step, "qmax")


def output_stage(step: Step, acc: np.ndarray, out: Buffer) -> np.ndarray:
    """int32 accumulators [..., C] to what the step writes: requantized, as they are, or scaled to float32."""
    if out.dtype == "int32":
        return acc
    if out.dtype == "float32":
        scale_bits = np.broadcast_to(step.arrays["scale_bits"], acc.shape[-1:])
        with np.errstate(over="ignore"):
            return acc.astype(np.float32) * scale_bits.astype(np.uint32).view(np.float32)
    return requantized(step, acc, out)


def requantized(step: Step, acc: np.ndarray, out: Buffer) -> np.ndarray:
    """int32 accumulators [..., C] to quantized values, by the rule that the step names."""
    rule = multiplier.REQUANTIZE[integer(step, "requantize") if "requantize" in step.params else 0]
    zero_point, limits, clamped = integer(step, "y_zero_point"), spec.limits(out.dtype), bounds(step)
    flat, channels = acc.reshape(-1).tolist(), acc.shape[-1]

    def column(name: str) -> list[int]:
        found: list[int] = np.broadcast_to(step.arrays[name], (channels,)).tolist()
        return found

    if rule == "float32":
        bits = column("scale_bits")
        values = [spec.requantize(a, bits[i % channels], zero_point, limits, clamped) for i, a in enumerate(flat)]
    elif rule == "converted":
        bits = column("scale_bits")
        biases = column("bias_bits") if "bias_bits" in step.arrays else [0] * channels
        one = integer(step, "bias_scale_bits") if "bias_scale_bits" in step.params else spec.F32_ONE
        values = [
            spec.requantize_converted(a, biases[i % channels], bits[i % channels], zero_point, clamped, one)
            for i, a in enumerate(flat)
        ]
    elif rule == "float64":
        factors = np.array(column("scale64_bits"), np.int64).view(np.float64).tolist()
        values = [
            multiplier.requantize_float64(a, factors[i % channels], zero_point, clamped) for i, a in enumerate(flat)
        ]
    else:
        factor, shift = column("multiplier"), column("shift")
        first = integer(step, "double_rounding_from") if "double_rounding_from" in step.params else channels
        most = _staged(step) if rule == "staged" else multiplier.RULES[rule]
        rules = [most] * min(first, channels) + [multiplier.RULES["double_rounding"]] * (channels - first)
        values = [
            multiplier.requantize(a, rules[c], factor[c], shift[c], zero_point, clamped)
            for a, c in zip(flat, itertools.cycle(range(channels)), strict=False)
        ]
    return np.array(values, out.dtype).reshape(acc.shape)


def _staged(step: Step) -> multiplier.Rule:
    """The rule that a step gives by its stages."""
    names = list(ROUNDINGS)
    return multiplier.Rule(
        names[integer(step, "rounding")],
        integer(step, "first_shift"),
        names[integer(step, "first_rounding")],
        "saturate" if integer(step, "saturates") else "wrap",
    )


def round_inside(step: Step, v: np.ndarray, out: Buffer) -> np.ndarray:
    """Round float32 values that already contain the zero point, saturate to the dtype, clamp.

    From 2^31 on, and for a NaN, the value is -2^31: what a conversion to int32 on x86-64 gives.
    """
    low, high = spec.limits(out.dtype)
    v = np.where(v < np.float32(2**31), v, np.float32(low))
    q = np.rint(np.clip(v, np.float32(low), np.float32(high))).astype(np.int32)
    clamped: np.ndarray = np.clip(q, *bounds(step)).astype(out.dtype)
    return clamped


def taps(
    x: np.ndarray, out_shape: Sequence[int], window: tuple[int, int], step: Step
) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each kernel position in (h, w) order: x[N, OH, OW, C] under it and mask[OH, OW], true inside the image."""
    n, height, width, c = x.shape
    (sh, sw), (dh, dw), pads = integers(step, "strides"), integers(step, "dilations"), integers(step, "pads")
    found = []
    for i in range(window[0]):
        rows = np.arange(out_shape[1]) * sh + i * dh - pads[0]
        for j in range(window[1]):
            cols = np.arange(out_shape[2]) * sw + j * dw - pads[1]
            mask = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))[None, :]
            picked = x[:, rows.clip(0, height - 1)][:, :, cols.clip(0, width - 1)]
            found.append((picked, mask))
    return found
