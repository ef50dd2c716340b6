# SPDX-License-Identifier: Apache-2.0
"""Keras HDF5 files become ONNX: each layer against loops, both spellings, hostile files, and the public checkpoint."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest

import q8emu
from command_line import Outcome
from keras_files import Entry, chain, conv, dense, draw, normalization, plain, write
from q8emu.datasets.pixels import as_input
from q8emu.errors import ConversionFailed, Q8Error
from q8emu.ptq.float_check import onnx_outputs
from q8emu.ptq.keras import read_keras
from q8emu.ptq.keras_layers import ACTIVATIONS, LAYERS, MERGES

Import = Callable[..., ModuleType]
Rng = np.random.Generator


@pytest.fixture(autouse=True)
def _h5py(package: Import) -> None:
    """Every test here writes files with h5py."""
    package("h5py", "workflow")


def layers_of(kind: str, rng: Rng) -> list[list[Entry]]:
    """Small models with this layer; images are 7x6x4, so that strides and windows leave rests."""
    same, stride = {"padding": "same"}, {"strides": [2, 2]}
    pools = [
        chain(Entry(kind, "pool", {"pool_size": size, "strides": None, **more}))
        for size in ([2, 2], [3, 2])
        for more in ({}, same, same | stride)
    ]
    branches = chain(conv("a", rng, [1, 1, 4, 3]), Entry("Dropout", "drop"), conv("b", rng, [3, 3, 4, 3], **same))
    branches[3].inputs = ["image"]
    merged = [*branches, Entry(kind, "merge", {}, ["drop", "b"])]
    depth = {"depthwise_kernel": draw(rng, [3, 3, 4, 2]), "bias": draw(rng, [8])}
    depthwise = {"kernel_size": [3, 3], "depth_multiplier": 2}
    cases: dict[str, list[list[Entry]]] = {
        "Activation": [chain(Entry(kind, "a", {"activation": name})) for name in ACTIVATIONS],
        "BatchNormalization": [
            chain(normalization("norm", rng, 4)),
            chain(conv("c", rng, [3, 3, 4, 5]), normalization("norm", rng, 5)),
            chain(conv("c", rng, [3, 3, 4, 5], use_bias=False), normalization("norm", rng, 5, scale=False)),
            chain(conv("c", rng, [1, 1, 4, 5], activation="relu"), normalization("norm", rng, 5, center=False)),
            chain(dense("d", rng, [4, 3]), normalization("norm", rng, 3, axis=-1), shape=[4]),
        ],
        "Conv2D": [
            chain(conv("c", rng, [3, 3, 4, 5], **more))
            for more in (
                *({}, same, same | stride, same | {"strides": [2, 1]}, {"dilation_rate": [2, 2]}),
                *({"activation": "relu"}, {"activation": "softmax"}, {"use_bias": False}),
            )
        ]
        + [
            chain(conv("c", rng, [2, 2, 2, 6], groups=2, **same)),
            chain(conv("c", rng, [2, 4, 4, 1], **same, **stride)),
        ],
        "Dense": [chain(dense("d", rng, [4, 3], activation=a), shape=[4]) for a in ("linear", "softmax", "tanh")],
        "DepthwiseConv2D": [
            chain(Entry(kind, "d", depthwise | more, (), depth)) for more in ({}, same | stride, {"activation": "relu"})
        ],
        "Dropout": [chain(Entry(kind, "drop"), Entry("Flatten", "flat"))],
        "Flatten": [
            chain(Entry(kind, "flat"), dense("d", rng, [168, 3])),
            chain(Entry(kind, "flat"), shape=[1, 1, 5]),
            chain(Entry(kind, "flat"), dense("d", rng, [4, 2]), shape=[4]),
        ],
        "InputLayer": [chain(Entry("Activation", "a", {"activation": "relu"}), shape=[5])],
        "LeakyReLU": [chain(Entry(kind, "r", {"alpha": 0.25})), chain(Entry(kind, "r", {"negative_slope": 0.1}))],
        "ReLU": [
            chain(Entry(kind, "r", config))
            for config in ({}, {"max_value": None, "negative_slope": 0.0, "threshold": 0.0}, {"max_value": 0.25})
        ],
        "Softmax": [chain(Entry(kind, "s", {"axis": -1})), chain(Entry(kind, "s"), shape=[9])],
    }
    for name in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        cases[name] = [chain(Entry(kind, "g", {"keepdims": keep})) for keep in (False, True)]
    cases |= {name: [merged] for name in MERGES}
    cases |= dict.fromkeys(("AveragePooling2D", "MaxPooling2D"), pools)
    return cases[kind]


@pytest.mark.parametrize("kind", LAYERS)
def test_each_layer_is_what_keras_defines(kind: str, rng: Rng, tmp_path: Path) -> None:
    """Against loops over the positions; in the spelling of Keras 2 and of Keras 3; the batch is open."""
    for number, layers in enumerate(layers_of(kind, rng)):
        shape = layers[0].config["batch_input_shape"][1:]
        x = draw(rng, [2, *shape])
        expected = plain(layers, x)
        for keras in (2, 3):
            found = read_keras(write(tmp_path / f"{number}.h5", layers, keras=keras))
            (made,) = onnx_outputs(found.model, {"image": x}).values()
            np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5, err_msg=f"{number}: {layers[-1]}")
        done = q8emu.convert(tmp_path / f"{number}.h5", tmp_path / f"{number}.onnx")
        assert done.compared > 0  # and its own check holds


def small(rng: Rng) -> list[Entry]:
    """A residual network of every kind that the ResNet8 has."""
    same = {"padding": "same"}
    layers = chain(
        conv("c1", rng, [3, 3, 3, 4], **same),
        normalization("n1", rng, 4),
        Entry("Activation", "a1", {"activation": "relu"}),
        conv("c2", rng, [3, 3, 4, 6], strides=[2, 2], **same),
        normalization("n2", rng, 6),
        conv("c3", rng, [1, 1, 4, 6], strides=[2, 2], **same),
        Entry("Add", "add", {}, ["n2", "c3"]),
        Entry("Activation", "a2", {"activation": "relu"}),
        Entry("AveragePooling2D", "pool", {"pool_size": [4, 4]}),
        Entry("Flatten", "flat"),
        dense("d", rng, [6, 10], activation="softmax"),
        shape=[8, 8, 3],
    )
    layers[6].inputs = ["a1"]
    return layers


def test_the_structure_of_a_network(rng: Rng, tmp_path: Path) -> None:
    """One Transpose; normalizations in the weights; names of input, output, nodes and tensors are the layers'."""
    found = read_keras(write(tmp_path / "m.h5", small(rng)))
    graph = found.model.graph
    kinds = [node.op_type for node in graph.node]
    assert kinds == "Transpose Conv Relu Conv Conv Add Relu AveragePool Flatten Gemm Softmax".split()
    assert [node.name for node in graph.node if node.op_type == "Conv"] == ["c1", "c2", "c3"]
    assert [list(node.output) for node in graph.node if node.op_type == "Conv"] == [["n1"], ["n2"], ["c3"]]
    (second,) = (node for node in graph.node if node.name == "c2")
    assert next(list(a.ints) for a in second.attribute if a.name == "pads") == [0, 0, 1, 1]
    ends = [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in graph.input]
    ends += [(v.name, [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]) for v in graph.output]
    assert ends == [("image", ["N", 8, 8, 3]), ("d", ["N", 10])]
    assert found.layers["Conv2D"] == 3 and found.notes[0].startswith("2 BatchNormalization are folded")


def test_sequential_models(rng: Rng, tmp_path: Path) -> None:
    """With an InputLayer, and with the shape in the first layer."""
    layers = chain(conv("c", rng, [3, 3, 4, 5]), Entry("Flatten", "flat"), dense("d", rng, [100, 3]))
    x = draw(rng, [2, 7, 6, 4])
    for keras in (2, 3):
        for first in (0, 1):
            if first:
                layers[1].config["batch_input_shape"] = [None, 7, 6, 4]
            path = write(tmp_path / "m.h5", layers[first:], keras=keras, sequential=True)
            (made,) = onnx_outputs(read_keras(path).model, {("c_input" if first else "image"): x}).values()
            np.testing.assert_allclose(made, plain(layers, x), rtol=1e-5, atol=1e-5)
        del layers[1].config["batch_input_shape"]


def test_layers_in_any_order_and_several_results(rng: Rng, tmp_path: Path) -> None:
    layers = chain(
        conv("c", rng, [3, 3, 4, 5]), Entry("Activation", "a", {"activation": "relu"}), Entry("Flatten", "f")
    )
    path = write(tmp_path / "m.h5", layers[::-1], outputs=["a", "f"])
    x = draw(rng, [1, 7, 6, 4])
    found = onnx_outputs(read_keras(path).model, {"image": x})
    assert {name: array.shape for name, array in found.items()} == {"a/nhwc": (1, 5, 4, 5), "f": (1, 100)}
    np.testing.assert_allclose(found["a/nhwc"].reshape(1, -1), found["f"])


def test_the_command(rng: Rng, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write(tmp_path / "m.h5", small(rng)), tmp_path / "m.onnx"
    outcome = Outcome(capsys, "convert", source, target)
    assert outcome.code == 0 and "3 Conv2D" in outcome.out and "note: 2 BatchNormalization" in outcome.out
    assert "largest difference" in outcome.out and target.stat().st_size > 1000
    found = Outcome(capsys, "convert", source, target, "--force", "--json").json
    assert found["schema"] == "q8emu.convert/1" and found["style"] == "float" and found["layers"]["Dense"] == 1
    Outcome(capsys, "convert", source, target).assert_sentence("exists", "--force")
    Outcome(capsys, "convert", source, tmp_path / "m.pt").assert_sentence("ONNX first")
    Outcome(capsys, "convert", tmp_path / "m.keras", tmp_path / "x.onnx").assert_sentence(".keras archive", "m.h5")
    Outcome(capsys, "convert", tmp_path / "x.h5", tmp_path / "x.onnx").assert_sentence("There is no model file")


def test_a_wrong_graph_is_not_kept(rng: Rng, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check behind every conversion notices one weight."""
    from q8emu.ptq import float_models

    def wrong(path: Path) -> Any:
        found = read_keras(path)
        kernel = next(t for t in found.model.graph.initializer if t.name == "c3/kernel")
        array = onnx.numpy_helper.to_array(kernel).copy()
        array[0, 0] += 0.5
        kernel.CopyFrom(onnx.numpy_helper.from_array(array, kernel.name))
        return found

    monkeypatch.setattr(float_models, "read_keras", wrong)
    with pytest.raises(ConversionFailed, match="difference of"):
        q8emu.convert(write(tmp_path / "m.h5", small(rng)), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


# What is refused

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
    layers = small(rng)
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
    refused(config_of(write(tmp_path / "m.h5", small(rng)), change), words, capsys)


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

    path = write(tmp_path / "m.h5", small(rng))
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
    whole = write(tmp_path / "m.h5", small(rng)).read_bytes()
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

    path = write(tmp_path / "m.h5", small(rng))
    monkeypatch.setitem(sys.modules, "h5py", None)
    refused(path, "pip install 'q8emu[workflow]'", capsys)


# The public checkpoint


@pytest.fixture(scope="module")
def checkpoint(data_dir: Path, package: Import, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The ONNX file of MLPerf Tiny's ResNet8, and what the conversion said."""
    package("h5py", "workflow")
    source = data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet.h5"
    if not source.is_file():
        pytest.skip("needs mlperf_tiny/ic/pretrainedResnet.h5 in Q8EMU_DATA")
    target = tmp_path_factory.mktemp("keras") / "resnet8.onnx"
    return target, q8emu.convert(source, target)


def test_the_checkpoint(checkpoint: tuple[Path, Any]) -> None:
    _, done = checkpoint
    assert done.layers["Conv2D"] == 9 and done.layers["BatchNormalization"] == 7 and done.layers["Add"] == 3
    assert done.operators == {
        **dict.fromkeys(("AveragePool", "Flatten", "Gemm", "Softmax", "Transpose"), 1),
        "Add": 3,
        "Conv": 9,
        "Relu": 7,
    }
    assert done.largest_difference < 1e-5 and done.bytes < 320_000


def test_the_checkpoint_gets_8719_images_right(
    checkpoint: tuple[Path, Any], cifar10_test: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = cifar10_test
    scores = onnx_outputs(onnx.load(checkpoint[0]), {"input_1": as_input(images, "float32", "NHWC")})["dense"]
    assert int((scores.argmax(1) == labels).sum()) == 8719


def test_the_checkpoint_scores_as_the_float_tflite_file(
    checkpoint: tuple[Path, Any], cifar10_test: tuple[np.ndarray, np.ndarray], data_dir: Path, package: Import
) -> None:
    """The same network, converted by TensorFlow itself, in LiteRT."""
    litert = package("ai_edge_litert.interpreter", "litert")
    images = as_input(cifar10_test[0][:200], "float32", "NHWC")
    interpreter = litert.Interpreter(str(data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet.tflite"), num_threads=1)
    (x,), (y,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(x["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(x["index"], images)
    interpreter.invoke()
    scores = onnx_outputs(onnx.load(checkpoint[0]), {"input_1": images})["dense"]
    assert float(np.abs(scores - interpreter.get_tensor(y["index"])).max()) < 2e-5
