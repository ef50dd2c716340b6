# SPDX-License-Identifier: Apache-2.0
"""What fewer bits cost: right answers for every pair of weight bits and activation bits, and per layer.

Every model of the map is a file like any other that `quantize_onnx` writes, emulated on the same labelled images. A
layer counts twice, as AIMET's QuantAnalyzer defines it: enabled, only its weights have B bits; disabled, all weights
but its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.errors import BadInput
from q8emu.ptq import bits
from q8emu.ptq.classifier import open_classifier
from q8emu.ptq.evaluate import evaluate
from q8emu.ptq.float_model import FloatModel
from q8emu.ptq.images import Images
from q8emu.ptq.quantize_onnx import Progress, Settings, calibrated, quantized

SCHEMA = "q8emu.quantize-map/1"
WIDTHS = tuple(range(bits.FEWEST, bits.MOST + 1))


@dataclass(frozen=True)
class Cell:
    """Right answers with these bit widths."""

    weight_bits: int
    activation_bits: int
    correct: int


@dataclass(frozen=True)
class LayerCell:
    """Right answers when a layer alone has weights of few bits, and when all layers but it have."""

    layer: str
    enabled: int
    disabled: int


@dataclass(frozen=True)
class BitMap:
    """The accuracy map of a model.

    Attributes:
        model: the float model.
        settings: of the quantization; the bit widths vary.
        calibrated_on: samples.
        images: that were classified.
        float_correct: right answers of the float model on them, by ONNX Runtime.
        grid: for every pair of bit widths.
        layer_bits: width of the weights in `layers`; activations have 8 bits there.
        layers: in graph order.
    """

    model: str
    settings: Mapping[str, Any]
    calibrated_on: int
    images: int
    float_correct: int
    grid: tuple[Cell, ...]
    layer_bits: int
    layers: tuple[LayerCell, ...]

    def correct(self, weight_bits: int, activation_bits: int) -> int:
        """Right answers with these bit widths."""
        return next(
            c.correct for c in self.grid if (c.weight_bits, c.activation_bits) == (weight_bits, activation_bits)
        )

    @property
    def all_layers(self) -> int:
        """Right answers with `layer_bits` in every layer and 8-bit activations."""
        return self.correct(self.layer_bits, bits.MOST)

    @property
    def no_layer(self) -> int:
        """Right answers with 8 bits everywhere."""
        return self.correct(bits.MOST, bits.MOST)

    @property
    def worst(self) -> LayerCell:
        """The layer that alone loses most; of equal ones the first."""
        return min(self.layers, key=lambda cell: cell.enabled)

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {"schema": SCHEMA, **asdict(self), "worst_layer": self.worst.layer}


def bit_map(
    model: FloatModel,
    inputs: Mapping[str, np.ndarray],
    settings: Settings,
    images: Images,
    *,
    layer_bits: int = bits.FEWEST,
    progress: Progress | None = None,
) -> BitMap:
    """Quantize a model to every pair of bit widths and count right answers on the emulator.

    Args:
        model: what `open_float` returned.
        inputs: calibration samples by input name.
        settings: of the quantization; its bit widths are not used.
        images: labelled, from `images.choose`.
        layer_bits: width of the weights in the map of the layers, 4 to 7.
        progress: told (done, total, what).

    Raises:
        Q8Error: a setting, the samples or the images do not fit.
    """
    check(settings, layer_bits)
    tell = progress or (lambda done, total, what: None)
    total, done = len(WIDTHS) ** 2 + 2 * len(model.layers), 0
    tell(done, total, f"calibrating, {settings.method}")
    ranges = calibrated(model, inputs, settings)

    def right(weights: int | Mapping[str, int], activations: int) -> int:
        nonlocal done
        widths = weights if isinstance(weights, Mapping) else {layer.name: weights for layer in model.layers}
        asked = replace(settings, weight_bits=bits.MOST, activation_bits=activations)
        found = _right(quantized(model, ranges, asked, widths), images, "q8emu")
        done += 1
        tell(done, total, "emulating")
        return found

    grid = tuple(Cell(w, a, right(w, a)) for w in WIDTHS for a in WIDTHS)
    everywhere = {layer.name: layer_bits for layer in model.layers}
    layers = tuple(
        LayerCell(name, right({name: layer_bits}, bits.MOST), right(everywhere | {name: bits.MOST}, bits.MOST))
        for name in everywhere
    )
    kept = {"dtype", "method", "per_channel", "percentile", "style"}
    return BitMap(
        str(model.path),
        {key: value for key, value in asdict(settings).items() if key in kept},
        model.check(inputs),
        len(images.labels),
        _right(bytes(model.proto.SerializeToString()), images, "ort"),
        grid,
        layer_bits,
        layers,
    )


def check(settings: Settings, layer_bits: int) -> None:
    """Refuse settings that no map has.

    Raises:
        BadInput: says which, and what is on offer.
    """
    replace(settings, weight_bits=bits.FEWEST).check()
    if not bits.FEWEST <= layer_bits < bits.MOST:
        raise BadInput(f"The map of the layers needs {bits.FEWEST} to {bits.MOST - 1} weight bits; found {layer_bits}.")


def _right(made: bytes, images: Images, backend: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        path.write_bytes(made)
        opened = open_classifier(path, backend)
        return evaluate(opened, images.arrays, images.labels, prepare=images.prepare).correct
