# SPDX-License-Identifier: Apache-2.0
"""Sums and products of two vectors to the last bit: tables that are lines, broadcast operands, every remainder."""

from __future__ import annotations

import numpy as np
import pytest

from q8emu.numerics.rounding import ROUNDINGS
from strategies_steps import Dict, Maker, Single
from test_kernels import compare, run

EXACT: Dict = {"requantize": 3, "y_zero_point": 0, "qmin": -128, "qmax": 127}
ONE = {"multiplier": np.array([2**30], np.int32), "shift": np.array([30], np.int32)}
"""Requantization that changes nothing: y is the accumulator, clamped."""


def difference(table: np.ndarray, a: np.ndarray, b: np.ndarray, shape: tuple[int, ...]) -> Single:
    """A sum of a by a table and b by its negative: 0 wherever a is b."""
    tables = {"a_rescaled": table, "b_rescaled": -table}
    return Maker(0).single("add_rescaled", [a, b], [("int8", shape)], EXACT, tables | ONE)


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
@pytest.mark.parametrize("first", ["half_up", "half_even"])
@pytest.mark.parametrize("second", [*ROUNDINGS])
def test_lines_to_the_last_bit(first: str, second: str, dtype: str, isa: str, rng: np.random.Generator) -> None:
    """Products by a multiplier, rounded twice, with ties in the second stage and a jump where the sign changes."""
    codes = np.arange(256, dtype=np.uint8).view(dtype)
    for rest in (0, 1, 2, 3, 7):
        zero_point = int(rng.integers(-100, 100)) + (128 if dtype == "uint8" else 0)
        factor = int(rng.integers(-(2**31), 2**31))
        staged = [ROUNDINGS[first]((c - zero_point) * factor, 9) for c in codes.tolist()]
        table = np.array([ROUNDINGS[second](v, rest) for v in staged], np.int32)
        x = np.concatenate([codes, rng.permutation(codes), codes[:7]])
        assert not run(difference(table, x, x, x.shape), isa, 1).outputs["y0"].any()
        near = np.array([ROUNDINGS[second](v % 50, rest) for v in staged], np.int32)  # no line, but small
        for t, y in ((table, rng.permutation(x)), (near, rng.permutation(x)), (table, x[:1])):
            single = difference(t, x, y, x.shape)
            compare(single, isa, 0, run(single, isa, 2), run(single, "spec", 1))
