# SPDX-License-Identifier: Apache-2.0
"""Sums and products of two vectors to the last bit: tables that are lines, broadcast operands, every remainder."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from q8emu.numerics.rounding import ROUNDINGS
from strategies_steps import Dict, Maker, Single, bit
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


CODES = np.arange(256, dtype=np.uint8)
DTYPES = list(product(("uint8", "int8"), repeat=3))


def binary(kind: str, dtypes: tuple[str, str, str], params: Dict, rng: np.random.Generator) -> Single:
    """Every pair of codes once."""
    a, b = np.repeat(CODES, 256), np.tile(CODES, 256)
    m = Maker(int(rng.integers(2**31)))
    points: Dict = {f"{side}_zero_point": m.point(dtype) for side, dtype in zip("aby", dtypes, strict=True)}
    operands = [a.view(dtypes[0]), b.view(dtypes[1])]
    return m.single(kind, operands, [(dtypes[2], a.shape)], params | points | m.clamp(dtypes[2]))


@pytest.mark.parametrize("dtypes", DTYPES)
@pytest.mark.parametrize("ratio", [2.0**-8, 1 / 3, 2.0**20, 3e38])
def test_products_of_every_pair(ratio: float, dtypes: tuple[str, str, str], isa: str, rng: np.random.Generator) -> None:
    """Ties, and values beyond int32 and beyond float32, plain and fused."""
    for fused in (0, 1):
        params: Dict = {"ratio_bits": bit(ratio), **({"fused": 1} if fused else {})}
        single = binary("mul_ratio", dtypes, params, rng)
        compare(single, isa, 0, run(single, isa, 1), run(single, "reference", 1))


@pytest.mark.parametrize("dtypes", DTYPES)
@pytest.mark.parametrize("rounding", [0, 2, 4, 5])
def test_float_operations_on_every_pair(
    rounding: int, dtypes: tuple[str, str, str], isa: str, rng: np.random.Generator
) -> None:
    """Ties; infinities whose difference is no number."""
    for operator in (0, 1, 2):
        for scales in ((0.5, 0.25, 1.0), (0.1, 0.3, 0.7), (3e38, 3e38, 1.0), (1e-3, 1e38, 1e-38)):
            bits = {f"{side}_scale_bits": bit(scale) for side, scale in zip("aby", scales, strict=True)}
            params: Dict = {"operator": operator, "rounding": rounding, **bits}
            single = binary("float_binary", dtypes, params, rng)
            compare(single, isa, 0, run(single, isa, 1), run(single, "reference", 1))


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65])
def test_rows_of_every_remainder(count: int, isa: str, rng: np.random.Generator) -> None:
    """Neither operand, one or the other repeats one element along the row."""
    scales = {f"{side}_scale_bits": bit(scale) for side, scale in zip("aby", (0.3, 0.2, 0.5), strict=True)}
    kinds: list[tuple[str, Dict]] = [
        ("mul_ratio", {"ratio_bits": bit(0.01)}),
        ("float_binary", {"operator": 0, **scales}),
    ]
    for (kind, params), shapes in product(
        kinds, (((3, count), (3, count)), ((3, 1), (3, count)), ((3, count), (3, 1)))
    ):
        m = Maker(count)
        points: Dict = {f"{side}_zero_point": int(rng.integers(-128, 128)) for side in "aby"}
        operands = [rng.integers(-128, 128, shape).astype(np.int8) for shape in shapes]
        single = m.single(kind, operands, [("int8", (3, count))], params | points | {"qmin": -128, "qmax": 127})
        compare(single, isa, 0, run(single, isa, 1), run(single, "spec", 1))
