# SPDX-License-Identifier: Apache-2.0
"""Float ONNX becomes a PyTorch file through onnx2torch, which may need an environment of its own (.ci/run makes one).

Q8EMU_ONNX2TORCH=1 says that it is installed: a test here then fails, rather than skips, without it.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from golden.resnet8.quantize import read_weights
from onnx import TensorProto, helper, numpy_helper

import q8emu
from command_line import Outcome
from float_models import residual as small_float
from q8emu.datasets.pixels import as_input
from q8emu.errors import ConversionFailed, Q8Error
from q8emu.models.resnet8 import float_model
from q8emu.ptq import torch_model
from q8emu.ptq.float_check import float_inputs, onnx_outputs
from q8emu.ptq.quantize_torch import quantize_torch
from q8emu.verify import verify
from small_models import residual
from torch_resnet8 import profile_here

IMAGES = int(os.environ.get("Q8EMU_IMAGES", "200"))


@pytest.fixture(autouse=True, scope="module")
def _onnx2torch() -> Iterator[None]:
    """Every test here needs it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import onnx2torch  # noqa: F401
        except (ImportError, RuntimeError) as problem:
            sentence = f"needs onnx2torch (pip install torch==2.14.1 torchvision==0.29.1 onnx2torch): {problem}"
            if os.environ.get("Q8EMU_ONNX2TORCH") == "1":
                pytest.fail(sentence)
            pytest.skip(sentence)
        yield


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The project's float ResNet8."""
    path = tmp_path / "resnet8.onnx"
    onnx.save(float_model(read_weights()), path)
    return path


def test_the_command(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "m.pt"
    outcome = Outcome(capsys, "convert", source, target)
    assert outcome.code == 0 and "9 Conv" in outcome.out and "largest difference" in outcome.out
    found = Outcome(capsys, "convert", source, target, "--force", "--json").json
    assert found["style"] == "float" and found["largest_difference"] < 1e-4 and found["compared"] == 40
    assert target.stat().st_size < 1.05 * source.stat().st_size
    module = torch_model.load(target)
    assert module.input_shapes == {"image": (None, 3, 32, 32)} and module.output_names == ("probabilities",)
    assert "def forward(self, image)" in module.code
    Outcome(capsys, "convert", residual(tmp_path / "q.onnx"), tmp_path / "q.pt").assert_sentence("is quantized")
    Outcome(capsys, "convert", target, tmp_path / "q.pt").assert_sentence("no valid float ONNX model")
    assert not (tmp_path / "q.pt").exists()


def test_a_wrong_module_is_not_kept(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check behind every conversion notices one weight."""

    def wrong(path: Path) -> Any:
        module = original(path)
        module.dense.bias.data[3] += 0.5
        return module

    original = torch_model.load
    monkeypatch.setattr(torch_model, "load", wrong)
    with pytest.raises(ConversionFailed, match="difference of"):
        q8emu.convert(source, tmp_path / "m.pt")
    assert [p.name for p in tmp_path.iterdir()] == ["resnet8.onnx"]


def small(op: str, name: str, *shapes: list[int], **attributes: Any) -> onnx.ModelProto:
    """One node from x to y with constants of these shapes."""
    constants = [numpy_helper.from_array(np.ones(s, np.float32), f"c{i}") for i, s in enumerate(shapes)]
    node = helper.make_node(op, ["x", *[c.name for c in constants]], ["y"], name, **attributes)
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 2, 8, 8]) for n in "xy"]
    graph = helper.make_graph([node], "g", ends[:1], ends[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("name", ["", "a.b/c", "forward", "class", "7", "training", "relu é", "initializers"])
def test_names_of_nodes(name: str) -> None:
    module = torch_model.module_of(small("Relu", name))
    import torch

    assert float(module(torch.full((1, 2, 8, 8), -3.0)).max()) == 0


def test_a_name_is_never_run_as_code(tmp_path: Path) -> None:
    """Names end up in code that torch.fx writes and runs: a quote in one must not end the string that it stands in."""
    import torch

    marker = tmp_path / "ran"
    name = f'"+str(getattr(getattr(__import__("pathlib"), "Path")("{marker}"), "touch")())+"'
    for model in (small("Relu", name), small("Conv", name, [2, 2, 1, 1])):
        torch_model.module_of(model)(torch.zeros(1, 2, 8, 8))
    assert not marker.exists()


def test_what_onnx2torch_does_not_convert(tmp_path: Path) -> None:
    target = tmp_path / "m.pt"
    for model, words in (
        (small("Conv", "c", [2, 2, 3, 3], auto_pad="SAME_UPPER"), "onnx2torch does not convert"),
        (small("Shrink", "s"), "onnx2torch does not convert"),
    ):
        onnx.save(model, tmp_path / "m.onnx")
        with pytest.raises(Q8Error, match=words) as problem:
            q8emu.convert(tmp_path / "m.onnx", target)
        assert "\n" not in str(problem.value)
    assert not target.exists()


# The public checkpoint


@pytest.fixture(scope="module")
def checkpoint(
    data_dir: Path, package: Callable[..., ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """MLPerf Tiny's ResNet8 as Keras, ONNX and PyTorch file."""
    package("h5py", "workflow")
    source = data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet.h5"
    if not source.is_file():
        pytest.skip("needs mlperf_tiny/ic/pretrainedResnet.h5 in Q8EMU_DATA")
    folder = tmp_path_factory.mktemp("checkpoint")
    q8emu.convert(source, folder / "resnet8.onnx")
    q8emu.convert(folder / "resnet8.onnx", folder / "resnet8.pt")
    return {"onnx": folder / "resnet8.onnx", "pt": folder / "resnet8.pt"}


def scores(module: Any, images: np.ndarray) -> np.ndarray:
    """What a module gives, a thousand images at a time."""
    import torch

    with torch.no_grad():
        parts = [module(torch.from_numpy(images[i : i + 1000])).numpy() for i in range(0, len(images), 1000)]
    return np.concatenate(parts)


def test_the_checkpoint_gets_8719_images_right(
    checkpoint: dict[str, Path], cifar10_test: tuple[np.ndarray, np.ndarray]
) -> None:
    images, labels = as_input(cifar10_test[0], "float32", "NHWC"), cifar10_test[1]
    found = scores(torch_model.load(checkpoint["pt"]), images)
    assert int((found.argmax(1) == labels).sum()) == 8719
    expected = onnx_outputs(onnx.load(checkpoint["onnx"]), {"input_1": images})["dense"]
    assert float(np.abs(found - expected).max()) < 2e-5


@pytest.mark.parametrize("engine", ["fbgemm", "qnnpack"])
def test_the_checkpoint_quantized(
    engine: str,
    checkpoint: dict[str, Path],
    cifar10_dir: Path,
    cifar10_test: tuple[np.ndarray, np.ndarray],
    tmp_path: Path,
) -> None:
    """Above 85 % of the 10,000 test images; on Q8EMU_IMAGES of them the emulator is PyTorch's engine, bit for bit."""
    import torch

    from q8emu.backends.torch import under
    from q8emu.datasets import cifar10

    path = tmp_path / "q.pt"
    calibration = cifar10.train_images(cifar10_dir)[0][:200]
    done = quantize_torch(checkpoint["pt"], path, backend=engine, images=calibration)
    assert done.modules == {"Conv2d": 5, "ConvReLU2d": 4, "Linear": 1} and done.bytes < 150_000
    images, labels = as_input(cifar10_test[0], "float32", "NHWC"), cifar10_test[1]
    with under(engine, 2):
        found = scores(torch.jit.load(str(path)), images)
    assert int((found.argmax(1) == labels).sum()) > 8500
    numerics = profile_here(engine)
    report = verify(path, {"input_1": images[:IMAGES]}, numerics=numerics, against=[numerics])
    assert report.exit_code == 0, report.oracles[0].sentence


def test_inputs_of_the_check() -> None:
    made = float_inputs({"x": (None, 4), "y": (2, None)})
    assert made["x"].shape == (4, 4) and made["y"].shape == (2, 1)
    assert made["x"][::2].max() < 1 < made["x"][1::2].max() < 255


def test_a_pytorch_file_goes_to_fx(cifar10_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exact against PyTorch's own engine; the options of ONNX are refused."""
    from q8emu.ptq.torch_model import save

    source = save(onnx.load(small_float(tmp_path / "f.onnx", ("N", 3, 32, 32), pixels=True)), tmp_path / "f.pt")
    options = ("--data", cifar10_dir, "--per-class", 20)
    found = Outcome(capsys, "quantize", source, *options, "--json")
    assert found.code == 0, found.err
    assert re.match(r"torch-fbgemm(-avx2)?: exact\.|not compared: oracle 'torch-fbgemm' is", found.json["verified"])
    assert (tmp_path / "f_fbgemm.samples.json").is_file()
    Outcome(capsys, "quantize", source, "--dtype", "int8").assert_sentence("--dtype: only for ONNX files")
    Outcome(capsys, "quantize", source, *options).assert_sentence("exists")
