# SPDX-License-Identifier: Apache-2.0
"""TFLite profiles held to LiteRT and TFLite Micro: random operators and the MLPerf Tiny models, all tensors, all bits.

The normal run takes 20 files per operator, 50 images and 20 random inputs per model; Q8EMU_FUZZ_EXAMPLES=N gives each
operator N files, Q8EMU_IMAGES=10000 takes the whole CIFAR-10 test set, Q8EMU_RANDOM=1000 more random inputs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from q8emu.backends import BACKENDS
from q8emu.emulator import Emulator, Options
from q8emu.errors import BackendUnavailable, UnsupportedOperator
from q8emu.inputs import random_inputs
from q8emu.lower import lower
from q8emu.numerics import PROFILES, profile
from q8emu.readers.tflite import read_tflite
from q8emu.report import Report
from q8emu.run import Runner
from q8emu.trace import Trace
from q8emu.verify import verify
from tflite_cases import CASES, Case, case

EXAMPLES = int(os.environ.get("Q8EMU_FUZZ_EXAMPLES", "20"))
IMAGES = int(os.environ.get("Q8EMU_IMAGES", "50"))
RANDOM = int(os.environ.get("Q8EMU_RANDOM", "20"))
SPEC_EXAMPLES = 5  # the Python definition is slow: it takes part in the first files of each operator

ORACLES = [name for name, oracle in BACKENDS.items() if oracle.format == "TFLite"]
NAMES = [name for name, record in PROFILES.items() if BACKENDS[record.oracle].format == "TFLite"]
MODELS = {
    "image": "ic/pretrainedResnet_quant.tflite",
    "keyword": "kws/kws_ref_model.tflite",
    "person": "vww/vww_96_int8.tflite",
    "anomaly": "ad/ad01_int8.tflite",
    "wake word": "sww/str_ww_ref_model.tflite",
}
# Operators whose arithmetic a profile does not reproduce: lowering refuses them by name.
REFUSED: dict[str, set[str]] = {"tflite": set(), "tflite-ref": set(), "tflm": set()}
CORRECT = {"tflite": 8702, "tflite-ref": 8707, "tflm": 8707}  # CIFAR-10 test images that the image model gets right

Import = Callable[[str, str], ModuleType]


@pytest.fixture(autouse=True)
def _runtime(request: pytest.FixtureRequest, package: Import) -> None:
    """Every test here needs the runtime of its oracle or profile, LiteRT where it names neither."""
    named = getattr(request.node, "callspec", None)
    names = [] if named is None else [v for k, v in named.params.items() if k in ("oracle", "numerics")]
    if "tflm" in names:
        package("tflite_micro", "tflm")
    package("ai_edge_litert.interpreter", "litert")


@pytest.fixture(scope="session")
def mlperf_dir(data_dir: Path) -> Path:
    """The folder with the MLPerf Tiny models; skips where it is absent."""
    folder = data_dir / "mlperf_tiny"
    if not folder.is_dir():
        pytest.skip("needs the MLPerf Tiny models: Q8EMU_DATA has no mlperf_tiny/")
    return folder


def oracle_trace(oracle: str, one: Case, folder: Path) -> Trace:
    """What LiteRT computes."""
    path = folder / "model.tflite"
    path.write_bytes(one.model)
    return BACKENDS[oracle].open(path, ["y"]).run(one.feeds)


@pytest.mark.parametrize("operator", CASES)
@pytest.mark.parametrize("numerics", NAMES)
def test_single_operators_agree(numerics: str, operator: str, seed: int, tmp_path: Path) -> None:
    """The definition, the reference kernels, every ISA and LiteRT; the case is repeated from its seed."""
    from q8emu import _core

    record = profile(numerics)
    for number in range(EXAMPLES):
        one = case(operator, np.random.default_rng([seed, number]))
        if operator in REFUSED[numerics]:
            with pytest.raises(UnsupportedOperator, match=numerics):
                lower(read_tflite(one.model), record)
            continue
        expected = oracle_trace(record.oracle, one, tmp_path).outputs["y"]
        program = lower(read_tflite(one.model), record)
        for kernels in [*_core.isas(), *(["spec"] if number < SPEC_EXAMPLES else [])]:
            found = Runner(program, kernels=kernels, threads=1 + number % 3).run(one.feeds).outputs["y"]
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            wrong = np.argwhere(found.view(np.uint8) != expected.view(np.uint8))
            assert not len(wrong), (
                f"{operator}, seed {seed} number {number}, {kernels}: {len(wrong)} of {found.size} differ, first at "
                f"{wrong[0]}: expected {expected[tuple(wrong[0])]}, got {found[tuple(wrong[0])]}"
            )


def assert_exact(report: Report) -> None:
    """Zero differing elements in every quantized tensor and every output."""
    (oracle,) = report.oracles
    assert oracle.verdict == "exact", oracle.sentence
    assert oracle.samples == report.samples
    assert all(row.elements > 0 and row.differing == 0 for row in (*oracle.tensors, *oracle.outputs))
    assert report.exit_code == 0


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("numerics", NAMES)
def test_mlperf_models_agree_on_random_inputs(numerics: str, name: str, mlperf_dir: Path) -> None:
    """Every tensor of every model."""
    model = mlperf_dir / MODELS[name]
    emulator = Emulator(model, Options(numerics))
    inputs = random_inputs(emulator.graph, emulator.specs, RANDOM, 0)
    assert_exact(verify(model, inputs, numerics=numerics, against=[profile(numerics).oracle]))


@pytest.mark.parametrize("numerics", NAMES)
def test_resnet8_agrees_on_images(numerics: str, mlperf_dir: Path, cifar10_test: tuple[np.ndarray, np.ndarray]) -> None:
    """Every tensor on CIFAR-10 images as int8, pixel - 128; with all of them, the known number of right answers."""
    images, labels = (array[:IMAGES] for array in cifar10_test)
    pixels = (images.transpose(0, 2, 3, 1) ^ np.uint8(128)).view(np.int8)
    model = mlperf_dir / MODELS["image"]
    assert_exact(verify(model, {"input_1_int8": pixels}, numerics=numerics, against=[profile(numerics).oracle]))
    emulator = Emulator(model, Options(numerics))
    outputs = [part.run().outputs["Identity_int8"] for part in emulator.batches({"input_1_int8": pixels})]
    right = int((np.concatenate(outputs).argmax(1) == labels).sum())
    assert len(cifar10_test[0]) > IMAGES or right == CORRECT[numerics]


# The oracle


@pytest.mark.parametrize("oracle", ORACLES)
def test_unknown_taps_are_left_out(oracle: str, tmp_path: Path, rng: np.random.Generator) -> None:
    one = case("ADD", rng)
    path = tmp_path / "m.tflite"
    path.write_bytes(one.model)
    session = BACKENDS[oracle].open(path, ["y", "nowhere"])
    trace = session.run(one.feeds)
    assert set(trace.tensors) == {"y"}
    assert trace.undisturbed is None
    assert trace.source == oracle
    assert trace.provenance["version"] == BACKENDS[oracle].version()
    assert np.array_equal(trace.tensors["y"], trace.outputs["y"])


def plain_litert(oracle: str, model: Path, feed: np.ndarray) -> np.ndarray:
    """The output of an interpreter that keeps nothing."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {"litert": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "litert-ref": "BUILTIN_REF", "litert-xnnpack": "AUTO"}
    plain = Interpreter(str(model), experimental_op_resolver_type=OpResolverType[resolver[oracle]])
    plain.allocate_tensors()
    plain.set_tensor(plain.get_input_details()[0]["index"], feed)
    plain.invoke()
    found: np.ndarray = plain.get_tensor(plain.get_output_details()[0]["index"])
    return found


def plain_tflm(oracle: str, model: Path, feed: np.ndarray) -> np.ndarray:
    """The output of an interpreter that keeps nothing."""
    from tflite_micro import runtime

    plain = runtime.Interpreter.from_file(str(model))
    plain.set_input(feed, 0)
    plain.invoke()
    found: np.ndarray = plain.get_output(0)
    return found


@pytest.mark.parametrize("oracle", ORACLES)
def test_the_outputs_are_those_of_an_interpreter_that_nobody_looks_into(oracle: str, mlperf_dir: Path) -> None:
    """Opened here, independently; the inner tensors are recorded beside them."""
    plain = plain_tflm if oracle == "tflm" else plain_litert
    model = mlperf_dir / MODELS["image"]
    emulator = Emulator(model, Options("tflite-ref"))
    taps = [tensor for tensor in emulator.program.quantized() if tensor not in emulator.program.inputs]
    session = BACKENDS[oracle].open(model, taps)
    for seed in range(3):
        inputs = random_inputs(emulator.graph, emulator.specs, 1, seed)
        trace = session.run(inputs)
        assert trace.undisturbed is None
        assert list(trace.tensors) == taps
        assert all(len(np.unique(trace.tensors[tensor])) > 2 for tensor in taps[:-1])
        expected = plain(oracle, model, inputs["input_1_int8"])
        assert np.array_equal(trace.outputs["Identity_int8"], expected)
        assert np.array_equal(trace.tensors["Identity_int8"], expected)


@pytest.mark.parametrize("oracle", ORACLES)
@pytest.mark.parametrize("content", [b"", b"\x08\x09not a model", b"\x1c\0\0\0TFL3" + b"\0" * 40])
def test_a_file_that_the_runtime_refuses_is_one_sentence(content: bytes, oracle: str, tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(content)
    with pytest.raises(BackendUnavailable, match=f"oracle '{oracle}'") as problem:
        BACKENDS[oracle].open(path, [])
    assert "\n" not in str(problem.value)


def test_an_onnx_oracle_gives_no_verdict_on_a_tflite_file(tmp_path: Path, rng: np.random.Generator) -> None:
    one = case("CONV_2D", rng)
    path = tmp_path / "m.tflite"
    path.write_bytes(one.model)
    report = verify(path, one.feeds, numerics="tflite-ref", against=["litert-ref", "ort"])
    assert [o.verdict for o in report.oracles] == ["exact", "no verdict"]
    assert report.oracles[1].sentence == "oracle 'ort' runs ONNX files; this is a TFLite file"
    assert report.exit_code == 2


def test_without_names_the_oracles_of_the_format_are_asked(tmp_path: Path, rng: np.random.Generator) -> None:
    one = case("CONV_2D", rng)
    path = tmp_path / "m.tflite"
    path.write_bytes(one.model)
    report = verify(path, one.feeds, numerics="tflite-ref")
    assert report.deciding == ("litert-ref",)
    assert sorted(o.oracle for o in report.oracles) == ORACLES
