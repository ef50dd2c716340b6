# SPDX-License-Identifier: Apache-2.0
"""HardSwish on int16 fixed-point values, operation by operation as TFLite's kernels. Integers only.

Source: google-ai-edge/LiteRT tflite/kernels/internal/reference/hard_swish.h, tflite/kernels/activations.cc.
"""

from __future__ import annotations

from collections.abc import Callable

from q8emu.numerics.multiplier import quantize_multiplier
from q8emu.numerics.rounding import half_away, half_up, toward_zero
from q8emu.numerics.spec import clamp

INT16 = (-(2**15), 2**15 - 1)
HIRES = 7  # bits that x - x_zero_point is shifted up


def _multiplier(factor: float) -> tuple[int, int]:
    """A multiplier of 16 bits in [2^14, 2^15) and the left shift that stand for a factor."""
    wide, shift = quantize_multiplier(factor)
    return min(half_up(wide, 16), INT16[1]), 31 - shift


def _high_mul(a: int, b: int) -> int:
    """half_up(a * b / 2^15), within int16."""
    return min(half_up(a * b, 15), INT16[1])


def _gate(hires: int, multiplier: int, left: int) -> int:
    """min(max(x / 6 + 1 / 2, 0), 1) in Q0.15; saturates in the last bit of a left shift only."""
    value = clamp(hires << max(left - 1, 0), *INT16)
    value = _high_mul(value, multiplier)
    value = clamp(value << 1, *INT16) if left > 0 else half_away(value, -left)
    return (value + 2**15) >> 1


def at_scales(x_scale: float, y_scale: float) -> Callable[[int], int]:
    """The function of x - x_zero_point that gives y - y_zero_point, before it is clamped.

    Args:
        x_scale: of the input, less than 128 times that of the output.
        y_scale: of the output.

    Raises:
        ValueError: the scales leave the range of the multipliers.
    """
    output, output_left = _multiplier(x_scale / 2**HIRES / y_scale)
    gate, gate_left = _multiplier(x_scale / 2**HIRES / (3 / 2**15))
    if output_left > 0:
        raise ValueError("the input's scale is 128 times the output's or more")

    def apply(difference: int) -> int:
        hires = difference << HIRES
        product = _gate(hires, gate, gate_left) * _high_mul(hires, output)
        return half_away(toward_zero(product, 15), -output_left)

    return apply
