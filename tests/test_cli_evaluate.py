# SPDX-License-Identifier: Apache-2.0
"""q8emu evaluate on the command line: what it prints, data of the user's own, exit codes and sentences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from classifiers import made_images, matched_filter
from command_line import Outcome
from q8emu.datasets import cifar10

COUNT = 200


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that takes pixels 0..255."""
    return matched_filter(tmp_path_factory.mktemp("models") / "made.onnx")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set in CIFAR-10's layout whose images are made ones."""
    return write_test_set(tmp_path_factory.mktemp("data"))


def write_test_set(folder: Path) -> Path:
    images, labels = made_images(10_000)
    rows = np.concatenate([labels.astype(np.uint8)[:, None], images.reshape(10_000, -1)], 1)
    rows.tofile(folder / "test_batch.bin")
    return folder


def own(folder: Path, inputs: np.ndarray, labels: np.ndarray) -> tuple[str, Path, str, Path]:
    """The options that name data of the user's own."""
    np.savez(folder / "inputs.npz", images=inputs)
    np.save(folder / "labels.npy", labels)
    return ("--inputs", folder / "inputs.npz", "--labels", folder / "labels.npy")


def test_counts_by_name(made: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(capsys, "evaluate", made, "--data", folder, "--limit", COUNT)
    assert outcome.code == 0, outcome.err
    assert "format ONNX; backend ort; images 200, CIFAR-10 test images, pixels 0..255" in outcome.err
    for name in cifar10.CLASSES:
        (row,) = [line.split() for line in outcome.out.splitlines() if line.startswith(name) and "." in line]
        assert row[1:] == [row[1], row[1], "100.00"]
    assert "accuracy: 200 of 200, 100.00 %" in outcome.out
    assert "ties: 0 images" in outcome.out
    assert "images/s" in outcome.out
    assert "first quantizer: 'x_q', uint8 of 0 to 255: clipped 0.00 %, " in outcome.out
    assert "warning" not in outcome.out


def test_json_has_everything(made: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Outcome(capsys, "evaluate", made, "--data", folder, "--limit", COUNT, "--numerics", "ort", "--json").json
    assert found["schema"] == "q8emu.evaluate/1"
    assert (found["settings"]["backend"], found["settings"]["numerics"]) == ("q8emu", "ort")
    assert (found["correct"], found["samples"], found["accuracy"]) == (COUNT, COUNT, 1.0)
    assert [c["name"] for c in found["classes"]] == list(cifar10.CLASSES)
    assert np.array(found["confusion"]).trace() == COUNT == len(found["predictions"])
    assert found["diagnosis"]["findings"] == []
    assert found["diagnosis"]["first_quantizer"]["clip_rate"] == 0
    assert found["seconds"] > 0


def test_own_data_with_a_mistake_is_named(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, labels = made_images(COUNT)
    inputs = images.astype(np.float32)
    assert Outcome(capsys, "evaluate", made, *own(tmp_path, inputs, labels)).code == 0
    outcome = Outcome(capsys, "evaluate", made, *own(tmp_path, inputs[:, ::-1], labels))
    assert outcome.code == 1
    assert "warning (channels): the data look as if the channels are in the order BGR" in outcome.out
    assert "warning (chance): " in outcome.out
    swapped = np.where(labels == 3, 5, np.where(labels == 5, 3, labels))
    found = Outcome(capsys, "evaluate", made, *own(tmp_path, inputs, swapped), "--json").json
    (finding,) = found["diagnosis"]["findings"]
    assert finding["name"] == "classes"
    assert "cat is predicted as dog, dog is predicted as cat; matched so, 200 of 200" in finding["sentence"]


def test_pixels_0_to_1_for_a_model_that_takes_them(
    made: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unit = matched_filter(tmp_path / "unit.onnx", 1.0)
    options = ("--data", folder, "--limit", COUNT, "--input-range", "0..1")
    assert Outcome(capsys, "evaluate", unit, *options).code == 0
    outcome = Outcome(capsys, "evaluate", made, *options)
    assert outcome.code == 1
    assert "warning (few codes)" in outcome.out
    assert "the pixels are 0..1 and the model takes 0..255" in outcome.out


def test_bad_input_is_one_sentence(
    made: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = made_images(4)
    inputs = images.astype(np.float32)

    def refused(*arguments: object) -> Outcome:
        return Outcome(capsys, "evaluate", made, *arguments)

    refused("--inputs", tmp_path / "x.npz").assert_sentence("--inputs and --labels belong together")
    refused("--data", folder, "--limit", 20_000).assert_sentence("there are 10,000 images")
    refused("--input-range", "0..2").assert_sentence("0..255 or 0..1")
    refused("--backend", "keras").assert_sentence("--backend keras", "ort-unfused", "q8emu")
    refused(*own(tmp_path, inputs.astype(np.float64), labels)).assert_sentence("float32", "float64", "casts nothing")
    refused(*own(tmp_path, inputs.transpose(0, 2, 3, 1), labels)).assert_sentence("float32[4, 32, 32, 3]")
    refused(*own(tmp_path, inputs, labels.astype(np.float32))).assert_sentence("expected integers [N]")
    refused(*own(tmp_path, inputs, np.eye(10, dtype=np.int64))).assert_sentence("int64[10, 10]")
    np.savez(tmp_path / "two.npz", a=inputs, b=inputs)
    refused("--inputs", tmp_path / "two.npz", "--labels", tmp_path / "labels.npy").assert_sentence("holds 2 arrays")
    (tmp_path / "labels.npy").write_bytes(b"\x93NUMPY not")
    np.savez(tmp_path / "inputs.npz", x=inputs)
    damaged = ("--inputs", tmp_path / "inputs.npz", "--labels", tmp_path / "labels.npy")
    refused(*damaged).assert_sentence("not a readable .npy")
    Outcome(capsys, "evaluate", tmp_path / "absent.onnx").assert_sentence("no model file")


def test_labels_may_be_an_npz_and_more_than_the_inputs_are_refused(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images, labels = made_images(4)
    np.savez(tmp_path / "inputs.npz", x=images.astype(np.float32))
    np.savez(tmp_path / "labels.npz", y=labels)
    options = ("--inputs", tmp_path / "inputs.npz", "--labels", tmp_path / "labels.npz")
    found = Outcome(capsys, "evaluate", made, *options, "--json").json
    assert found["correct"] == 4
    np.savez(tmp_path / "labels.npz", y=labels[:3])
    outcome = Outcome(capsys, "evaluate", made, *options, "--json")
    outcome.assert_sentence("3 labels for 4 images")
