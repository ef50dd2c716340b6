# SPDX-License-Identifier: Apache-2.0
"""TOSA profiles held to Arm's reference model: RESCALE itself, random single operators, whole models; bit for bit.

The normal run takes 2 * 10^5 requantizations per profile and 20 files per operator; Q8EMU_FUZZ_EXAMPLES=N takes 10^4 N
requantizations and gives each operator N files.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from q8emu import _core
from q8emu.backends import BACKENDS
from q8emu.backends.tosa import TosaModel
from q8emu.backends.tosa_graph import TosaGraph
from q8emu.emulator import Emulator, Options
from q8emu.errors import BackendUnavailable, UnsupportedOperator
from q8emu.graph import Graph
from q8emu.inputs import random_inputs
from q8emu.lower import lower
from q8emu.numerics import PROFILES, profile
from q8emu.readers.tflite import read_tflite
from q8emu.result import OracleResult
from q8emu.run import Runner
from q8emu.verify import verify
from tflite_cases import CASES, case
from tflite_draw import Draw

EXAMPLES = int(os.environ.get("Q8EMU_FUZZ_EXAMPLES", "20"))
SPEC_EXAMPLES = 5  # the Python definition is slow: it takes part in the first files of each operator

NAMES = [name for name, record in PROFILES.items() if isinstance(BACKENDS.get(record.oracle), TosaModel)]
# Operators that MLIR lowers to tables of its own: lowering refuses them by name.
REFUSED = {"HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "TANH"}
# Operators that only move values, and that the oracle has no form for.
MOVED = {
    "PADV2": "other padding",
    "RESIZE_NEAREST_NEIGHBOR": "no form for Resize",
    "STRIDED_SLICE": "no form for Slice",
}

Import = Callable[..., ModuleType]


@pytest.fixture(autouse=True)
def _tosa(package: Import) -> None:
    """Every test here needs tosa-tools."""
    package("tosa_reference_model", command="pip install --no-deps tosa-tools")


def oracle(name: str) -> TosaModel:
    """The oracle of a profile."""
    found = BACKENDS[profile(name).oracle]
    assert isinstance(found, TosaModel)
    return found


def rescaled(rounding: str, values: np.ndarray, multiplier: int, shift: int) -> np.ndarray:
    """RESCALE of int32 to int32 in the reference model."""
    import tosa_reference_model

    graph = TosaGraph(Graph((), (), (), {}, {}), rounding)
    x: Any = graph._builder.addPlaceholder([len(values)], graph.dtype("int32"))
    arrays = (
        np.array([multiplier], np.int32),
        np.array([shift], np.int8),
        np.zeros(1, np.int32),
        np.zeros(1, np.int32),
    )
    inputs = (x, *(graph.constant(array) for array in arrays))
    flags = (True, graph._rounding, False, False, False)
    graph.tensors["y"] = graph.op("RESCALE", inputs, [len(values)], "int32", "Rescale", *flags)
    (found,), status = tosa_reference_model.run(graph.finish(["y"]), [values])
    assert status == tosa_reference_model.GraphStatus.TOSA_VALID
    result: np.ndarray = found.view(np.int32)
    return result


def near_ties(rng: np.random.Generator, multiplier: int, shift: int, count: int) -> np.ndarray:
    """Accumulators within RESCALE's range: random ones, the ends, and neighbours of ties."""
    bound = min(2 ** (shift - 1), 2**31)
    halves = rng.integers(-300, 300, count) * 2 + 1
    ties = [(int(h) << (shift - 1)) // multiplier + d for h in halves for d in (-1, 0, 1)]
    chosen = [*ties, *rng.integers(-bound, bound, count).tolist(), -bound, bound - 1, 0, 1, -1]
    fitting = [v for v in chosen if -bound <= v < bound and abs(v * multiplier) >> shift < 2**31 - 1]
    return np.array(fitting, np.int32)


@pytest.mark.parametrize("numerics", NAMES)
def test_rescale_agrees(numerics: str, rng: np.random.Generator) -> None:
    """The definition in Python integers and RESCALE."""
    rescaling, done = profile(numerics).product, 0
    while done < EXAMPLES * 10_000:
        multiplier = int(rng.choice([2**30, 3 * 2**29, 2**30 + 1, 2**31 - 1, *rng.integers(2**30, 2**31, 8)]))
        shift = int(rng.integers(2, 63))
        values = near_ties(rng, multiplier, shift, 1000)
        found = rescaled(oracle(numerics).rounding, values, multiplier, shift)
        expected = [rescaling.apply(multiplier, shift, v) for v in values.tolist()]
        assert found.tolist() == expected, f"multiplier {multiplier}, shift {shift}"
        done += len(values)


@pytest.mark.parametrize("operator", CASES)
@pytest.mark.parametrize("numerics", NAMES)
def test_single_operators_agree(numerics: str, operator: str, seed: int) -> None:
    """The definition, the reference kernels, every ISA and the reference model; the case is repeated from its seed."""
    record = profile(numerics)
    for number in range(EXAMPLES):
        one = case(operator, np.random.default_rng([seed, number]))
        graph = read_tflite(one.model)
        if operator in REFUSED:
            with pytest.raises(UnsupportedOperator, match=numerics):
                lower(graph, record)
            continue
        if operator in MOVED:
            with pytest.raises(BackendUnavailable, match=MOVED[operator]):
                oracle(numerics).open_graph(graph, ["y"])
            continue
        expected = oracle(numerics).open_graph(graph, ["y"]).run(one.feeds).outputs["y"]
        program = lower(graph, record)
        for kernels in [*_core.isas(), *(["spec"] if number < SPEC_EXAMPLES else [])]:
            found = Runner(program, kernels=kernels, threads=1 + number % 3).run(one.feeds).outputs["y"]
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            wrong = np.argwhere(found.view(np.uint8) != expected.view(np.uint8))
            assert not len(wrong), (
                f"{operator}, seed {seed} number {number}, {kernels}: {len(wrong)} of {found.size} differ, first at "
                f"{wrong[0]}: expected {expected[tuple(wrong[0])]}, got {found[tuple(wrong[0])]}"
            )


@pytest.mark.parametrize("numerics", NAMES)
def test_the_packaged_model_agrees(numerics: str) -> None:
    """Every tensor on the packaged images."""
    report = verify(numerics=numerics, against=[profile(numerics).oracle])
    (found,) = report.oracles
    assert found.verdict == "exact", found.sentence
    assert all(row.elements > 0 and row.differing == 0 for row in (*found.tensors, *found.outputs))
    assert report.exit_code == 0


@pytest.mark.parametrize("numerics", NAMES)
@pytest.mark.parametrize("name", ["ad/ad01_int8", "ic/pretrainedResnet_quant", "kws/kws_ref_model"])
def test_mlperf_models_agree_on_random_inputs(name: str, numerics: str, data_dir: Path) -> None:
    """Every tensor."""
    found = compared(data_dir / "mlperf_tiny" / f"{name}.tflite", numerics)
    assert found.verdict == "exact", found.sentence
    assert found.samples == 3


def test_what_tosa_leaves_open_gets_no_verdict(data_dir: Path) -> None:
    """Random inputs drive accumulators of the person detector beyond what its shift of 31 allows."""
    found = compared(data_dir / "mlperf_tiny" / "vww" / "vww_96_int8.tflite", "tosa-double")
    assert found.verdict == "no verdict"
    assert "calls the result TOSA_UNPREDICTABLE: TOSA promises nothing" in found.sentence


@pytest.mark.parametrize("numerics", NAMES)
def test_a_sum_whose_rescaling_can_leave_int32_is_refused(numerics: str, rng: np.random.Generator) -> None:
    """A bias of 2^29 times 4 does; times 2 it does not."""
    for ratio, refused in ((4.0, True), (2.0, False)):
        d = Draw(rng)
        w = d.file.tensor("w", "int8", (1, 1), [1.0], [0], 0, np.ones((1, 1), np.int8))
        bias = d.file.tensor("bias", "int32", (1,), [1.0], [0], 0, np.array([2**29], np.int32))
        one = d.case("FULLY_CONNECTED", [d.input((1, 1), 1.0, 0), w, bias], d.output((1, 1), 1 / ratio, 0))
        if not refused:
            lower(read_tflite(one.model), profile(numerics))
            continue
        with pytest.raises(UnsupportedOperator, match="within int32 before the clamp; the sum of channel 0 times its"):
            lower(read_tflite(one.model), profile(numerics))
        lower(read_tflite(one.model), profile("tflite-ref"))


def compared(model: Path, numerics: str) -> OracleResult:
    """A model on random inputs against the profile's oracle."""
    if not model.is_file():
        pytest.skip(f"needs the MLPerf Tiny models: Q8EMU_DATA has no mlperf_tiny/ with {model.name}")
    emulator = Emulator(model, Options(numerics))
    inputs = random_inputs(emulator.graph, emulator.specs, 3, 0)
    (found,) = verify(model, inputs, numerics=numerics, against=[profile(numerics).oracle]).oracles
    return found


def test_the_oracle_runs_no_file(tmp_path: Path) -> None:
    with pytest.raises(BackendUnavailable, match="runs graphs as q8emu reads them, not files"):
        BACKENDS["tosa-single"].open(tmp_path / "m.onnx", [])


def test_a_factor_that_rescale_has_not_is_no_verdict() -> None:
    graph = TosaGraph(Graph((), (), (), {}, {}), "SINGLE_ROUND")
    x: Any = graph._builder.addPlaceholder([1], graph.dtype("int32"))
    with pytest.raises(BackendUnavailable, match=r"no RESCALE by 1e\+10"):
        graph.rescale(x, [0.5, 1e10], 0, 0, ("int32", "int8"))
