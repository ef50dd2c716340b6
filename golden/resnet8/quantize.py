# SPDX-License-Identifier: Apache-2.0
"""Quantize the project's ResNet8 eight ways with ONNX Runtime's static quantizer, and measure the accuracy.

    python golden/resnet8/quantize.py --data DIR    # DIR holds CIFAR-10; prints the accuracy of the nine models

Two steps. Calibration runs the float model on 500 training images and keeps the smallest and the largest value of every
tensor: ranges.json. Quantization turns weights.npz and ranges.json into the eight files, without any image.

Two things are fixed by hand so that the QDQ and the QOperator file of a pair hold the same parameters:
- The output of Softmax has scale 1/256. The quantizer always does this in the QOperator format; in the QDQ format it
  would take the calibrated range.
- The weights of the uint8 models are uint8 per tensor, but int8 per channel. The quantizer writes int8 weights for
  QLinearConv per channel whatever it is asked for; the QDQ file follows.
"""

from __future__ import annotations

import argparse
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.calibrate import create_calibrator, save_tensors_data

from q8emu.datasets import cifar10
from q8emu.models.resnet8 import INPUT, OUTPUT, float_model

HERE = Path(__file__).parent
CALIBRATION_IMAGES = 500
OPERATORS = ["Add", "Conv", "Flatten", "Gemm", "GlobalAveragePool", "Relu", "Softmax"]
TYPES = {"int8": QuantType.QInt8, "uint8": QuantType.QUInt8}


@dataclass(frozen=True)
class Recipe:
    """One of the eight quantizations.

    Attributes:
        activations: "int8" or "uint8".
        spelling: "qdq" or "qoperator".
        granularity: of the weights, "tensor" or "channel".
    """

    activations: str
    spelling: str
    granularity: str

    @property
    def name(self) -> str:
        """Of the file, without the extension."""
        return f"resnet8_{self.activations}_{self.spelling}_{self.granularity}"

    @property
    def weights(self) -> str:
        """Dtype of the weights; see above for uint8 per channel."""
        return "int8" if self.granularity == "channel" else self.activations


RECIPES = tuple(
    Recipe(activations, spelling, granularity)
    for activations in ("int8", "uint8")
    for spelling in ("qdq", "qoperator")
    for granularity in ("tensor", "channel")
)
DEFAULT = Recipe("int8", "qdq", "channel")
"""The one that is packaged as q8emu's default model."""


def read_weights() -> dict[str, np.ndarray]:
    """The trained weights."""
    with np.load(HERE / "weights.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def calibration_images(data: Path | None) -> np.ndarray:
    """float32[500, 3, 32, 32]: every hundredth training image, pixels 0..255."""
    pixels, _ = cifar10.train_images(data)
    return pixels[:: len(pixels) // CALIBRATION_IMAGES].astype(np.float32)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Hands the images out in batches."""

    def __init__(self, images: np.ndarray) -> None:
        self.batches: Iterator[np.ndarray] = iter(np.split(images, 10))

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {INPUT: batch}


def calibrate(model: onnx.ModelProto, images: np.ndarray) -> str:
    """Smallest and largest value of every float tensor, as the text of a calibration cache of ONNX Runtime."""
    with tempfile.TemporaryDirectory() as folder:
        source, cache = Path(folder, "float.onnx"), Path(folder, "ranges.json")
        onnx.save(model, source)
        augmented = str(Path(folder, "augmented.onnx"))
        method = CalibrationMethod.MinMax
        calibrator = create_calibrator(source, OPERATORS, augmented, calibrate_method=method)
        calibrator.collect_data(_Reader(images))
        save_tensors_data(calibrator.compute_data(), cache)
        return json.dumps(json.loads(cache.read_text()), indent=1, sort_keys=True) + "\n"


def quantize(model: onnx.ModelProto, ranges: str, recipe: Recipe) -> bytes:
    """The quantized model file; depends on the arguments and on the version of onnxruntime."""
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        source, cache, target = (Path(folder, n) for n in ("float.onnx", "ranges.json", "quantized.onnx"))
        onnx.save(model, source)
        cache.write_text(ranges)
        quantize_static(
            source,
            target,
            quant_format=QuantFormat.QDQ if recipe.spelling == "qdq" else QuantFormat.QOperator,
            op_types_to_quantize=OPERATORS,
            per_channel=recipe.granularity == "channel",
            activation_type=TYPES[recipe.activations],
            weight_type=TYPES[recipe.weights],
            calibrate_method=CalibrationMethod.MinMax,
            calibration_cache_path=cache,
            extra_options=_softmax_scale(recipe) if recipe.spelling == "qdq" else {},
        )
        return target.read_bytes()


@contextmanager
def _without_advice() -> Iterator[None]:
    """The quantizer recommends other formats and a preprocessing on every call, as warnings."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


def _softmax_scale(recipe: Recipe) -> dict[str, Any]:
    dtype = np.dtype(recipe.activations)
    fixed = {
        "quant_type": TYPES[recipe.activations],
        "scale": np.array(1 / 256, np.float32),
        "zero_point": np.array(np.iinfo(dtype).min, dtype),
    }
    return {"TensorQuantOverrides": {OUTPUT: [fixed]}}


def correct(model: bytes, pixels: np.ndarray, labels: np.ndarray) -> int:
    """How many images ONNX Runtime classifies right, with integer kernels where the model is quantized."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    right = 0
    for start in range(0, len(pixels), 250):
        batch = slice(start, start + 250)
        (found,) = session.run([OUTPUT], {INPUT: pixels[batch].astype(np.float32)})
        right += int((found.argmax(1) == labels[batch]).sum())
    return right


def accuracy(models: Mapping[str, bytes], data: Path | None) -> str:
    """Correctly classified test images of every model, as the text of accuracy.json."""
    pixels, labels = cifar10.test_images(data)
    found = {name: correct(model, pixels, labels) for name, model in models.items()}
    record = {"images": len(pixels), "onnxruntime": onnxruntime.__version__, "correct": found}
    return json.dumps(record, indent=1) + "\n"


def main() -> None:
    """Calibrate, quantize and measure; nothing is written (regenerate.py --write does that)."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder with the binary CIFAR-10 batches")
    args = parser.parse_args()
    model = float_model(read_weights())
    ranges = calibrate(model, calibration_images(args.data))
    models = {"float32": model.SerializeToString()}
    models |= {recipe.name: quantize(model, ranges, recipe) for recipe in RECIPES}
    for name, right in json.loads(accuracy(models, args.data))["correct"].items():
        print(f"{name:34} {right / 100:.2f} %   {len(models[name]):,} bytes")


if __name__ == "__main__":
    main()
