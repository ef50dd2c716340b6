# SPDX-License-Identifier: Apache-2.0
"""Two numerics profiles on one model: what differs, which layer causes it, which predictions change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import q8emu
from command_line import Outcome
from q8emu import models
from q8emu.diff import Layer, diff
from q8emu.errors import BadInput

Images = tuple[np.ndarray, np.ndarray]


def test_one_arithmetic_is_the_same_as_itself() -> None:
    found = diff(numerics=("tflite", "tflite"))
    assert found.is_same
    assert found.exit_code == 0
    assert found.causes == ()
    assert found.flips == ()
    assert all(layer.chain.elements > 0 for layer in found.layers)


def test_a_tensor_that_cannot_be_compared_is_not_the_same() -> None:
    found = diff(numerics=("ort", "ort"))
    lost = replace(found.layers[0].chain, elements=0, failure="missing in the trace of ort")
    assert replace(found, layers=(Layer(lost, lost), *found.layers[1:])).exit_code == 1


def test_counts_are_those_of_the_two_traces() -> None:
    """Against the two emulations, compared here element by element."""
    found = diff(numerics=("ort", "tflite-ref"))
    inputs = models.default_inputs()
    first, second = (q8emu.run(q8emu.load(numerics=name), inputs) for name in ("ort", "tflite-ref"))
    assert [layer.chain.name for layer in found.layers] == [*first.tensors, *first.outputs]
    for layer in found.layers:
        a, b = ({**t.tensors, **t.outputs}[layer.chain.name] for t in (first, second))
        assert layer.chain.differing == int((a != b).sum())
        if a.dtype == np.int8:
            apart = b.astype(int) - a
            assert layer.chain.max_difference == int(np.abs(apart).max())
            assert layer.chain.histogram == {v: int((apart == v).sum()) for v in np.unique(apart).tolist() if v}
    assert not found.is_same


def test_causes_are_the_layers_that_differ_on_the_same_inputs() -> None:
    """A layer behind them inherits: it differs in the chain, and not given the first one's inputs."""
    found = diff(numerics=("ort", "tflite-ref"))
    emulator = q8emu.load(numerics="tflite-ref")
    (batch,) = emulator.batches(models.default_inputs())
    first = q8emu.run(q8emu.load(), models.default_inputs())
    for before, layer in zip(found.layers, found.layers[1:], strict=False):
        name = layer.chain.name
        if before.chain.name in first.tensors and name in first.tensors:
            given = batch.run({before.chain.name: first.tensors[before.chain.name]}).tensors[name]
            is_chain = layer.chain.operator in ("Flatten", "Gemm", "GlobalAveragePool", "Softmax")
            assert not is_chain or layer.given.differing == int((given != first.tensors[name]).sum())
    inherited = [layer for layer in found.layers if layer.chain.differing and not layer.is_cause]
    assert {layer.chain.operator for layer in found.causes} >= {"Conv"}
    assert "Flatten" in {layer.chain.operator for layer in inherited}


def test_predictions_that_change_are_named(cifar10_test: Images) -> None:
    images, labels = (array[:200] for array in cifar10_test)
    inputs = {"image": images.astype(np.float32)}
    found = diff(inputs=inputs, numerics=("ort", "tflite-ref"), labels=labels)
    classes = []
    for name in ("ort", "tflite-ref"):
        (scores,) = q8emu.run(q8emu.load(numerics=name), inputs).outputs.values()
        classes.append(scores.argmax(1))
    assert found.correct == tuple(int((c == labels).sum()) for c in classes)
    changed = np.flatnonzero(classes[0] != classes[1])
    assert [f.sample for f in found.flips] == changed.tolist()
    assert all((f.before, f.after) == (classes[0][f.sample], classes[1][f.sample]) for f in found.flips)


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    same = Outcome(capsys, "diff", "--numerics", "ort", "--numerics", "ort", "--random", "2")
    assert same.code == 0
    assert "the same bits in every tensor" in same.out
    other = Outcome(capsys, "diff", "--numerics", "ort,tflite-ref", "--json")
    assert other.code == 1
    value = other.json
    assert value["schema"] == "q8emu.diff/1"
    assert value["same"] is False
    assert value["causes"]
    assert {row["tensor"] for row in value["tensors"]} >= set(value["causes"])
    row = next(row for row in value["tensors"] if row["tensor"] == value["causes"][0])
    assert row["given"]["differing"] > 0
    assert sum(row["given"]["histogram"].values()) == row["given"]["differing"]
    assert f"cause: '{value['causes'][0]}'" in Outcome(capsys, "diff", "--numerics", "ort,tflite-ref").out


@pytest.mark.parametrize("names", [(), ("ort",), ("ort", "tflite", "tflite-ref")])
def test_two_profiles_are_compared(names: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    Outcome(capsys, "diff", *(part for name in names for part in ("--numerics", name))).assert_sentence("two profiles")
    with pytest.raises(BadInput, match="two profiles"):
        diff(numerics=names)


def test_labels_are_as_many_as_inputs() -> None:
    with pytest.raises(BadInput, match="3 labels for 8 inputs"):
        diff(numerics=("ort", "tflite"), labels=np.zeros(3, np.uint8))
