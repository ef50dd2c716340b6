# SPDX-License-Identifier: Apache-2.0
"""Quantization by PyTorch's FX, and the float .pt files: what loads, what is refused. No onnx2torch is needed here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from golden.resnet8.quantize import read_weights

import q8emu
from q8emu.backends.torch import under
from q8emu.datasets.pixels import as_input
from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput, BadModel, Q8Error, UnsupportedOperator
from q8emu.models.resnet8 import float_model
from q8emu.ptq import quantize_torch as quantization
from q8emu.ptq import torch_model
from q8emu.ptq.quantize_torch import BACKENDS, quantize_torch
from q8emu.verify import verify


@pytest.fixture(autouse=True)
def _torch(package: Callable[..., ModuleType]) -> Iterator[None]:
    """Every test here needs PyTorch, whose warnings about its own future are not ours."""
    package("torch", "torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """Noise and gradients, black and white among them: calibrated on all of them, nothing is beyond the range."""
    made = rng.integers(0, 256, (24, 3, 32, 32)).astype(np.uint8)
    made[::3] = np.linspace(0, 255, 32).astype(np.uint8)
    made[0], made[1] = 0, 255
    return made


def small() -> Any:
    """A module of one layer that takes NCHW."""
    import torch

    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4))


def channels_last() -> Any:
    """The project's ResNet8 behind a permute, as a converted Keras model has it."""
    import torch

    from torch_resnet8 import _network

    class Last(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network, self.softmax = _network(), torch.nn.Softmax(-1)

        def forward(self, x: Any) -> Any:
            return self.softmax(self.network(x.permute(0, 3, 1, 2)))

    module = Last().eval()
    module.input_shapes = {"x": (None, 32, 32, 3)}
    return module


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack"])
def test_the_emulator_reads_what_is_written(engine: str, images: np.ndarray, tmp_path: Path) -> None:
    """An NHWC model, every tensor bit for bit; calibrated range only, so that no CPU's fbgemm saturates pairs."""
    path, told = tmp_path / "q.pt", []
    done = quantize_torch(channels_last(), path, backend=engine, images=images, progress=lambda *a: told.append(a))
    assert (done.backend, done.samples, done.bytes) == (engine, 24, path.stat().st_size)
    assert done.modules == {"Conv2d": 5, "ConvReLU2d": 4, "Linear": 1}
    assert done.notes == ("The Softmax at the end is left out: the results are logits, of the same class.",)
    assert told == [(24, 24, "calibrating")]
    assert [p.name for p in tmp_path.iterdir()] == ["q.pt"]
    numerics = f"torch-{engine}"
    emulator = Emulator(path, Options(numerics))
    assert emulator.is_symbolic and not emulator.host_nodes and emulator.specs[0].shape[1:] == (32, 32, 3)
    report = verify(path, {"x": as_input(images, "float32", "NHWC")}, numerics=numerics, against=[numerics])
    assert report.exit_code == 0, report.oracles[0].sentence
    assert sum(row.elements for row in report.oracles[0].tensors) > 24 * 140_000


def test_nchw_modules_and_other_ends(images: np.ndarray, tmp_path: Path) -> None:
    """A module without `input_shapes` takes NCHW; a Softmax that is called as a function goes too; others stay."""
    import torch

    assert quantize_torch(small(), tmp_path / "a.pt", images=images[:4]).notes == ()
    last = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 4), torch.nn.Softmax(1), torch.nn.ReLU())
    assert quantize_torch(last, tmp_path / "b.pt", images=images[:4]).notes == ()

    class Functional(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.dense = torch.nn.Linear(3072, 4)

        def forward(self, x: Any) -> Any:
            return torch.softmax(self.dense(torch.flatten(x, 1)), -1)

    assert len(quantize_torch(Functional(), tmp_path / "c.pt", images=images[:4]).notes) == 1
    assert q8emu.run(q8emu.load(tmp_path / "c.pt", numerics="torch-fbgemm")).outputs["output"].shape[1] == 4


def test_every_backend_that_is_here(images: np.ndarray, tmp_path: Path) -> None:
    import torch

    for backend in set(BACKENDS).intersection(torch.backends.quantized.supported_engines):
        done = quantize_torch(small(), tmp_path / f"{backend}.pt", backend=backend, images=images[:2])
        assert (done.backend, done.modules) == (backend, {"Linear": 1})


def test_batches_see_every_image(images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantization, "_BATCH", 10)
    told: list[int] = []
    quantize_torch(small(), tmp_path / "q.pt", images=images, progress=lambda done, *_: told.append(done))
    assert told == [10, 20, 24]


def refuses(words: str, *arguments: Any, **options: Any) -> None:
    with pytest.raises(Q8Error) as problem:
        quantize_torch(*arguments, **options)
    assert words in str(problem.value) and "\n" not in str(problem.value)


def test_what_is_refused(images: np.ndarray, tmp_path: Path) -> None:
    import torch

    out = tmp_path / "q.pt"

    class Branch(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    refuses("expected fbgemm, onednn", channels_last(), out, backend="cuda", images=images)
    refuses("expected uint8[N, C, H, W]", channels_last(), out, images=images.astype(np.float32))
    refuses("N at least 1", channels_last(), out, images=images[:0])
    refuses("FX cannot quantize this model", Branch(), out, images=images)
    refuses("quantizes no layer", torch.nn.Flatten(), out, images=images)
    module = channels_last()
    module.input_shapes = {"x": (None, 28, 28, 1)}
    refuses("the images are [3, 32, 32]", module, out, images=images)
    module.input_shapes = {"a": (1,), "b": (1,)}
    refuses("2 inputs", module, out, images=images)
    assert not list(tmp_path.iterdir())


def test_fx_has_no_uint8_weights(tmp_path: Path) -> None:
    """The reason that is given: FX leaves the layer in float, and the engine refuses to pack such weights."""
    import torch
    from torch.ao.quantization import HistogramObserver, MinMaxObserver, QConfig, QConfigMapping
    from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

    x = torch.rand(1, 3, 8, 8)
    for engine in ("fbgemm", "qnnpack"):
        with under(engine, 1):
            homes = {}
            for dtype in (torch.qint8, torch.quint8):
                weight = MinMaxObserver.with_args(dtype=dtype, qscheme=torch.per_tensor_affine)
                mapping = QConfigMapping().set_global(QConfig(HistogramObserver, weight))
                prepared = prepare_fx(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)).eval(), mapping, (x,))
                prepared(x)
                homes[dtype] = type(convert_fx(prepared).get_submodule("0")).__module__
            assert homes == {torch.qint8: "torch.ao.nn.quantized.modules.conv", torch.quint8: "torch.nn.modules.conv"}
    packed = torch.quantize_per_tensor(torch.rand(4, 3, 3, 3), 0.01, 128, torch.quint8)
    with under("fbgemm", 1), pytest.raises(RuntimeError, match="QInt8 but found QUInt8"):
        torch.ops.quantized.conv2d_prepack(packed, None, [1, 1], [0, 0], [1, 1], 1)


# Files


def test_a_float_file_holds_the_weights_once_and_no_code(tmp_path: Path) -> None:
    """Loads with weights_only=True; the graph comes back as it was."""
    import torch

    model = float_model(read_weights())
    path = torch_model.save(model, tmp_path / "m.pt")
    assert path.stat().st_size < 1.05 * len(model.SerializeToString())
    found = torch.load(path, weights_only=True)
    assert found["format"] == torch_model.FORMAT and len(found["graph"]) < 5000
    again = torch_model.graph_of(found, path)
    for before, after in zip(model.graph.initializer, again.graph.initializer, strict=True):
        assert before.name == after.name
        np.testing.assert_array_equal(onnx.numpy_helper.to_array(before), onnx.numpy_helper.to_array(after))
    assert list(again.graph.node) == list(model.graph.node)


def test_foreign_modules_are_run_only_when_trusted(images: np.ndarray, tmp_path: Path) -> None:
    import torch

    from torch_resnet8 import _network

    path, marker = tmp_path / "m.pt", tmp_path / "ran"

    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (marker,))

    torch.save(Runs(), path)
    for act in (torch_model.load, lambda p: quantize_torch(p, tmp_path / "q.pt", images=images)):
        with pytest.raises(BadInput, match="--trust"):
            act(path)
    assert not marker.exists()
    torch.save(small(), path)
    with pytest.raises(BadInput, match="--trust"):
        torch_model.load(path)
    assert isinstance(torch_model.load(path, trust=True), torch.nn.Module)
    assert quantize_torch(path, tmp_path / "q.pt", images=images[:2], trust=True).modules == {"Linear": 1}
    torch.save(_network().state_dict(), path)
    with pytest.raises(BadModel, match="state dict"):
        torch_model.load(path)


def damaged(path: Path, **changes: Any) -> Path:
    import torch

    found = torch.load(torch_model.save(float_model(read_weights()), path), weights_only=True)
    torch.save(found | changes, path)
    return path


def test_damaged_files_are_one_sentence(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "m.pt"
    external = float_model(read_weights())
    tensor = external.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    cases = {
        "no file that torch.save wrote": lambda: path.write_bytes(b"nothing") and path,
        "no file that torch.save wrote, or": lambda: path.write_bytes(b"PK\x03\x04nothing") and path,
        "holds no module": lambda: damaged(path, format="q8emu.torch/9"),
        "of the wrong kind": lambda: damaged(path, graph=b"\xff\xff"),
        "graph or weights": lambda: damaged(path, state=3),
        "which its graph does not": lambda: damaged(path, state={"more": torch.zeros(3)}),
        "expected float32[64, 32, 3, 3]": lambda: damaged(path, state={"stack3_conv1.weight": torch.zeros(3)}),
        "are float64": lambda: damaged(path, state={"stack3_conv1.weight": torch.zeros(64, 32, 3, 3).double()}),
        "in another file": lambda: damaged(path, graph=external.SerializeToString()),
        "is damaged": lambda: damaged(path, state={}),
    }
    for words, write in cases.items():
        with pytest.raises((BadModel, BadInput, UnsupportedOperator)) as problem:
            torch_model.load(write())
        assert words in str(problem.value) and "\n" not in str(problem.value), (words, problem.value)
    with pytest.raises(BadInput, match="There is no model file"):
        torch_model.load(tmp_path / "absent.pt")
    module = torch.jit.trace(torch.nn.ReLU(), torch.zeros(1))
    torch.jit.save(module, str(path))
    with pytest.raises(BadInput, match="TorchScript"):
        torch_model.load(path)
