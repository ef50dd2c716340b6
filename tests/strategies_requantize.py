# SPDX-License-Identifier: Apache-2.0
"""Accumulators with ties and extremes, and the staged requantization of them by the kernel of an ISA. No tests here."""

from __future__ import annotations

import numpy as np

from q8emu.numerics import multiplier
from q8emu.numerics.multiplier import Rule
from q8emu.numerics.rounding import ROUNDINGS
from q8emu.run import Runner
from strategies_steps import Dict, Maker

NAMES = list(ROUNDINGS)
EXTREMES = (-(2**31), -(2**31) + 1, -(2**30), -1, 0, 1, 2**30 - 1, 2**30, 2**31 - 1)


def accumulators(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """int32 of every magnitude; small multiples of powers of two, which are ties of shifts; both ends."""
    shape = rows, columns
    acc = rng.integers(-(2**31), 2**31, shape) >> rng.integers(0, 31, shape)
    ties = rng.integers(-300, 300, shape) << rng.integers(0, 20, shape)
    acc = np.where(rng.random(shape) < 0.4, ties, acc)
    return np.where(rng.random(shape) < 0.1, rng.choice(EXTREMES, shape), acc).astype(np.int32)


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
