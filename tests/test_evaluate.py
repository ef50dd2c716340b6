# SPDX-License-Identifier: Apache-2.0
"""Right answers are counted, every runtime gives its own, and each mistake in front of a model is named."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from classifiers import made_images, matched_filter
from q8emu.datasets import cifar10
from q8emu.errors import BadInput
from q8emu.models import default_inputs, default_model
from q8emu.ptq.classifier import Classifier, ModelInput, open_classifier
from q8emu.ptq.diagnose import Diagnosis, diagnose
from q8emu.ptq.evaluate import Evaluation, evaluate
from q8emu.ptq.model_file import describe
from q8emu.ptq.quantizer import measure
from q8emu.ptq.statistics import best_matching, guessing_bound, log_sign_test, log_tail
from small_models import dynamic_product

Images = tuple[np.ndarray, np.ndarray]
Change = Callable[[np.ndarray], np.ndarray]
IMAGES = int(os.environ.get("Q8EMU_IMAGES", "50"))
MODELS = sorted((Path(__file__).parent.parent / "golden" / "models").glob("resnet8_*.onnx"))
MLPERF = {
    ("pretrainedResnet", "litert"): 8719,
    ("pretrainedResnet_quant", "litert"): 8702,
    ("pretrainedResnet_quant", "litert-xnnpack"): 8697,
    ("pretrainedResnet_quant", "litert-ref"): 8707,
    ("pretrainedResnet_quant", "tflm"): 8707,
}
"""Right answers of 10,000 that MLPerf Tiny's ResNet8 gives under each runtime."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small quantized model that takes pixels 0..255."""
    return matched_filter(tmp_path_factory.mktemp("models") / "made.onnx")


def answers(*workers: Callable[[np.ndarray], Mapping[str, np.ndarray]], batch: int = 4) -> Classifier:
    """A classifier of float32[N, 10] that needs no runtime."""
    taken = ModelInput("x", "float32", (10,))
    return Classifier(default_model(), "ONNX", "ort", None, "none", taken, batch, 1, workers)


# Counting


def test_counts_by_class_and_of_equal_scores_the_first() -> None:
    scores = np.zeros((5, 10), np.float32)
    scores[0, 3], scores[1, 3], scores[1, 5], scores[2, 5], scores[3, 9] = 1, 1, 1, 1, 1
    labels = np.array([3, 5, 5, 9, 0])  # the fifth image has ten equal scores: class 0
    found = evaluate(answers(lambda x: {"y": x}), scores, labels, prepare=np.asarray)
    assert found.predictions.tolist() == [3, 3, 5, 9, 0]
    assert (found.correct, found.samples, found.ties) == (4, 5, 2)
    assert found.confusion[5].tolist() == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]
    told = found.to_json()
    assert told["schema"] == "q8emu.evaluate/1"
    assert told["classes"][5] == {"name": "dog", "total": 2, "correct": 1, "accuracy": 0.5}
    assert told["classes"][1]["accuracy"] is None
    assert told["model"]["sha256"] == describe(default_model()).sha256


def test_every_run_is_full_and_the_order_is_kept() -> None:
    sizes: list[int] = []

    def execute(inputs: np.ndarray) -> Mapping[str, np.ndarray]:
        sizes.append(len(inputs))
        return {"y": inputs}

    inputs = np.random.default_rng(0).normal(size=(27, 10)).astype(np.float32)
    told: list[tuple[int, int, str]] = []
    for workers in (1, 2, 3, 9):
        found = answers(*[execute] * workers).run(inputs, lambda *state: told.append(state))
        assert np.array_equal(found, inputs)
    assert set(sizes) == {4}
    assert told[1] == (4, 27, "evaluating")


def test_a_problem_in_a_worker_is_not_lost() -> None:
    def fail(_: np.ndarray) -> Mapping[str, np.ndarray]:
        raise BadInput("broken")

    with pytest.raises(BadInput, match="broken"):
        answers(fail, fail).run(np.zeros((9, 10), np.float32))


@pytest.mark.parametrize(
    ("outputs", "sentence"),
    [
        ({"y": np.full((4, 10), np.nan, np.float32)}, "NaN"),
        ({"y": np.zeros((4, 2, 5))}, r"one output \[N, classes\]"),
        ({"y": np.zeros((4, 10)), "z": np.zeros((4, 3))}, r"'z' float64\[4, 3\]"),
    ],
)
def test_outputs_that_are_no_scores(outputs: Mapping[str, np.ndarray], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        answers(lambda _: outputs).run(np.zeros((4, 10), np.float32))


def test_wrong_data_gets_a_sentence(made: Path, tmp_path: Path) -> None:
    opened = open_classifier(made)
    with pytest.raises(BadInput, match="casts nothing"):
        opened.run(np.zeros((1, 3, 32, 32)))
    images, labels = made_images(3)
    with pytest.raises(BadInput, match="2 labels for 3 images"):
        evaluate(opened, images, labels[:2])
    with pytest.raises(BadInput, match="from 0 to 10; the model has 10 classes"):
        evaluate(opened, images, np.array([0, 1, 10]))
    with pytest.raises(BadInput, match="float32\\[N, 16\\]; CIFAR-10"):
        open_classifier(dynamic_product(tmp_path / "d.onnx")).scores(images)
    for arguments, sentence in (
        ({"backend": "litert"}, "one of ONNX, which these backends run: ort"),
        ({"backend": "ort", "numerics": "tflite"}, "arithmetic of its own"),
        ({"threads": -1}, "0 or more"),
    ):
        with pytest.raises(BadInput, match=sentence):
            open_classifier(made, **arguments)
    with pytest.raises(BadInput, match="no model file"):
        open_classifier(tmp_path / "absent.onnx")


# Runtimes


@pytest.mark.parametrize("backend", ["ort", "ort-default", "ort-unfused", "q8emu"])
def test_every_backend_of_onnx_opens_the_packaged_model(backend: str) -> None:
    """The outputs are those of a session that is opened here, or near them where the sums are in float."""
    import onnxruntime

    inputs = default_inputs()["image"]
    found = open_classifier(default_model(), backend, batch=3).run(inputs)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(str(default_model()), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run(None, {"image": inputs})
    assert found.shape == expected.shape == (8, 10)
    if backend in ("ort", "q8emu"):
        assert found.tobytes() == expected.tobytes()
    assert np.abs(found - expected).max() < 0.1


def test_defaults_follow_from_the_file(made: Path) -> None:
    assert (open_classifier(made).backend, open_classifier(made).numerics) == ("ort", None)
    named = open_classifier(made, numerics="ort")
    assert (named.backend, named.numerics) == ("q8emu", "ort")


def test_without_taps_a_session_runs_once(made: Path) -> None:
    """What a tapped session gives for the same inputs, and only the outputs."""
    from q8emu.backends import BACKENDS

    images, _ = made_images(5)
    inputs = {"x": images.astype(np.float32)}
    plain, tapped = (BACKENDS["ort"].open(made, taps).run(inputs) for taps in ((), ("x_q",)))
    assert not plain.tensors
    assert plain.outputs["y"].tobytes() == tapped.outputs["y"].tobytes()


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.stem)
def test_the_emulator_predicts_as_onnx_runtime_image_by_image(model: Path, cifar10_test: Images) -> None:
    images, labels = (array[:IMAGES] for array in cifar10_test)
    scores = [open_classifier(model, backend).scores(images) for backend in ("ort", "q8emu")]
    assert scores[0].tobytes() == scores[1].tobytes()
    print(f"{model.stem}: {int((scores[0].argmax(1) == labels).sum()):,} of {len(labels):,}")


@pytest.mark.parametrize(("name", "backend"), MLPERF, ids="/".join)
def test_mlperf_tiny_models_get_their_known_accuracy(
    name: str, backend: str, data_dir: Path, cifar10_test: Images, package: Callable[..., object]
) -> None:
    """All 10,000 with Q8EMU_IMAGES=10000; with any number, the emulator under the runtime's profile gives the same."""
    package("tflite_micro" if backend == "tflm" else "ai_edge_litert", "tflm" if backend == "tflm" else "litert")
    model = data_dir / "mlperf_tiny" / "ic" / f"{name}.tflite"
    if not model.is_file():
        pytest.skip(f"needs mlperf_tiny/ic/{name}.tflite below Q8EMU_DATA")
    images, labels = (array[:IMAGES] for array in cifar10_test)
    found = evaluate(open_classifier(model, backend), images, labels)
    assert found.model.dtype == ("int8" if "quant" in name else "float32")
    if len(labels) == 10_000:
        assert found.correct == MLPERF[name, backend]
    if "quant" in name:
        profile = {"litert": "tflite", "litert-xnnpack": "xnnpack", "litert-ref": "tflite-ref", "tflm": "tflm"}[backend]
        own = evaluate(open_classifier(model, numerics=profile), images, labels)
        assert np.array_equal(found.predictions, own.predictions)
        assert found.ties == own.ties


# Mistakes


def nchw_holds_nhwc(x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).reshape(x.shape)


MISTAKES: dict[str, tuple[Change, Change]] = {
    "range": (lambda x: x / np.float32(255), np.asarray),
    "range ": (lambda x: x / np.float32(127.5) - np.float32(1), np.asarray),
    "layout": (nchw_holds_nhwc, np.asarray),
    "channels": (lambda x: np.ascontiguousarray(x[:, ::-1]), np.asarray),
    "axes": (lambda x: np.ascontiguousarray(x.swapaxes(2, 3)), np.asarray),
    "range+layout": (lambda x: nchw_holds_nhwc(x / np.float32(255)), np.asarray),
    "classes": (np.asarray, lambda y: np.array([7, 9, 2, 4, 0, 5, 1, 3, 8, 6])[y]),
    "label rows": (np.asarray, lambda y: np.roll(y, 1)),
    "shuffled labels": (np.asarray, lambda y: np.random.default_rng(5).permutation(y)),
}


def look(model: Path, images: np.ndarray, labels: np.ndarray, change: Change = np.asarray) -> Diagnosis:
    """Evaluate data of the user's own, and diagnose."""
    opened = open_classifier(model, "q8emu")
    inputs = change(opened.as_input(images))
    found = evaluate(opened, inputs, labels, prepare=np.asarray)
    return diagnose(opened, found, inputs, np.asarray, own_data=True)


@pytest.mark.parametrize("mistake", MISTAKES)
@pytest.mark.parametrize("real", [False, True], ids=["made", "resnet8"])
def test_each_mistake_is_named(mistake: str, real: bool, made: Path, request: pytest.FixtureRequest) -> None:
    """By the best change that undoes it; at chance level, that is said too."""
    count = 600 if mistake == "channels" else 300
    images, labels = request.getfixturevalue("cifar10_test") if real else made_images(count)
    images, labels = images[:count], labels[:count].astype(np.int64)
    change, relabel = MISTAKES[mistake]
    found = look(default_model() if real else made, images, relabel(labels), change)
    named = [finding.name for finding in found.findings]
    assert mistake.strip() in named, found.findings
    assert set(named) <= {mistake.strip(), "chance", "clipping", "few codes"}
    if mistake.startswith("range"):
        assert "few codes" in named
    assert ("clipping" in named) == (mistake == "range ")


@pytest.mark.parametrize("real", [False, True], ids=["made", "resnet8"])
def test_nothing_is_named_on_right_data(real: bool, made: Path, request: pytest.FixtureRequest) -> None:
    images, labels = request.getfixturevalue("cifar10_test") if real else made_images(300)
    found = look(default_model() if real else made, images[:300], labels[:300])
    assert found.findings == ()
    assert found.quantizer is not None
    assert (found.quantizer.clipped, found.quantizer.inside) == (0, True)


def test_a_model_calibrated_for_unit_pixels(tmp_path: Path) -> None:
    """It gets 0..255: clipping, chance level, and the range that it takes; divided by 255, nothing."""
    model = matched_filter(tmp_path / "unit.onnx", 1.0)
    images, labels = made_images(300)
    named = {finding.name: finding.sentence for finding in look(model, images, labels).findings}
    assert set(named) == {"clipping", "few codes", "chance", "range"}
    assert "represents 0 to 1, the data go from" in named["clipping"]
    assert "100.0 % of the values clip" in named["clipping"]
    assert "the pixels are 0..255 and the model takes 0..1" in named["range"]
    assert not look(model, images, labels, lambda x: x / np.float32(255)).findings


def test_bytes_read_as_signed_are_named(data_dir: Path, cifar10_test: Images) -> None:
    model = data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet_quant.tflite"
    if not model.is_file():
        pytest.skip("needs mlperf_tiny/ic/pretrainedResnet_quant.tflite below Q8EMU_DATA")
    images, labels = (array[:200] for array in cifar10_test)
    found = look(model, images, labels, lambda x: (x.view(np.uint8) ^ np.uint8(128)).view(np.int8))
    assert "sign" in [finding.name for finding in found.findings]
    assert found.quantizer is not None
    assert not found.quantizer.inside
    assert "none in the model" in str(found.quantizer)


def test_changes_are_tried_on_cifar10_at_chance_level_only(made: Path) -> None:
    images, labels = made_images(300)
    opened = open_classifier(made, "q8emu")

    def prepare(part: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(opened.as_input(part)[:, ::-1])

    found = evaluate(opened, images, labels, prepare=prepare)
    assert [f.name for f in diagnose(opened, found, images, prepare).findings] == ["chance", "channels"]
    right = evaluate(opened, images, labels)
    assert not diagnose(opened, right, images).findings


def test_the_first_quantizer_is_counted(made: Path) -> None:
    """q = rint(x / 1) + 0, by hand."""
    part = np.array([-1.0, -0.4, 0.0, 254.6, 255.4, 256.0, 300.0], np.float32)
    found = measure(made, [part, part])
    assert found is not None
    assert (found.values, found.clipped, found.used, found.possible) == (14, 6, 2, 7)
    assert (found.low, found.high, found.data_low, found.data_high) == (0.0, 255.0, -1.0, 300.0)
    assert found.is_too_wide
    assert not found.is_too_narrow


# Statistics


def test_tails_are_those_of_the_binomial() -> None:
    from math import comb

    for n, k, p in ((10, 3, 0.1), (50, 26, 0.5), (7, 7, 0.3), (5, 0, 0.2)):
        exact = sum(comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k, n + 1))
        assert np.isclose(np.exp(log_tail(n, k, p)), exact)
    assert log_tail(3, 4, 0.5) == -np.inf
    bound = guessing_bound(1000, 0.1, 1e-3)
    assert np.exp(log_tail(1000, bound + 1, 0.1)) < 1e-3 <= np.exp(log_tail(1000, bound, 0.1))
    assert np.isclose(np.exp(log_sign_test(20, 0)), 2.0**-20)
    assert log_sign_test(0, 0) == 0.0


def test_the_best_matching_is_the_best_of_all(rng: np.random.Generator) -> None:
    from itertools import permutations

    for n in (1, 2, 3, 5, 6):
        gain = rng.integers(0, 6, (n, n))
        found = best_matching(gain)
        assert sorted(found) == list(range(n))
        best = max(sum(gain[i, p[i]] for i in range(n)) for p in permutations(range(n)))
        assert sum(gain[i, j] for i, j in enumerate(found)) == best


def test_random_predictions_name_no_order_of_classes(rng: np.random.Generator) -> None:
    """The best of all orders always looks better than the given one; that price is paid."""
    from q8emu.ptq.diagnose import _order

    for _ in range(20):
        labels, predictions = rng.integers(0, 10, (2, 60))
        made_up = Evaluation(
            describe(default_model()), default_model(), {}, cifar10.CLASSES, labels, predictions, 0, 1.0
        )
        assert _order(made_up) == list(range(10))
