# SPDX-License-Identifier: Apache-2.0
"""Requantization in any stages: the definition against exact fractions, every kernel against the definition."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest

from conftest import ISAS
from q8emu.numerics import multiplier, spec
from q8emu.numerics.multiplier import Form, Rule, quantize_multiplier
from q8emu.numerics.rounding import ROUNDINGS
from q8emu.run import Runner
from strategies_steps import Dict, Maker

NAMES = list(ROUNDINGS)
EXTREMES = (-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30 - 1, 2**30, 2**31 - 1)


def run(isa: str, acc: np.ndarray, rule: Rule, pairs: list[tuple[int, int]], zero_point: int = 0) -> np.ndarray:
    """int32[R, C] through the kernel of an ISA, as the bias of a product of zeros."""
    rows, columns = acc.shape
    params: Dict = {"a_zero_point": 0, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}
    params |= {"requantize": multiplier.REQUANTIZE.index("staged"), "first_shift": rule.first_shift}
    params |= {"first_rounding": NAMES.index(rule.first_rounding), "rounding": NAMES.index(rule.rounding)}
    params |= {"saturates": int(rule.beyond == "saturate"), "y_zero_point": zero_point, "qmin": -128, "qmax": 127}
    arrays = {
        "multiplier": np.array([p[0] for p in pairs], np.int32),
        "shift": np.array([p[1] for p in pairs], np.int32),
    }
    arrays |= {"b_zero_point": np.zeros(1, np.int32), "bias": acc.astype(np.int32)}
    operands = [np.zeros((rows, 1), np.int8), np.zeros((1, columns), np.int8)]
    single = Maker(0).single("matmul", operands, [("int8", (rows, columns))], params, arrays, (1,))
    return Runner(single.program, kernels=isa, threads=1).run(single.feeds).outputs["y0"]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rounding", NAMES)
def test_every_16_bit_accumulator(isa: str, rounding: str) -> None:
    """All of them by a shift of 8, and by an 8-bit multiplier at a shift that leaves ties, in one stage and in two."""
    acc = np.arange(-(2**15), 2**15, dtype=np.int32).reshape(256, 256)
    for first, pair in ((0, (1, 8)), (0, (96, 15)), (6, (96, 15))):
        rule = Rule(rounding, first, "half_up")
        by_value = {a: multiplier.requantize(a, rule, *pair, 0, (-128, 127)) for a in acc.reshape(-1).tolist()}
        got = run(isa, acc, rule, [pair])
        assert got.reshape(-1).tolist() == list(by_value.values()), (first, pair)


def test_the_stages_with_fractions() -> None:
    """One stage is the exact quotient, under each rule; two are the quotient of the first one's integer."""
    for name, acc, (factor, shift) in itertools.product(NAMES, EXTREMES, ((1, 0), (1, 3), (77, 9), (2**31 - 1, 40))):
        exact = ROUNDINGS[name](acc * factor, shift)
        assert Rule(name, beyond="saturate")(acc, factor, shift) == spec.clamp(exact, -(2**31), 2**31 - 1)
        assert Rule(name)(acc, factor, shift) == spec.wrap32(exact)
        assert name == "hwguide" or abs(exact - Fraction(acc * factor, 2**shift)) < 1
    assert Rule("half_up", 31)(7, 2**30, 34) == 1, "half_up of 3.5 is 4, and of 4 / 8 is 1"
    assert Rule("half_up")(7, 2**30, 34) == 0


def test_the_rules_that_have_a_name_are_values_of_the_stages(rng: np.random.Generator) -> None:
    """Their kernels and the staged one give the same bits."""
    acc = (rng.integers(-(2**31), 2**31, (40, 33)) >> rng.integers(0, 31, (40, 33))).astype(np.int32)
    for name, isa in itertools.product(multiplier.RULES, ISAS):
        pairs = [quantize_multiplier(float(f)) for f in np.exp2(rng.uniform(-20, 0, 33))]
        rule = multiplier.RULES[name]
        expected = [
            [multiplier.requantize(a, rule, *pairs[c], 3, (-128, 127)) for c, a in enumerate(r)] for r in acc.tolist()
        ]
        np.testing.assert_array_equal(run(isa, acc, rule, pairs, 3), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_widths_stages_and_extremes(isa: str, rng: np.random.Generator) -> None:
    """Every rule in both stages, multipliers of every width, shifts to the left, both ends of int32."""
    for index in range(120):
        bits = int(rng.integers(8, 33)) if index % 4 else 0
        form = Form(bits, snap="nearest", mantissa=("half_away", "half_even", "floor")[index % 3])
        first = 0 if index % 2 or not bits else int(rng.integers(1, bits))
        rule = Rule(NAMES[index % 10], first, NAMES[int(rng.integers(10))], ("wrap", "saturate")[int(rng.integers(2))])
        columns = int(rng.choice([1, 3, 4, 5, 7, 8, 9, 17]))
        acc = rng.integers(-(2**31), 2**31, (6, columns)) >> rng.integers(0, 31, (6, columns))
        ties = rng.integers(-300, 300, (6, columns)) << rng.integers(0, 20, (6, columns))
        acc = np.where(rng.random(acc.shape) < 0.4, ties, acc)
        acc = np.where(rng.random(acc.shape) < 0.2, rng.choice(EXTREMES, acc.shape), acc).astype(np.int32)
        factors = np.exp2(rng.uniform(-32, 29, columns) if index % 5 == 0 else rng.uniform(-20, 0, columns))
        factors = np.where(rng.random(columns) < 0.3, np.exp2(np.round(np.log2(factors))), factors)
        pairs = [quantize_multiplier(float(f), form) for f in factors][: columns if index % 3 else 1]
        zero_point = int(rng.integers(-128, 128))
        expected = [
            [multiplier.requantize(a, rule, *pairs[c % len(pairs)], zero_point, (-128, 127)) for c, a in enumerate(row)]
            for row in acc.tolist()
        ]
        np.testing.assert_array_equal(run(isa, acc, rule, pairs, zero_point), expected, f"{rule} {form} {pairs}")


def test_saturation_and_wrapping_part() -> None:
    """A left shift, and the sum with the zero point, beyond int32."""
    for isa in ("spec", *ISAS):
        acc = np.array([[2**30, -(2**30), 2**31 - 1]], np.int32)
        assert run(isa, acc, Rule("half_up", beyond="saturate"), [(1, -1)], 1).tolist() == [[127, -128, 127]]
        assert run(isa, acc, Rule("half_up"), [(1, -1)], 1).tolist() == [[-128, -128, -1]]
        assert run(isa, acc, Rule("half_up"), [(1, 0)], 1).tolist() == [[127, -128, -128]]


def test_forms() -> None:
    assert quantize_multiplier(0.75, Form(8)) == (96, 7)
    assert quantize_multiplier(1 - 2.0**-9, Form(8)) == (64, 6), "rounds up to 2^7: carried"
    assert quantize_multiplier(1 - 2.0**-9, Form(8, carry="saturate")) == (127, 7)
    assert quantize_multiplier(1 - 2.0**-9, Form(8, mantissa="floor")) == (127, 7)
    assert quantize_multiplier(64.5 / 128, Form(8)) == (65, 7)
    assert quantize_multiplier(64.5 / 128, Form(8, mantissa="half_even")) == (64, 7)
    assert quantize_multiplier(0.01, Form(32, fraction_bits=16)) == (655, 16)
    assert quantize_multiplier(2.0**-20, Form(32, fraction_bits=16)) == (0, 16)
    assert quantize_multiplier(0.125, Form(0)) == (1, 3)
    assert quantize_multiplier(8.0, Form(0)) == (1, -3)
    snapped = [quantize_multiplier(f, Form(0, snap="nearest"))[1] for f in (0.7, 0.71, 1.41, 1.42)]
    assert snapped == [1, 0, 0, -1]
    for factor, form, reason in (
        (0.3, Form(0), "expected a power of two"),
        (2.0**30, Form(0), r"below 2\^30"),
        (2.0**30, Form(8), r"less than 2\^30"),
        (1.0, Form(16, fraction_bits=15), r"less than 1 \(16 bits\)"),
    ):
        with pytest.raises(ValueError, match=reason):
            quantize_multiplier(factor, form)
