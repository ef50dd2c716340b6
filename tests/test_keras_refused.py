# SPDX-License-Identifier: Apache-2.0
"""Keras HDF5 files that are refused: not converted, contradictory, hostile and damaged ones. One sentence each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from command_line import Outcome
from keras_files import Entry, chain, residual, write
from q8emu.errors import Q8Error
from q8emu.ptq.keras import read_keras

Rng = np.random.Generator


@pytest.fixture(autouse=True)
def _h5py(package: Callable[..., ModuleType]) -> None:
    """Every test here writes files with h5py."""
    package("h5py", "workflow")


CONFIGS: dict[str, tuple[dict[str, dict[str, Any]], str]] = {
    "an activation": ({"a1": {"activation": "mish"}}, "Layer 'a1' (Activation)"),
    "a padding": ({"c1": {"padding": "causal"}}, "causal"),
    "channels first": ({"c1": {"data_format": "channels_first"}}, "channels_first"),
    "an open size": ({"image": {"batch_input_shape": [None, None, None, 3]}}, "all sizes but the batch fixed"),
    "no size": ({"image": {"batch_input_shape": None}}, "no input shape"),
    "a huge image": ({"image": {"batch_input_shape": [None, 2**20, 2**20, 3]}}, "the limit"),
    "a negative size": ({"image": {"batch_input_shape": [None, -8, 8, 3]}}, "sizes"),
    "other filters": ({"c1": {"filters": 5}}, "expected [3, 3, 3, 5]"),
    "many filters": ({"c1": {"filters": 2**40}}, "expected [3, 3, 3"),
    "filters that are no number": ({"c1": {"filters": "many"}}, "filters"),
    "groups that do not divide": ({"c1": {"groups": 2}}, "groups"),
    "a stride of zero": ({"c1": {"strides": [0, 0]}}, "strides"),
    "a window of three sizes": ({"c1": {"kernel_size": [3, 3, 3]}}, "kernel_size"),
    "a window beyond the image": ({"pool": {"pool_size": [9, 9]}}, "expected up to"),
    "an axis": ({"n1": {"axis": [2]}}, "axis"),
    "units": ({"d": {"units": 11}}, "expected [6, 11]"),
    "nothing": ({"c1": {"kernel_size": None}}, "kernel_size"),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations_that_are_refused(
    name: str, rng: Rng, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, words = CONFIGS[name]
    layers = residual(rng)
    for layer in layers:
        layer.config |= changes.get(layer.name, {})
    refused(write(tmp_path / "m.h5", layers), words, capsys)


def refused(path: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with these words, exit code 2, nothing written."""
    outcome = Outcome(capsys, "convert", path, path.parent / "out.onnx")
    outcome.assert_sentence(words)
    assert not (path.parent / "out.onnx").exists()


def test_an_unknown_layer_is_named(rng: Rng, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layers = chain(Entry("Flatten", "f"), Entry("LSTM", "memory"))
    refused(write(tmp_path / "m.h5", layers), "Layer 'memory' (LSTM)", capsys)
    refused(tmp_path / "m.h5", "tf2onnx", capsys)


def config_of(path: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The file with another configuration."""
    import h5py

    with h5py.File(path, "a") as file:
        model = json.loads(file.attrs["model_config"])
        changed = change(model)
        file.attrs["model_config"] = changed if isinstance(changed, str) else json.dumps(model)
    return path


def _calls(model: dict[str, Any]) -> list[Any]:
    calls: list[Any] = model["config"]["layers"][2]["inbound_nodes"]
    return calls


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no JSON": (lambda m: "{", "damaged"),
    "a list": (lambda m: "[]", "no JSON object"),
    "deep JSON": (lambda m: "[" * 100_000, "damaged"),
    "a class of model": (lambda m: m.update(class_name="MyModel"), "'MyModel'"),
    "no layers": (lambda m: m.update(config={"layers": [], "output_layers": []}), "no layer gives"),
    "layers that are numbers": (lambda m: m.update(config={"layers": [1], "output_layers": []}), "damaged"),
    "too many layers": (lambda m: m["config"].update(layers=[{}] * 5000), "the limit"),
    "a result of nothing": (lambda m: m["config"].update(output_layers=[["x", 0, 0]]), "no layer gives"),
    "a shared layer": (lambda m: _calls(m).append(_calls(m)[0]), "2 calls"),
    "a cycle": (lambda m: _calls(m)[0].__setitem__(0, ["a1", 0, 0, {}]), "is not there"),
    "a later call": (lambda m: _calls(m)[0].__setitem__(0, ["c1", 1, 0, {}]), "call 1 of 'c1'"),
    "an argument": (lambda m: _calls(m)[0].__setitem__(0, ["c1", 0, 0, {"training": True}]), "'training'"),
    "an input that takes": (lambda m: m["config"]["layers"][0].update(inbound_nodes=_calls(m)), "takes 1 tensors"),
    "two of one name": (lambda m: m["config"]["layers"].append(m["config"]["layers"][0]), "two layers of one name"),
    "a name": (lambda m: m["config"]["layers"][1].update(name=5), "without a name"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_configurations(name: str, rng: Rng, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, words = BROKEN[name]
    refused(config_of(write(tmp_path / "m.h5", residual(rng)), change), words, capsys)


def _instead(value: Any) -> Callable[[Any, np.ndarray], None]:
    """Another kernel of c1, made from its own."""

    def change(file: Any, kernel: np.ndarray) -> None:
        file["model_weights/c1/c1/kernel:0"] = value(kernel)

    return change


def _soft(file: Any, kernel: np.ndarray) -> None:
    import h5py

    file["elsewhere"] = kernel
    file["model_weights/c1/c1/kernel:0"] = h5py.SoftLink("/elsewhere")


def _external(file: Any, kernel: np.ndarray) -> None:
    import h5py

    file["model_weights/c1/c1/kernel:0"] = h5py.ExternalLink("other.h5", "/kernel")


def _on_the_way(file: Any, kernel: np.ndarray) -> None:
    import h5py

    del file["model_weights/c1/c1"]
    file["model_weights/c1/c1"] = h5py.ExternalLink("other.h5", "/")


def _virtual(file: Any, kernel: np.ndarray) -> None:
    import h5py

    layout = h5py.VirtualLayout(kernel.shape, "f4")
    layout[:] = h5py.VirtualSource("other.h5", "kernel", kernel.shape)
    file["model_weights/c1/c1"].create_virtual_dataset("kernel:0", layout)


def _outside(file: Any, kernel: np.ndarray) -> None:
    place = [("/etc/passwd", 0, kernel.nbytes)]
    file["model_weights/c1/c1"].create_dataset("kernel:0", kernel.shape, "f4", external=place)


def _huge(file: Any, kernel: np.ndarray) -> None:
    file["model_weights/c1/c1"].create_dataset("kernel:0", (2**20, 2**20), "f4", chunks=(2**5, 2**5))


def _variance(file: Any, kernel: np.ndarray) -> None:
    file["model_weights/c1/c1/kernel:0"] = kernel
    file["model_weights/n1/n1/moving_variance:0"][:] = -1


def _listed(file: Any, kernel: np.ndarray) -> None:
    file["model_weights/c1"].attrs["weight_names"] = [b"../../../kernel:0"]


def _without(place: str, name: str) -> Callable[[Any, np.ndarray], None]:
    """Without an attribute."""

    def change(file: Any, kernel: np.ndarray) -> None:
        del file[place].attrs[name]

    return change


HOSTILE: dict[str, tuple[Callable[[Any, np.ndarray], None], str]] = {
    "a group": (lambda file, kernel: file.create_group("model_weights/c1/c1/kernel:0"), "a group; expected float32"),
    "a huge shape": (_huge, "hold fewer"),
    "a link on the way": (_on_the_way, "link to somewhere else"),
    "a number that is none": (_instead(lambda kernel: np.full_like(kernel, np.nan)), "not finite"),
    "a path in the list": (_listed, "has no '..'"),
    "a shape": (_instead(lambda kernel: kernel[..., :2]), "expected [3, 3, 3, 4]"),
    "a soft link": (_soft, "link to somewhere else"),
    "a variance": (_variance, "not finite"),
    "a virtual dataset": (_virtual, "another file"),
    "an external link": (_external, "link to somewhere else"),
    "external storage": (_outside, "another file"),
    "float64": (_instead(lambda kernel: kernel.astype(np.float64)), "float64; expected float32"),
    "no configuration": (_without("/", "model_config"), "model_config"),
    "no list of weights": (_without("model_weights/c1", "weight_names"), "damaged"),
    "text": (_instead(lambda kernel: "weights"), "expected float32"),
    "weights that are not there": (lambda file, kernel: None, "has no 'kernel:0'"),
}
"""What stands in place of the kernel of c1, and the words of the sentence."""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files(name: str, rng: Rng, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import h5py

    path = write(tmp_path / "m.h5", residual(rng))
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["kernel"] = np.zeros((3, 3, 3, 4), np.float32)
    with h5py.File(path, "a") as file:
        kernel = file["model_weights/c1/c1/kernel:0"][()]
        del file["model_weights/c1/c1/kernel:0"]
        change, words = HOSTILE[name]
        change(file, kernel)
    refused(path, words, capsys)


def test_damaged_files(rng: Rng, tmp_path: Path) -> None:
    """Cut and with other bytes: a sentence, or a model; never another exception."""
    whole = write(tmp_path / "m.h5", residual(rng)).read_bytes()
    path = tmp_path / "damaged.h5"
    said = 0
    for number in range(300):
        content = bytearray(whole)
        if number % 4:
            for at in rng.integers(8, len(whole), 1 + number % 9):
                content[at] = rng.integers(256)
        else:
            content = content[: rng.integers(9, len(whole))]
        path.write_bytes(content)
        try:
            read_keras(path)
        except Q8Error:
            said += 1
    assert said > 50


def test_a_missing_package_is_one_sentence(
    rng: Rng, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    path = write(tmp_path / "m.h5", residual(rng))
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(path, "pip install 'q8emu[workflow]'", capsys)
