# SPDX-License-Identifier: Apache-2.0
"""A float ONNX model becomes a quantized one: ranges from samples, ONNX Runtime's quantizer, a check, then the file.

The file is kept only when it loads in ONNX Runtime and in q8emu, and both compute the same bits on calibration samples.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput, ConversionFailed
from q8emu.files import check_target, replacing
from q8emu.ptq import bits, static
from q8emu.ptq.calibrate import BATCH, METHODS, PERCENTILE, cut, tensor_ranges
from q8emu.ptq.float_model import PRODUCTS, FloatModel
from q8emu.verify import compare

SCHEMA = "q8emu.quantize/1"
ORACLE = "ort"
CHECKED = 8
"""Calibration samples on which the file is verified; more where the file's own batch is larger."""
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Settings:
    """How to quantize.

    Attributes:
        dtype: of the activations, "int8" or "uint8".
        style: "qdq" or "qoperator".
        per_channel: a scale for each output channel of the weights?
        method: one of `calibrate.METHODS`.
        percentile: percent of the values that a range covers, for the method "percentile".
        reduce_range: 7-bit weights, for processors whose products saturate in pairs?
        weight_bits: 4 to 8.
        activation_bits: 4 to 8.
    """

    dtype: str = "int8"
    style: str = "qdq"
    per_channel: bool = False
    method: str = "minmax"
    percentile: float | None = None
    reduce_range: bool = False
    weight_bits: int = bits.MOST
    activation_bits: int = bits.MOST

    def check(self) -> None:
        """Refuse what is not on offer.

        Raises:
            BadInput: names the option and what it takes.
        """
        for option, value, known in (
            ("--dtype", self.dtype, static.DTYPES),
            ("--format", self.style, static.STYLES),
            ("--method", self.method, METHODS),
        ):
            if value not in known:
                raise BadInput(f"{option} {value}: expected {', '.join(known)}.")
        if self.percentile is not None and self.method != "percentile":
            raise BadInput(f"--percentile is for --method percentile; the method is {self.method}.")
        if self.percentile is not None and not 50 < self.percentile <= 100:
            raise BadInput(f"--percentile {self.percentile:g}: expected more than 50 and at most 100.")
        bits.check_bits("--weight-bits", self.weight_bits)
        bits.check_bits("--activation-bits", self.activation_bits)
        if not self.is_narrow:
            return
        if self.style != "qdq":
            raise BadInput("Fewer than 8 bits need --format qdq; 'q8emu convert' writes the result as QOperator.")
        if self.reduce_range:
            raise BadInput("--reduce-range is 7-bit weights; say --weight-bits 7, or leave the bit widths out.")

    @property
    def is_narrow(self) -> bool:
        """Are there fewer than 8 bits anywhere?"""
        return min(self.weight_bits, self.activation_bits) < bits.MOST

    @property
    def covers(self) -> float:
        """The percentile in use."""
        return PERCENTILE if self.percentile is None else self.percentile

    def describe(self) -> dict[str, str]:
        """For people."""
        method = f"percentile {self.covers:g}" if self.method == "percentile" else self.method
        told = {
            "dtype": self.dtype,
            "format": self.style,
            "weights": "per channel" if self.per_channel else "per tensor",
        }
        told |= {"method": method}
        if self.reduce_range:
            told["reduce-range"] = "yes"
        if self.is_narrow:
            told["bits"] = f"weights {self.weight_bits}, activations {self.activation_bits}"
        return told


@dataclass(frozen=True)
class Quantized:
    """What was written, by inspecting the file.

    Attributes:
        model: the float model.
        output: the quantized one.
        sha256: of its bytes.
        bytes: of the float model and of the quantized one.
        settings: how it was asked for.
        samples: that it was calibrated on.
        weights: dtype and granularity of the layers' weights, and how many layers have them.
        activations: dtype of the quantized activations, and how many.
        codes: smallest and largest code of all weights.
        host: nodes that stay in float.
        verified: what the comparison with the oracle `ort` on calibration samples found.
        notes: sentences about the model.
    """

    model: str
    output: str
    sha256: str
    bytes: tuple[int, int]
    settings: Mapping[str, Any]
    samples: int
    weights: Mapping[str, int]
    activations: Mapping[str, int]
    codes: tuple[int, int]
    host: int
    verified: str
    notes: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {"schema": SCHEMA, **asdict(self)}


def calibrated(model: FloatModel, inputs: Mapping[str, np.ndarray], settings: Settings) -> str:
    """The ranges of the model's tensors on calibration samples.

    Raises:
        BadInput: the samples are not what the model takes.
    """
    model.check(inputs)
    size = BATCH if model.is_open else model.batch
    return tensor_ranges(
        model.proto, cut(inputs, size), model.operators, method=settings.method, percentile=settings.covers
    )


def quantized(
    model: FloatModel, ranges: str, settings: Settings, weight_bits: Mapping[str, int] | None = None
) -> bytes:
    """The quantized model; the same arguments give the same bytes.

    Args:
        model: in float.
        ranges: what `calibrated` returned.
        settings: how.
        weight_bits: of single layers by name, in place of those of the settings.
    """
    recipe = static.Recipe(settings.dtype, settings.style, settings.per_channel, settings.reduce_range)
    widths = {layer.name: settings.weight_bits for layer in model.layers} | dict(weight_bits or {})
    narrow = {name: width for name, width in widths.items() if width < bits.MOST}
    overrides = bits.weight_overrides(model, narrow, per_channel=settings.per_channel)
    if settings.activation_bits == bits.MOST:
        return static.quantize(model.proto, ranges, recipe, model.operators, overrides)
    wide, tensors = bits.narrow_ranges(model, ranges, settings.dtype, settings.activation_bits)
    made = static.quantize(model.proto, wide, recipe, model.operators, overrides)
    return bits.clamp_codes(made, tensors, settings.dtype, settings.activation_bits)


def quantize_onnx(
    model: FloatModel,
    output: Path,
    inputs: Mapping[str, np.ndarray],
    settings: Settings,
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> Quantized:
    """Quantize a float model and write it.

    Args:
        model: what `open_float` returned.
        output: path of the .onnx file.
        inputs: calibration samples by input name.
        settings: how to quantize.
        force: replace a file that is there?
        progress: told (done, total, what).

    Raises:
        BadInput: a setting, the samples or the output; nothing is written then.
        ConversionFailed: q8emu and ONNX Runtime do not agree on the result; nothing is written then.
    """
    settings.check()
    check_target(output, (".onnx",), force=force)
    tell = progress or (lambda done, total, what: None)
    tell(0, 3, f"calibrating, {settings.method}")
    ranges = calibrated(model, inputs, settings)
    tell(1, 3, "quantizing")
    made = quantized(model, ranges, settings)
    tell(2, 3, f"verifying against {ORACLE}")
    with replacing(output) as written:
        written.write_bytes(made)
        emulator = Emulator(written, Options())
        verified = verify_exact(emulator, inputs)
        facts = _inspect(emulator)
    return Quantized(
        str(model.path),
        str(output),
        hashlib.sha256(made).hexdigest(),
        (model.path.stat().st_size, len(made)),
        asdict(settings) | {"percentile": settings.covers if settings.method == "percentile" else None},
        model.check(inputs),
        *facts,
        len(emulator.host_nodes),
        verified,
        notes=(*model.notes, *emulator.graph.notes),
    )


def verify_exact(emulator: Emulator, inputs: Mapping[str, np.ndarray]) -> str:
    """What the comparison of q8emu with ONNX Runtime on the first samples found: a sentence that says exact.

    Raises:
        ConversionFailed: one differs, or the oracle gives no verdict.
    """
    size = max(CHECKED // emulator.samples_per_run, 1) * emulator.samples_per_run
    report = compare(emulator, {name: array[:size] for name, array in inputs.items()}, against=[ORACLE])
    if report.exit_code != 0:
        told = report.reason if report.exit_code == 2 else report.oracles[0].sentence
        raise ConversionFailed(
            f"q8emu and the oracle '{ORACLE}' do not agree on the quantized model, so it was not written: {told}"
        )
    return f"{ORACLE}: {report.oracles[0].verdict}. {report.oracles[0].sentence}"


def _inspect(emulator: Emulator) -> tuple[Mapping[str, int], Mapping[str, int], tuple[int, int]]:
    """Dtypes of weights and activations as q8emu reads them from the file, and the extremes of the weights' codes."""
    graph = emulator.graph
    layers = [node for node in graph.nodes if node.op in PRODUCTS and node.inputs[1] in graph.constants]
    kinds: Counter[str] = Counter()
    for node in layers:
        quant = node.in_quant[1]
        granularity = "per tensor" if quant is None or quant.is_per_tensor else "per channel"
        kinds[f"{graph.constants[node.inputs[1]].dtype} {granularity}"] += 1
    made = Counter(q.dtype for node in graph.nodes for q in node.out_quant if q is not None)
    codes = [(int(w.min()), int(w.max())) for w in (graph.constants[node.inputs[1]] for node in layers)]
    return dict(kinds), dict(made), (min((c[0] for c in codes), default=0), max((c[1] for c in codes), default=0))
