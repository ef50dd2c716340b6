# SPDX-License-Identifier: Apache-2.0
"""Every step kind: the definition, the reference kernels and every ISA give the same bits, accumulators included."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import INCLUDED
from q8emu import _core
from q8emu.errors import Q8Error
from q8emu.run import WITH_ACCUMULATORS, Runner
from q8emu.steps import SPECS
from q8emu.trace import Trace
from strategies_more_steps import MAKERS
from strategies_steps import Dict, Maker, Params, Single, bit, bits

EXAMPLES = 60
SIMD = ("conv2d", "depthwise_conv2d", "matmul", "add_fma", "add_rescaled", "average_pool", "average_pool_raw")
"""Step kinds with kernels of their own per ISA: these get more examples."""


def test_every_kind_is_tested() -> None:
    assert set(MAKERS) == set(SPECS)


def run(single: Single, kernels: str, threads: int) -> Trace:
    """One run, with accumulators."""
    return Runner(single.program, kernels=kernels, threads=threads, accumulators=True).run(single.feeds)


def compare(single: Single, kernels: str, seed: int, found: Trace, expected: Trace) -> None:
    """Bits of outputs and accumulators."""
    step = single.program.steps[0]
    what = f"{step.kind} by {kernels}, seed {seed}, params {dict(step.params)}, buffers {single.program.buffers}"
    for name, array in expected.outputs.items():
        _equal(what, name, found.outputs[name], array)
    for name, array in expected.accumulators.items():
        _equal(what, f"accumulators of {name}", found.accumulators[name], array)
    assert list(found.accumulators) == list(expected.accumulators), what
    assert bool(expected.accumulators) == (step.kind in WITH_ACCUMULATORS), what


def _equal(what: str, name: str, found: np.ndarray, expected: np.ndarray) -> None:
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), f"{what}: {name}"
    width = f"u{found.dtype.itemsize}"
    differs = np.ascontiguousarray(found).view(width) != np.ascontiguousarray(expected).view(width)
    if differs.any():
        at = tuple(int(i) for i in np.argwhere(differs)[0])
        count = int(differs.sum())
        raise AssertionError(
            f"{what}: {name} differs in {count} of {found.size}, first at {list(at)}: expected {expected[at]!r}, "
            f"found {found[at]!r}"
        )


@pytest.mark.parametrize("kind", MAKERS)
def test_every_isa_is_the_definition(kind: str, seed: int) -> None:
    """Random shapes around vector lengths, corner data, one to three threads."""
    for index in range(EXAMPLES * 3 if kind in SIMD else EXAMPLES):
        single = MAKERS[kind](seed + index)
        expected = run(single, "spec", 1)
        for isa in _core.isas():
            compare(single, isa, seed + index, run(single, isa, 1 + index % 3), expected)


@pytest.mark.parametrize("kind", SIMD)
def test_the_isa_that_is_asked_for_runs(kind: str, isa: str) -> None:
    """A kernel of another ISA would make the comparison above an empty one."""
    single = MAKERS[kind](1)
    (names,) = Runner(single.program, kernels=isa, threads=1).kernels
    family, _, found = names.split()[0].rpartition("_")
    assert found == next(name for name in INCLUDED[isa] if f"{family}_{name}" in _core.build_info()["kernels"])
    assert found != "reference" or isa in ("dotprod", "reference")


def test_the_peak_counts_what_it_did(isa: str) -> None:
    """The core compares the sum of all products with the number of them; a rate is all that is left."""
    assert _core.peak_gmacs(isa, seconds=0.01) > 0
    with pytest.raises(_core.Error, match="seconds must be in"):
        _core.peak_gmacs(isa, seconds=0.0)
    with pytest.raises(_core.Error, match="the ISA 'sse9'"):
        _core.peak_gmacs("sse9")


@pytest.mark.parametrize("depth", [66_311, 131_072])
def test_deep_sums_wrap(depth: int, isa: str) -> None:
    """255 * 127 more than 66,310 times is beyond int32: the accumulator wraps, it does not saturate."""
    m = Maker(depth)
    a, b = np.full((1, depth), 255, np.uint8), np.full((depth, 3), 127, np.int8)
    params: Params = {"a_zero_point": 0, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}
    arrays = {"b_zero_point": np.zeros(1, np.int32), "bias": np.array([[0, 7, -7]], np.int32)}
    single = m.single("matmul", [a, b], [("int32", (1, 3))], params, arrays, constant=(1,))
    wrapped = (255 * 127 * depth + 2**31) % 2**32 - 2**31
    found = run(single, isa, 1).outputs["y0"]
    assert found.tolist() == [[wrapped, wrapped + 7, wrapped - 7]]


def test_products_are_not_saturated_in_pairs(isa: str) -> None:
    """u8 * s8 + u8 * s8 at the extremes does not fit int16; a kernel on vpmaddubsw would be wrong here."""
    m = Maker(0)
    for value, weight in ((255, -128), (255, 127), (0, -128)):
        x, w = np.full((1, 1, 1, 64), value, np.uint8), np.full((16, 1, 1, 64), weight, np.int8)
        params: Params = {"x_zero_point": 0, "group": 1, "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
        arrays = {"w_zero_point": np.zeros(16, np.int32)}
        single = m.single("conv2d", [x, w], [("int32", (1, 1, 1, 16))], params, arrays, constant=(1,))
        assert (run(single, isa, 1).outputs["y0"] == 64 * value * weight).all()


TIES = {1: [-63, 1], 2: [-62, 1], 3: [-62, 0]}
"""What each rule makes of -1000 and 7 by 2^30 / 2^34: the values that tell the three apart."""


@pytest.mark.parametrize("rule", TIES)
def test_the_rule_that_is_asked_for_runs(rule: int, isa: str) -> None:
    """Per channel and for all, with the last channels under a rule of their own; in a product and in a sum of rows."""
    m = Maker(0)
    stage: Dict = {"requantize": rule, "y_zero_point": 0, "qmin": -128, "qmax": 127}
    columns = 2 * 19
    bias = np.array([[-1000, 7] * 19], np.int32)
    params: Dict = {"a_zero_point": 0, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}
    a, b = np.zeros((1, 1), np.int8), np.zeros((1, columns), np.int8)
    for length in (1, columns):
        by = {"multiplier": np.full(length, 2**30, np.int32), "shift": np.full(length, 34, np.int32)}
        arrays = {"b_zero_point": np.zeros(1, np.int32), "bias": bias, **by}
        for first in (columns, 0, 16, 18) if rule > 1 else (columns,):
            tail: Dict = {"double_rounding_from": first} if first < columns else {}
            single = m.single("matmul", [a, b], [("int8", (1, columns))], params | stage | tail, arrays, (1,))
            expected = (TIES[rule] * 19)[:first] + (TIES[1] * 19)[first:]
            for kernels in ("spec", isa):
                assert run(single, kernels, 1).outputs["y0"].reshape(-1).tolist() == expected
    x = np.array([[[-125, 7]] + [[-125, 0]] * 7], np.int8)
    one = {"multiplier": np.array([2**30], np.int32), "shift": np.array([34], np.int32)}
    single = m.single("mean", [x], [("int8", (1, 2))], stage | {"x_zero_point": 0}, one)
    for kernels in ("spec", isa):
        assert run(single, kernels, 1).outputs["y0"].reshape(-1).tolist() == TIES[rule]


@pytest.mark.parametrize(
    ("more", "expected"),
    [({}, [2, -2]), ({"x_zero_point": -2}, [2, -1]), ({"division": 1}, [1, -1]), ({"x_zero_point": 9}, [1, -2])],
)
def test_ties_of_the_raw_mean(more: Params, expected: list[int], isa: str) -> None:
    """Windows of 1 x 2 with the means 1.5 and -1.5: away from zero, or from the zero point; or toward zero."""
    x = np.array([[[[1], [2]], [[-1], [-2]]]], np.int8)
    params: Params = {"kernel": (1, 2), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    clamp: Params = {"qmin": -128, "qmax": 127}
    single = Maker(0).single("average_pool_raw", [x], [("int8", (1, 2, 1, 1))], {**params, **clamp, **more})
    for kernels in ("spec", isa):
        assert run(single, kernels, 1).outputs["y0"].reshape(-1).tolist() == expected


@pytest.mark.parametrize("first", [None, 0, 1, 16, 18, 19])
def test_channels_whose_zero_point_is_inside(first: int | None, isa: str) -> None:
    """A mean of 0.5 with the zero point 1: outside of the rounding it gives 0 + 1, inside 2."""
    x = np.ones((1, 2, 1, 19), np.int8)
    params: Dict = {"kernel": (1, 1), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0), "x_zero_point": 0}
    params |= {"factor_bits": bit(0.5), "rounding": 0}
    params |= {"y_zero_point": 1, "qmin": -128, "qmax": 127} | ({} if first is None else {"inside_from": first})
    single = Maker(0).single("average_pool_scaled", [x], [("int8", (1, 2, 1, 19))], params)
    outside = 19 if first is None else first
    for kernels in ("spec", isa):
        assert run(single, kernels, 1).outputs["y0"].tolist() == [[[[1] * outside + [2] * (19 - outside)]] * 2]


def test_results_do_not_depend_on_threads(isa: str, seed: int) -> None:
    """One to eight threads, more than there are rows."""
    for kind in ("conv2d", "depthwise_conv2d", "matmul", "average_pool", "softmax"):
        for index in range(5):
            single = MAKERS[kind](seed + index)
            expected = run(single, isa, 1)
            for threads in (2, 3, 5, 8):
                compare(single, f"{isa} on {threads} threads", seed + index, run(single, isa, threads), expected)


def test_a_runner_can_run_again(isa: str, seed: int) -> None:
    """Nothing is left over from one run for the next."""
    for kind in ("conv2d", "matmul", "dynamic_quantize"):
        single, other = MAKERS[kind](seed), MAKERS[kind](seed)
        changed = {name: array[..., ::-1].copy() for name, array in other.feeds.items()}
        runner = Runner(single.program, kernels=isa, threads=2)
        first = runner.run(single.feeds)
        runner.run(changed)
        again = runner.run(single.feeds)
        assert all(first.outputs[n].tobytes() == again.outputs[n].tobytes() for n in first.outputs)


def test_the_core_refuses_what_the_contract_does_not_allow(isa: str) -> None:
    """Sizes of zero, lengths that do not fit, buffers beyond the limit: a sentence, not a crash."""
    m = Maker(0)
    good: Dict = {"x_zero_point": 0, "group": 1, "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    x, w = np.zeros((1, 4, 4, 4), np.uint8), np.zeros((8, 3, 3, 4), np.int8)
    arrays = {"w_zero_point": np.zeros(8, np.int32), "scale_bits": bits(np.ones(8)), "bias": np.zeros(8, np.int32)}
    stage: Dict = {"y_zero_point": 0, "qmin": 0, "qmax": 255}
    shape = (1, 2, 2, 8)
    run(m.single("conv2d", [x, w], [("uint8", shape)], good | stage, arrays, (1,)), isa, 1)
    bad = [
        (good | stage | {"strides": (0, 1)}, arrays, shape),
        (good | stage | {"group": 3}, arrays, shape),
        (good | stage | {"group": 0}, arrays, shape),
        (good | stage | {"pads": (-1, 0, 0, 0)}, arrays, shape),
        (good | stage | {"dilations": (2**40, 1)}, arrays, shape),
        (good | stage | {"qmin": -5}, arrays, shape),
        (good | stage | {"qmin": 9, "qmax": 3}, arrays, shape),
        (good | stage | {"y_zero_point": 256}, arrays, shape),
        (good | stage | {"more": 1}, arrays, shape),
        (good, arrays, shape),
        (good | stage, arrays | {"bias": np.zeros(7, np.int32)}, shape),
        (good | stage, arrays | {"bias": np.zeros(8, np.int64)}, shape),
        (good | stage, {k: v for k, v in arrays.items() if k != "scale_bits"}, shape),
        (good | stage, arrays | {"scale_bits": bits(np.zeros(8))}, shape),
        (good | stage, arrays | {"scale_bits": bits(np.full(8, np.nan))}, shape),
        (good | stage, arrays, (1, 3, 2, 8)),
        (good | stage, arrays, (1, 2, 2, 7)),
        (good | stage, arrays, (1, 0, 2, 8)),
    ]
    for params, given, out in bad:
        with pytest.raises(Q8Error, match=r"conv2d|buffer"):
            run(m.single("conv2d", [x, w], [("uint8", out)], params, given, (1,)), isa, 1)
