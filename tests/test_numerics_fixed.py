# SPDX-License-Identifier: Apache-2.0
"""Integer rounding and requantization: the definition against exact fractions, every kernel against the definition."""

from __future__ import annotations

import ctypes
import math
import platform
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from conftest import ISAS
from q8emu import _core
from q8emu.numerics import fixed_point, libm, multiplier, spec
from q8emu.numerics.rounding import ROUNDINGS

EXTREMES = (-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30 - 1, 2**30, 2**31 - 1)
BOUNDS = {"int8": (-128, 127), "uint8": (0, 255)}


def nearest(value: Fraction, tie: Callable[[int], bool]) -> int:
    """The nearest integer; where two are, the one above if tie(floor of the value)."""
    below = math.floor(value)
    rest = value - below
    return below + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and tie(below)))


EXACT: dict[str, Callable[[Fraction], int]] = {
    "ceil": math.ceil,
    "floor": math.floor,
    "half_away": lambda v: nearest(v, lambda below: below >= 0),
    "half_down": lambda v: nearest(v, lambda below: False),
    "half_even": lambda v: nearest(v, lambda below: below % 2 == 1),
    "half_to_zero": lambda v: nearest(v, lambda below: below < 0),
    "half_up": lambda v: nearest(v, lambda below: True),
    "to_odd": lambda v: math.floor(v) | (v != math.floor(v)),
    "toward_zero": math.trunc,
}


@pytest.mark.parametrize("rule", EXACT)
@pytest.mark.parametrize("shift", [0, 1, 7, 16])
def test_rounding_rules_on_all_16_bit_values(rule: str, shift: int) -> None:
    rounded, exact = ROUNDINGS[rule], EXACT[rule]
    wrong = [v for v in range(-(2**15), 2**15) if rounded(v, shift) != exact(Fraction(v, 1 << shift))]
    assert not wrong


@pytest.mark.parametrize("shift", [1, 7, 16])
def test_the_pseudocode_of_the_hardware_guide_is_not_half_away(shift: int) -> None:
    """Right from zero on and at negative ties; 1 too low at every other negative value."""
    half = 1 << shift >> 1
    for v in range(-(2**15), 2**15):
        is_wrong = v < 0 and v % (2 * half) != half
        assert ROUNDINGS["hwguide"](v, shift) == ROUNDINGS["half_away"](v, shift) - is_wrong
    assert ROUNDINGS["hwguide"](-5, 0) == -5


@pytest.mark.parametrize("rule", multiplier.RULES)
@pytest.mark.parametrize("factor", [2**30, 3 * 2**29, 2**31 - 1, 1518500250])
def test_multipliers_on_all_16_bit_values(rule: str, factor: int) -> None:
    """The stages of each rule, written with fractions, at a total shift that leaves ties."""
    shift = 36
    first = {"double_rounding": "half_up", "ruy_x86": "half_up"}.get(rule)
    last = EXACT["half_away" if rule == "double_rounding" else "half_up"]
    for acc in range(-(2**15), 2**15):
        product = Fraction(acc * factor)
        staged = product / 2**shift if first is None else Fraction(EXACT[first](product / 2**31), 2 ** (shift - 31))
        assert multiplier.RULES[rule](acc, factor, shift) == last(staged), acc


def test_where_the_three_rules_part() -> None:
    ties = [(-1000, 2**30, 34), (7, 2**30, 34), (1, 2**30, 31), (-1, 2**30, 31)]
    found = {rule: [function(*tie) for tie in ties] for rule, function in multiplier.RULES.items()}
    assert found == {
        "double_rounding": [-63, 1, 1, 0],
        "ruy_x86": [-62, 1, 1, 0],
        "single_rounding": [-62, 0, 1, 0],
    }


def test_a_left_shift_wraps() -> None:
    assert multiplier.RULES["double_rounding"](2**30, 2**30, 29) == 0
    assert multiplier.RULES["ruy_x86"](2**30, 2**30, 29) == 0
    assert multiplier.RULES["single_rounding"](2**31 - 1, 2**31 - 1, 1) == spec.wrap32((2**31 - 1) ** 2 + 1 >> 1)


def test_doubling_high_mul_saturates_once() -> None:
    for a in EXTREMES:
        for b in EXTREMES:
            exact = EXACT["half_up"](Fraction(a * b, 2**31))
            assert multiplier.doubling_high_mul(a, b) == min(exact, 2**31 - 1)


def test_quantize_multiplier(rng: np.random.Generator) -> None:
    for real in [*np.exp2(rng.uniform(-32, 29, 2000)).tolist(), 2.0**-32, 2.0**29, 1 / 3]:
        factor, shift = multiplier.quantize_multiplier(real)
        assert 2**30 <= factor < 2**31
        assert multiplier.MIN_SHIFT <= shift <= multiplier.MAX_SHIFT + 1
        error = abs(Fraction(factor, 2**shift) - Fraction(real))
        assert error <= Fraction(1, 2 ** (shift + 1))
    assert multiplier.quantize_multiplier(1 - 2.0**-33) == (2**30, 30), "rounds up to 2^31: carried"
    assert multiplier.quantize_multiplier(0.0) == multiplier.quantize_multiplier(2.0**-34) == (0, 31)
    with pytest.raises(ValueError, match="less than"):
        multiplier.quantize_multiplier(2.0**30)


def accumulators(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """int32[rows, columns] of every magnitude, with extremes and powers of two."""
    acc = rng.integers(-(2**31), 2**31, (rows, columns)) >> rng.integers(0, 31, (rows, columns))
    special = np.array([*EXTREMES, *(s * 2**k + d for s in (-1, 1) for k in range(3, 30) for d in (-1, 0, 1))])
    chosen = rng.random((rows, columns)) < 0.3
    return np.where(chosen, rng.choice(special, (rows, columns)), acc).astype(np.int32)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", multiplier.RULES)
def test_multiplier_kernels_equal_the_definition(isa: str, rule: str, rng: np.random.Generator) -> None:
    code = multiplier.REQUANTIZE.index(rule)
    for columns in (1, 2, 7, 8, 9, 15, 16, 17, 33):
        for per_channel in (False, True):
            length = columns if per_channel else 1
            acc = accumulators(rng, 9, columns)
            factor = rng.integers(0, 2**31, length).astype(np.int32)
            factor = np.where(rng.random(length) < 0.4, rng.choice([2**30, 2**31 - 1, 0], length), factor)
            shift = np.where(
                rng.random(length) < 0.2, rng.choice([1, 31, 32, 62], length), rng.integers(24, 50, length)
            )
            dtype = str(rng.choice(["int8", "uint8"]))
            low, high = BOUNDS[dtype]
            zero_point = int(rng.integers(low, high + 1))
            expected = [
                [
                    multiplier.requantize(
                        a,
                        multiplier.RULES[rule],
                        int(factor[c % length]),
                        int(shift[c % length]),
                        zero_point,
                        (low, high),
                    )
                    for c, a in enumerate(row)
                ]
                for row in acc.tolist()
            ]
            got = _core.requantize_multiplier(
                isa, acc, code, factor.astype(np.int32), shift.astype(np.int32), zero_point, low, high, dtype
            )
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_float64_kernels_equal_the_definition(isa: str, rng: np.random.Generator) -> None:
    for columns in (1, 3, 4, 5, 7, 8, 9, 17):
        for per_channel in (False, True):
            length = columns if per_channel else 1
            acc = accumulators(rng, 9, columns)
            scale = np.exp2(rng.uniform(-31, 3, length))
            scale = np.where(rng.random(length) < 0.5, np.exp2(rng.integers(-9, 1, length)), scale)  # ties
            zero_point = int(rng.integers(-128, 128))
            expected = [
                [
                    multiplier.requantize_float64(a, float(scale[c % length]), zero_point, (-100, 90))
                    for c, a in enumerate(row)
                ]
                for row in acc.tolist()
            ]
            bits = multiplier.f64_bits(scale)
            got = _core.requantize_float64(isa, acc, bits, zero_point, -100, 90, "int8")
            np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("isa", ISAS)
def test_float64_next_to_ties(isa: str) -> None:
    """One unit in the last place below, at and above k + 1/2, where adding a half would go wrong."""
    whole = np.arange(1, 120)
    for step in (-1, 0, 1):
        scale = (whole + 0.5) / 3
        scale = np.nextafter(scale, np.inf * step) if step else scale
        acc = np.where(np.arange(len(whole)) % 2, -3, 3).astype(np.int32)[None]
        got = _core.requantize_float64(isa, acc, multiplier.f64_bits(scale), 0, -128, 127, "int8")[0]
        columns = zip(acc[0].tolist(), scale.tolist(), strict=True)
        assert got.tolist() == [multiplier.requantize_float64(a, s, 0, (-128, 127)) for a, s in columns]


def test_refused_arguments() -> None:
    acc, one = np.zeros((1, 2), np.int32), np.ones(1, np.int32)
    with pytest.raises(_core.Error, match=r"shift in \[1, 62\], found 1 and 63"):
        _core.requantize_multiplier("reference", acc, 1, one, one * 63, 0, -128, 127, "int8")
    with pytest.raises(_core.Error, match="rule must be in"):
        _core.requantize_multiplier("reference", acc, 4, one, one, 0, -128, 127, "int8")
    with pytest.raises(_core.Error, match="positive finite float64"):
        _core.requantize_float64("reference", acc, multiplier.f64_bits(np.array([np.inf])), 0, -128, 127, "int8")


def test_exponential_is_close_and_monotonic() -> None:
    """Not an equality with the real function: it is what the runtime computes, and this catches a slip of a bit."""
    values = [fixed_point.exp_of_negative(-a, 5) for a in range(0, 2**31, 2**31 // 999)]
    real = [math.exp(-a / 2**26) * 2**31 for a in range(0, 2**31, 2**31 // 999)]
    assert max(abs(v - r) for v, r in zip(values, real, strict=True)) < 2**9
    assert values == sorted(values, reverse=True)
    assert fixed_point.exp_of_negative(0, 5) == 2**31 - 1


def test_reciprocal_is_close() -> None:
    for a in (*range(0, 2**31, 2**31 // 999), 2**31 - 1):
        assert abs(fixed_point.one_over_one_plus(a) - 2**62 / (2**31 + a)) < 2**4


def test_tanh_is_that_of_the_c_library(rng: np.random.Generator) -> None:
    """Small, ordinary and saturated arguments of both signs; the system's own function where it is the old one."""
    x = np.exp2(rng.uniform((-140, -12, -3, 1), (-12, -3, 1, 10), (5000, 4))).astype(np.float32)
    x = np.concatenate([[0, np.inf, -0.94669074], (x * rng.choice([-1, 1], x.shape)).ravel()]).astype(np.float32)
    found = libm.tanh(x)
    assert found[:3].tolist() == [0.0, 1.0, -94.5 / 128]
    assert np.abs(found - np.tanh(x.astype(np.float64))).max() < 2.0**-23
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split("."))) > (2, 40):
        pytest.skip(f"needs glibc up to 2.40, whose tanhf this is; found {name} {version}")
    function = ctypes.CDLL("libm.so.6").tanhf
    function.restype, function.argtypes = ctypes.c_float, [ctypes.c_float]
    expected = np.array([function(float(v)) for v in x], np.float32)
    assert np.array_equal(found.view(np.uint32), expected.view(np.uint32))
