# SPDX-License-Identifier: Apache-2.0
"""The definition of every rounding against exact fractions, and the C++ requantize of every ISA against the definition.

Named properties follow QNNPACK's tests: exact powers of two, just below, at and just above each tie, both signs,
extremes. The independent model here is a search among the neighbours of a binary32 number, on exact fractions.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from q8emu import _core
from q8emu.numerics import rounding, spec

S8, U8 = (-128, 127), (0, 255)
LIMITS = {"int8": S8, "uint8": U8}
INT32 = (-(2**31), 2**31 - 1)
LARGEST = Fraction(float(np.finfo(np.float32).max))


def nearest(value: Fraction) -> np.float32:
    """The binary32 number nearest to a fraction, ties to the even significand, found by looking at neighbours."""
    if abs(value) >= LARGEST + Fraction(2) ** 103:
        return np.float32(np.inf if value > 0 else -np.inf)
    with np.errstate(over="ignore"):
        guess = np.float32(value.numerator / value.denominator)
    if np.isinf(guess):
        guess = np.float32(np.copysign(np.finfo(np.float32).max, guess))
    with np.errstate(over="ignore"):
        around = [np.nextafter(guess, end, dtype=np.float32) for end in np.array([-np.inf, np.inf], np.float32)] + [
            guess
        ]
    finite = [v for v in around if np.isfinite(v)]
    return min(finite, key=lambda v: (abs(Fraction(float(v)) - value), int(v.view(np.uint32)) & 1))


def requantized(acc: int, scale: np.float32, point: int, limits: tuple[int, int], bounds: tuple[int, int]) -> int:
    """v = f32(f32(acc) * scale); q = rne(clamp(v)) + zero_point; clamp."""
    v = Fraction(float(nearest(Fraction(acc)))) * Fraction(float(scale))
    rounded = nearest(v)
    if np.isinf(rounded):
        q = limits[1] - point if rounded > 0 else limits[0] - point
    else:
        q = round(Fraction(float(rounded)))
    q = min(max(q, limits[0] - point), limits[1] - point) + point
    return min(max(q, bounds[0]), bounds[1])


def near_ties(rng: np.random.Generator, count: int) -> list[tuple[int, np.float32]]:
    """Accumulators and scales whose product is k + 1/2, give or take up to two units in the last place of the scale."""
    found = []
    for _ in range(count):
        bits = int(rng.integers(1, 32))
        acc = int(rng.integers(1, 2**bits)) * int(rng.choice([-1, 1]))
        k = int(rng.integers(0, 260))
        scale = np.float32((k + 0.5) / abs(acc))
        for _ in range(int(rng.integers(0, 3))):
            scale = np.nextafter(scale, np.float32(rng.choice([0, np.inf])), dtype=np.float32)
        found.append((acc, np.float32(scale)))
    return found


# half_even and the other integer rules


@pytest.mark.parametrize("shift", [1, 2, 3, 7, 8, 15, 16])
def test_half_even_on_all_16_bit_values(shift: int) -> None:
    divisor = 1 << shift
    for value in range(-(2**15), 2**15):
        assert rounding.half_even(value, shift) == round(Fraction(value, divisor))


def test_half_even_named_properties() -> None:
    for shift in (1, 5, 31, 60):
        one = 1 << shift
        for k in (-3, -2, -1, 0, 1, 2, 3):
            even = k if k % 2 == 0 else k + 1
            assert rounding.half_even(k * one, shift) == k, "exact multiples stay"
            assert rounding.half_even(k * one + one // 2, shift) == even, "a tie goes to the even neighbour"
            if shift > 1:
                assert rounding.half_even(k * one + one // 2 - 1, shift) == k, "just below a tie goes down"
                assert rounding.half_even(k * one + one // 2 + 1, shift) == k + 1, "just above a tie goes up"
    assert rounding.half_even(5, 0) == 5
    assert rounding.half_even(-5, -3) == -40


@given(st.integers(-(2**80), 2**80), st.integers(0, 90))
def test_half_even_of_any_integer(value: int, shift: int) -> None:
    assert rounding.half_even(value, shift) == round(Fraction(value, 2**shift))


@given(st.integers(-(2**70), 2**70))
def test_wrap32_is_modulo(value: int) -> None:
    wrapped = spec.wrap32(value)
    assert INT32[0] <= wrapped <= INT32[1]
    assert (wrapped - value) % 2**32 == 0


@given(st.integers(0, 0x7F7FFFFF), st.booleans())
def test_split_is_exact(bits: int, negative: bool) -> None:
    bits |= int(negative) << 31
    significand, exponent = spec.split(bits)
    assert Fraction(significand) * Fraction(2) ** exponent == Fraction(float(spec.f32_from_bits(bits)))
    assert spec.f32_bits(spec.f32_from_bits(bits)) == bits


# binary32


@given(st.integers(*INT32))
def test_f32_of_an_accumulator(acc: int) -> None:
    assert spec.f32(acc) == np.int32(acc).astype(np.float32) == nearest(Fraction(acc))
    significand, exponent = spec.round_significand(acc)
    assert Fraction(significand) * 2**exponent == Fraction(float(spec.f32(acc)))


@settings(max_examples=500)
@given(st.integers(0, 0x7F7FFFFE), st.sampled_from([-1, 1]), st.integers(-2, 2))
def test_f32_between_two_neighbours(bits: int, sign: int, nudge: int) -> None:
    """At the middle of two binary32 numbers the even one wins; a hair off, the nearer one."""
    low, high = (Fraction(float(spec.f32_from_bits(b))) for b in (bits, bits + 1))
    value = sign * ((low + high) / 2 + nudge * (high - low) / 2**60)
    assert spec.f32(value) == nearest(value)
    if nudge:
        assert abs(Fraction(float(spec.f32(value)))) == (high if nudge > 0 else low)


def test_f32_at_the_ends_of_the_range() -> None:
    tiny = Fraction(2) ** -149
    assert spec.f32(tiny / 2) == 0
    assert float(spec.f32(tiny * Fraction(51, 100))) == float(tiny)
    assert spec.f32(LARGEST + Fraction(2) ** 103 - 1) == np.finfo(np.float32).max
    assert np.isposinf(spec.f32(LARGEST + Fraction(2) ** 103))
    assert np.isneginf(spec.f32(-LARGEST * 2))


FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(max_examples=500)
@given(FINITE, FINITE, FINITE)
def test_fma_rounds_once(a: float, b: float, c: float) -> None:
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    assert spec.fma(a, b, c) == nearest(exact)


def test_fma_where_two_roundings_differ(rng: np.random.Generator) -> None:
    """Where a product that was rounded to binary32 before the sum gives another result."""
    differing = 0
    for _ in range(2000):
        a, b = (np.float32(rng.uniform(1, 2)) for _ in range(2))
        product = Fraction(float(a)) * Fraction(float(b))
        c = np.float32(-float(product)) if rng.random() < 0.5 else np.float32(rng.uniform(-1, 1) * 2.0**24)
        assert spec.fma(a, b, c) == nearest(product + Fraction(float(c)))
        differing += bool(spec.fma(a, b, c) != np.float32(a * b) + c)
    assert differing > 100


def test_fma_is_not_a_sum_in_binary64() -> None:
    """1 + 2^-24 is a tie; 2^-100 beyond it decides, and is lost in a binary64 sum."""
    assert spec.fma(2.0**-24, 1.0, 1.0) == 1
    a, b = np.float32(1 + 2.0**-23), np.float32(2.0**-24 * (1 - 2.0**-23))  # a * b = 2^-24 - 2^-70
    assert np.float32(float(a) * float(b) + (1 + 2.0**-23)) == np.float32(1 + 2.0**-22), "binary64 ends on the tie"
    assert spec.fma(a, b, 1 + 2.0**-23) == np.float32(1 + 2.0**-23), "the exact sum is just below it"
    assert float(spec.f32(1 + Fraction(2) ** -24 + Fraction(2) ** -100)) == 1 + 2.0**-23
    assert float(spec.f32(1 + Fraction(2) ** -24 - Fraction(2) ** -100)) == 1


# requantize


def test_requantize_near_ties(rng: np.random.Generator) -> None:
    for index, (acc, scale) in enumerate(near_ties(rng, 4000)):
        dtype = ("int8", "uint8")[index & 1]
        point = int(rng.integers(LIMITS[dtype][0], LIMITS[dtype][1] + 1))
        expected = requantized(acc, scale, point, LIMITS[dtype], LIMITS[dtype])
        assert spec.requantize(acc, spec.f32_bits(scale), point, LIMITS[dtype], LIMITS[dtype]) == expected, (acc, scale)


@settings(max_examples=500)
@given(st.integers(*INT32), st.integers(1, 0x7F7FFFFF), st.integers(*S8), st.integers(*S8), st.integers(*S8))
def test_requantize_any(acc: int, bits: int, point: int, one: int, other: int) -> None:
    bounds = (min(one, other), max(one, other))
    assert spec.requantize(acc, bits, point, S8, bounds) == requantized(
        acc, spec.f32_from_bits(bits), point, S8, bounds
    )


def test_requantize_named_properties() -> None:
    half, one = spec.f32_bits(0.5), spec.f32_bits(1.0)
    assert [spec.requantize(a, half, 0, S8, S8) for a in (-5, -3, -1, 1, 3, 5)] == [-2, -2, 0, 0, 2, 2], "ties to even"
    assert [spec.requantize(a, half, 1, S8, S8) for a in (-5, -3, -1, 1, 3, 5)] == [-1, -1, 1, 1, 3, 3], (
        "the zero point comes after the rounding: parity is that of the centred value"
    )
    for point in (-128, -1, 0, 127):
        assert spec.requantize(0, one, point, S8, S8) == point, "zero is the zero point"
        assert spec.requantize(INT32[0], one, point, S8, S8) == -128, "saturates low"
        assert spec.requantize(INT32[1], one, point, S8, S8) == 127, "saturates high"
    assert spec.requantize(100, one, 0, S8, (0, 6)) == 6, "clamps to the activation"
    assert spec.requantize(-100, one, 0, S8, (0, 6)) == 0
    for shift in range(1, 31):
        power = spec.f32_bits(2.0**-shift)
        for k in range(-128, 128):
            assert spec.requantize(k << shift if shift < 24 else k << 23, power, 0, S8, S8) == (
                k if shift < 24 else round(Fraction(k << 23, 2**shift))
            ), "exact multiples of a power of two stay"


def test_requantize_rounds_the_accumulator_first() -> None:
    """|acc| > 2^24: the accumulator itself becomes a binary32 number, which moves some results."""
    moved = 0
    for k in range(1, 200):
        acc = (2**24 + 1) * 3 + 2 * k
        for scale in (np.float32((j + 0.5) / acc) for j in range(20)):
            exact = round(Fraction(acc) * Fraction(float(scale)))
            moved += spec.requantize(acc, spec.f32_bits(scale), 0, S8, S8) != exact
    assert moved > 0


def test_requantize_is_monotone() -> None:
    for scale in (0.5, 0.37, 1.0, 2.0**-7):
        values = [spec.requantize(a, spec.f32_bits(scale), 3, U8, U8) for a in range(-700, 700)]
        assert values == sorted(values)


def test_every_isa_requantizes_near_ties(isa: str, rng: np.random.Generator) -> None:
    """Each accumulator against each scale, so that both meet ties and everything else."""
    pairs = near_ties(rng, 300)
    acc = np.array([[a] * len(pairs) for a, _ in pairs], np.int32)
    scales = np.array([s for _, s in pairs], np.float32)
    for dtype, point, bounds in (("int8", 0, S8), ("int8", -77, (-77, 100)), ("uint8", 255, U8), ("uint8", 3, (3, 9))):
        found = _core.requantize(isa, acc, scales.view(np.uint32), point, *bounds, dtype)
        expected = _by_definition(acc, scales, point, dtype, bounds)
        differs = np.argwhere(found != expected)
        assert not differs.size, [(acc[i, j], scales[j], found[i, j], expected[i, j]) for i, j in differs[:3]]


def test_every_isa_requantizes_random(isa: str, rng: np.random.Generator) -> None:
    """10^5 accumulators of all sizes with random scales, and every remainder of a vector's length."""
    for columns in (1, 3, 8, 15, 16, 17, 31, 33, 64, 100):
        rows = 10_000 // columns
        acc = (rng.integers(*INT32, (rows, columns), endpoint=True) >> rng.integers(0, 31, (rows, columns))).astype(
            np.int32
        )
        scales = np.exp2(rng.uniform(-24, 4, columns)).astype(np.float32)
        dtype = str(rng.choice(["int8", "uint8"]))
        point = int(rng.integers(LIMITS[dtype][0], LIMITS[dtype][1] + 1))
        found = _core.requantize(isa, acc, scales.view(np.uint32), point, *LIMITS[dtype], dtype)
        assert np.array_equal(found, _by_definition(acc, scales, point, dtype, LIMITS[dtype]))


def test_every_isa_requantizes_extremes(isa: str) -> None:
    """The ends of int32, scales from the least to the greatest binary32 number, one scale for all channels."""
    acc = np.array([[*INT32, 0, 1, -1, 2**24 + 1, -(2**24) - 1, 2**30]], np.int32)
    for scale in (2.0**-149, 1e-38, 2.0**-31, 1.0, 255.5, 1e38, float(np.finfo(np.float32).max)):
        scales = np.array([scale], np.float32)
        for dtype, point in (("int8", -128), ("int8", 127), ("uint8", 0), ("uint8", 128)):
            found = _core.requantize(isa, acc, scales.view(np.uint32), point, *LIMITS[dtype], dtype)
            assert np.array_equal(found, _by_definition(acc, scales, point, dtype, LIMITS[dtype])), (scale, dtype)


def _by_definition(acc: np.ndarray, scales: np.ndarray, point: int, dtype: str, bounds: tuple[int, int]) -> np.ndarray:
    bits = np.broadcast_to(scales.view(np.uint32), acc.shape[1:]).tolist()
    rows = [
        [spec.requantize(a, b, point, LIMITS[dtype], bounds) for a, b in zip(r, bits, strict=True)]
        for r in acc.tolist()
    ]
    return np.array(rows, dtype)


# quantize and dequantize


@settings(max_examples=300)
@given(FINITE, st.integers(0x00000001, 0x7F7FFFFF), st.integers(*U8))
def test_quantize_one_value(x: float, bits: int, point: int) -> None:
    scale = spec.f32_from_bits(bits)
    v = nearest(Fraction(x) / Fraction(float(scale)))
    clamped = min(max(float(v), -point), 255 - point)
    expected = round(Fraction(clamped)) + point
    found = spec.quantize(np.array([x], np.float32), scale, np.int32(point), "uint8")
    assert int(found[0]) == expected


def test_quantize_what_is_not_finite() -> None:
    x = np.array([np.nan, np.inf, -np.inf], np.float32)
    assert spec.quantize(x, np.float32(1), np.int32(7), "uint8").tolist() == [0, 255, 0]
    assert spec.quantize(x, np.float32(1), np.int32(-7), "int8").tolist() == [-128, 127, -128]


@given(st.integers(*INT32), st.integers(*INT32), st.integers(1, 0x7F7FFFFF))
def test_dequantize_one_value(q: int, point: int, bits: int) -> None:
    difference = spec.wrap32(q - point)
    scale = spec.f32_from_bits(bits)
    expected = nearest(Fraction(float(nearest(Fraction(difference)))) * Fraction(float(scale)))
    found = spec.dequantize(np.array([q], np.int32), scale, np.int32(point))
    assert found[0] == expected
