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
from q8emu.errors import BackendUnavailable, BadQuantization, UnsupportedOperator
from q8emu.inputs import random_inputs
from q8emu.lower import lower
from q8emu.numerics import PROFILES, profile
from q8emu.readers import tflite_schema as schema
from q8emu.readers.tflite import read_tflite
from q8emu.report import Report
from q8emu.run import Runner
from q8emu.trace import Trace
from q8emu.verify import verify
from tflite_cases import CASES, UINT8, Case, Draw, case
from tflite_files import Options as FileOptions

EXAMPLES = int(os.environ.get("Q8EMU_FUZZ_EXAMPLES", "20"))
IMAGES = int(os.environ.get("Q8EMU_IMAGES", "50"))
RANDOM = int(os.environ.get("Q8EMU_RANDOM", "20"))
SPEC_EXAMPLES = 5  # the Python definition is slow: it takes part in the first files of each operator

ORACLES = [name for name, oracle in BACKENDS.items() if oracle.format == "TFLite"]
NAMES = [n for n, record in PROFILES.items() if record.oracle in ORACLES]
MODELS = {
    "image": "ic/pretrainedResnet_quant.tflite",
    "keyword": "kws/kws_ref_model.tflite",
    "person": "vww/vww_96_int8.tflite",
    "anomaly": "ad/ad01_int8.tflite",
    "wake word": "sww/str_ww_ref_model.tflite",
}
# Operators whose arithmetic a profile does not reproduce: lowering refuses them by name.
REFUSED: dict[str, set[str]] = {"tflite": set(), "tflite-ref": set(), "tflm": set(), "xnnpack": set()}
# CIFAR-10 test images that the image model gets right.
CORRECT = {"tflite": 8702, "tflite-ref": 8707, "tflm": 8707, "xnnpack": 8697}

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


@pytest.mark.parametrize(
    ("numerics", "operator"),
    [
        (n, operator) for n in NAMES for operator in (*CASES, *(() if n == "tflm" else UINT8))
    ],  # TFLite Micro has no uint8
)
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


def directed(operator: str, ratio: float, options: FileOptions | None = None) -> Case:
    """One file of 256 values whose scales combine to a ratio."""
    d = Draw(np.random.default_rng(0))
    y_scale = float(np.float32(2.0**-4 / ratio))
    inputs = [d.input([256], 2.0**-4, 3)]
    if operator in ("ADD", "MUL"):
        inputs.append(d.input([256], y_scale if operator == "ADD" else 1.0, -5))
    for shift, name in enumerate(d.feeds):
        d.feeds[name] = np.roll(np.arange(-128, 128), 77 * shift).astype(np.int8)
    return d.case(operator, inputs, d.output([256], y_scale, 2), options)


LIMITS = [
    *(("ADD", 2.0**e, None) for e in (-10, 7)),
    *(("MUL", 2.0**e, None) for e in (-16, 1)),
    *(("LEAKY_RELU", 2.0**e, {schema.ALPHA: ("Float32", alpha)}) for e in (-8, 7) for alpha in (1.0, 0.5, -0.99)),
    *(("LEAKY_RELU", 1.0, {schema.ALPHA: ("Float32", alpha)}) for alpha in (2.0**-8, 128.0, -127.0, 0.3)),
    *(("QUANTIZE", 2.0**e, None) for e in (-8, 7)),
]


@pytest.mark.parametrize(("operator", "ratio", "options"), LIMITS)
def test_what_xnnpack_leaves_goes_by_the_built_in_kernels(
    operator: str, ratio: float, options: FileOptions | None, tmp_path: Path
) -> None:
    """At the scales where LiteRT changes from one to the other, and next to them on both sides."""
    for factor in (1 - 2.0**-20, 1.0, 1 + 2.0**-20, 1.37, 1 / 1.37):
        one = directed(operator, ratio * factor, options)
        expected = oracle_trace("litert-xnnpack", one, tmp_path).outputs["y"]
        found = Runner(lower(read_tflite(one.model), profile("xnnpack"))).run(one.feeds).outputs["y"]
        assert np.array_equal(found, expected), factor


@pytest.mark.parametrize("operator", ["ADD", "MUL"])
def test_results_beyond_int16_are_refused_where_lanes_differ(operator: str) -> None:
    graph = read_tflite(directed(operator, 2.0**9).model)
    lower(graph, profile("tflite-ref"))
    for numerics in ("tflite", "xnnpack"):
        with pytest.raises(UnsupportedOperator, match="within int16"):
            lower(graph, profile(numerics))


def test_sums_that_xnnpack_can_take_out_of_int32_are_refused(rng: np.random.Generator) -> None:
    d = Draw(rng)
    w = d.file.tensor("w", "int8", (1, 1), [1.0], [0], 0, np.ones((1, 1), np.int8))
    bias = d.file.tensor("bias", "int32", (1,), [1.0], [0], 0, np.array([2**29], np.int32))
    one = d.case("FULLY_CONNECTED", [d.input((1, 1), 1.0, 0), w, bias], d.output((1, 1), 2.0**-2, 0))
    lower(read_tflite(one.model), profile("tflite"))
    with pytest.raises(UnsupportedOperator, match=r"'xnnpack' requantizes within int32 before the clamp; the sum of"):
        lower(read_tflite(one.model), profile("xnnpack"))


def test_a_product_too_large_for_xnnpack_is_refused(rng: np.random.Generator, tmp_path: Path) -> None:
    """LiteRT does not open the model; under other kernels it runs."""
    d = Draw(rng)
    x = d.input((1, 1), 2.0**-4, 0)
    w = d.file.tensor("w", "int8", (1, 1), [1.0], [0], 0, np.ones((1, 1), np.int8))
    one = d.case("FULLY_CONNECTED", [x, w], d.output((1, 1), 2.0**-12, 0))
    with pytest.raises(BackendUnavailable, match="refuses the model"):
        oracle_trace("litert-xnnpack", one, tmp_path)
    lower(read_tflite(one.model), profile("tflite-ref"))
    with pytest.raises(BadQuantization, match=r"combine to 256; expected less than 256; LiteRT does not open"):
        lower(read_tflite(one.model), profile("xnnpack"))


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
