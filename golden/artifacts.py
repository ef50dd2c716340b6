# SPDX-License-Identifier: Apache-2.0
"""Every file of the golden data that a program makes: its bytes, how it is made, what besides the code decides them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from golden import archive, cases, oracle
from golden.resnet8 import quantize
from golden.resnet8.images import images
from q8emu.models import INPUTS_FILE, MODEL_FILE
from q8emu.models.resnet8 import float_model

ROOT = Path(__file__).resolve().parents[1]
PACKAGED = "python/q8emu/models"
RANGES, ACCURACY = "golden/resnet8/ranges.json", "golden/resnet8/accuracy.json"
WEIGHTS, TRAIN_LOG = "golden/resnet8/weights.npz", "golden/resnet8/train_log.json"
VECTOR_IMAGES = 2
"""How many of the packaged images the vectors are made from."""

FLOATS = ("onnxruntime", "cpu floats")  # sums of floats: their order is the CPU's
INTEGERS = ("onnxruntime", "cpu integers", "numpy", "zlib")


@dataclass(frozen=True)
class Artifact:
    """A file.

    Attributes:
        path: from the root of the repository.
        data: its bytes.
        how: one sentence.
        depends: what of the manifest's versions decides the bytes, and which of the CPU's properties: those of its
            float sums, or only those of integer kernels.
    """

    path: str
    data: bytes
    how: str
    depends: tuple[str, ...]


def packaged_inputs() -> Iterator[Artifact]:
    """The input that is packaged with the default model."""
    how = "golden/resnet8/images.py, eight synthetic images"
    yield Artifact(f"{PACKAGED}/{INPUTS_FILE}", archive.npz_bytes(images()), how, ("numpy", "zlib"))


def ranges(model: onnx.ModelProto, data: Path) -> Iterator[Artifact]:
    """The result of the calibration; needs CIFAR-10."""
    text = quantize.calibrate(model, quantize.calibration_images(data))
    yield Artifact(RANGES, text.encode(), "calibration of the float model on 500 training images of CIFAR-10", FLOATS)


def models(model: onnx.ModelProto, calibrated: str) -> Iterator[Artifact]:
    """The eight quantized models, and the packaged copy of the default one."""
    how = "onnxruntime.quantization.quantize_static on weights.npz and ranges.json"
    for recipe in quantize.RECIPES:
        data = quantize.quantize(model, calibrated, recipe)
        yield Artifact(f"golden/models/{recipe.name}.onnx", data, how, ("onnx", "onnxruntime"))
        if recipe == quantize.DEFAULT:
            same = f"the same bytes as golden/models/{recipe.name}.onnx"
            yield Artifact(f"{PACKAGED}/{MODEL_FILE}", data, same, ("onnx", "onnxruntime"))


def vectors(name: str, model: bytes) -> Artifact:
    """Every quantized tensor of a model and its final output on the first packaged images."""
    inputs = {key: array[:VECTOR_IMAGES] for key, array in images().items()}
    seen = oracle.run(model, inputs, taps=True)
    how = f"ONNX Runtime on the first {VECTOR_IMAGES} packaged images: every quantized tensor, and the output"
    return Artifact(f"golden/vectors/{name}.npz", archive.npz_bytes(seen), how, INTEGERS)


def single_operators() -> Iterator[Artifact]:
    """A model and its data for each operator."""
    for operator in cases.CASES:
        case = cases.build(operator)
        how = "golden/cases.py; shapes of the outputs from ONNX Runtime"
        yield Artifact(f"golden/cases/{operator}.onnx", case.model, how, ("onnx", "onnxruntime"))
        how = "golden/cases.py; what it is fed, and what ONNX Runtime computes from it"
        yield Artifact(f"golden/cases/{operator}.npz", case.arrays(), how, INTEGERS)


def accuracy(model: onnx.ModelProto, quantized: Mapping[str, bytes], data: Path) -> Iterator[Artifact]:
    """Correctly classified test images of the float model and the eight quantized ones; needs CIFAR-10."""
    named = {"float32": model.SerializeToString()} | {
        Path(path).stem: made for path, made in quantized.items() if path.startswith("golden/models/")
    }
    how = "ONNX Runtime on the 10,000 test images of CIFAR-10"
    yield Artifact(ACCURACY, quantize.accuracy(named, data).encode(), how, FLOATS)


def everything(data: Path | None) -> Iterator[Artifact]:
    """All files, each made from what was made before; without CIFAR-10 from the committed calibration."""
    model = float_model(quantize.read_weights())
    yield from packaged_inputs()
    calibrated = (ROOT / RANGES).read_bytes() if data is None else b""
    if data is not None:
        for artifact in ranges(model, data):
            calibrated = artifact.data
            yield artifact
    quantized: dict[str, bytes] = {}
    for artifact in models(model, calibrated.decode()):
        quantized[artifact.path] = artifact.data
        yield artifact
    for recipe in quantize.RECIPES:
        yield vectors(recipe.name, quantized[f"golden/models/{recipe.name}.onnx"])
    yield from single_operators()
    if data is not None:
        yield from accuracy(model, quantized, data)
