# SPDX-License-Identifier: Apache-2.0
"""The rounding rules on integers: value / 2^shift to an integer. Every integer rounding of q8emu is one of these."""

from __future__ import annotations

from collections.abc import Callable


def half_even(value: int, shift: int) -> int:
    """value / 2^shift to the nearest integer, ties to the even one.

    Args:
        value: any integer.
        shift: total right shift; a negative one shifts left.

    Example:
        >>> [half_even(v, 1) for v in (-3, -1, 1, 3, 5)]
        [-2, 0, 0, 2, 2]
    """
    if shift <= 0:
        return value << -shift
    floor, rest, half = value >> shift, value & ((1 << shift) - 1), 1 << (shift - 1)
    return floor + (rest > half or (rest == half and floor & 1))


def half_up(value: int, shift: int) -> int:
    """value / 2^shift to the nearest integer, ties toward +infinity.

    Args:
        value: any integer.
        shift: total right shift, 0 or more, here and below.

    Example:
        >>> [half_up(v, 1) for v in (-3, -1, 1, 3)]
        [-1, 0, 1, 2]
    """
    return (value + (1 << shift >> 1)) >> shift


def half_away(value: int, shift: int) -> int:
    """value / 2^shift to the nearest integer, ties away from zero.

    Example:
        >>> [half_away(v, 1) for v in (-3, -1, 1, 3)]
        [-2, -1, 1, 2]
    """
    magnitude = half_up(abs(value), shift)
    return -magnitude if value < 0 else magnitude


def floor(value: int, shift: int) -> int:
    """value / 2^shift toward -infinity: the arithmetic shift.

    Example:
        >>> [floor(v, 1) for v in (-3, -1, 1, 3)]
        [-2, -1, 0, 1]
    """
    return value >> shift


def toward_zero(value: int, shift: int) -> int:
    """value / 2^shift without its fraction.

    Example:
        >>> [toward_zero(v, 1) for v in (-3, -1, 1, 3)]
        [-1, 0, 0, 1]
    """
    return -(-value >> shift) if value < 0 else value >> shift


def to_odd(value: int, shift: int) -> int:
    """value / 2^shift toward -infinity; where that is inexact, the last bit is set.

    Example:
        >>> [to_odd(v, 2) for v in (-4, -3, 0, 1, 5)]
        [-1, -1, 0, 1, 1]
    """
    return (value >> shift) | int(value & ((1 << shift) - 1) != 0)


def half_down(value: int, shift: int) -> int:
    """value / 2^shift to the nearest integer, ties toward -infinity.

    Example:
        >>> [half_down(v, 1) for v in (-3, -1, 1, 3)]
        [-2, -1, 0, 1]
    """
    return -half_up(-value, shift)


def half_to_zero(value: int, shift: int) -> int:
    """value / 2^shift to the nearest integer, ties toward zero.

    Example:
        >>> [half_to_zero(v, 1) for v in (-3, -1, 1, 3)]
        [-1, 0, 0, 1]
    """
    return half_up(value, shift) if value < 0 else half_down(value, shift)


def ceil(value: int, shift: int) -> int:
    """value / 2^shift toward +infinity.

    Example:
        >>> [ceil(v, 1) for v in (-3, -1, 1, 3)]
        [-1, 0, 1, 2]
    """
    return -(-value >> shift)


def hwguide(value: int, shift: int) -> int:
    """The pseudocode (v >= 0 ? v + half : v - half) >> shift as it stands, with an arithmetic shift.

    It means half_away, and is that for v >= 0 and for negative ties; every other negative value comes out 1 too low.

    Example:
        >>> [hwguide(v, 2) for v in (-8, -7, -6, -5, -4, 4, 5, 6)]
        [-3, -3, -2, -2, -2, 1, 1, 2]
    """
    half = 1 << shift >> 1
    return (value + half if value >= 0 else value - half) >> shift


Rounding = Callable[[int, int], int]

ROUNDINGS: dict[str, Rounding] = {
    "half_even": half_even,
    "half_up": half_up,
    "half_away": half_away,
    "half_down": half_down,
    "half_to_zero": half_to_zero,
    "floor": floor,
    "ceil": ceil,
    "toward_zero": toward_zero,
    "to_odd": to_odd,
    "hwguide": hwguide,
}
"""By name; a step says which by its number in this order."""
