# SPDX-License-Identifier: Apache-2.0
"""q8emu quantize: a float model becomes a quantized file, or the map of what 4 to 8 bits cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from q8emu.cli.options import Data, Json
from q8emu.cli.output import console, echo_settings, print_json, progress
from q8emu.cli.quantize_options import (
    ActivationBits,
    BitMapMode,
    Calibrated,
    Calibration,
    Dtype,
    Engine,
    Force,
    ImageChoice,
    Labels,
    Limit,
    Method,
    Output,
    OwnInputs,
    Percentile,
    PerChannel,
    PerClass,
    ReduceRange,
    SamplesFile,
    Seed,
    Source,
    Style,
    Trust,
    WeightBits,
    refuse,
)

if TYPE_CHECKING:
    from rich.console import Console

    from q8emu.ptq.bit_map import BitMap
    from q8emu.ptq.quantize_onnx import Quantized, Settings
    from q8emu.ptq.quantize_pytorch import Written
    from q8emu.ptq.samples import Samples


def quantize(
    model: Source,
    output: Output = None,
    dtype: Dtype = None,
    style: Style = None,
    per_channel: PerChannel = False,
    method: Method = None,
    percentile: Percentile = None,
    reduce_range: ReduceRange = False,
    weight_bits: WeightBits = None,
    activation_bits: ActivationBits = None,
    backend: Engine = None,
    trust: Trust = False,
    per_class: PerClass = None,
    seed: Seed = None,
    samples: SamplesFile = None,
    calibration: Calibration = None,
    data: Data = None,
    bit_map: BitMapMode = False,
    limit: Limit = None,
    inputs: OwnInputs = None,
    labels: Labels = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Quantize a float model on calibration samples, by ONNX Runtime or PyTorch, and check it before it is kept.

    The samples are drawn from the training set of CIFAR-10, as many of each class, and saved as OUT.samples.json. The
    new file is kept if q8emu computes the same bits as the runtime on some of them. 0: written. 2: cannot.
    """
    from q8emu.emulator import model_format
    from q8emu.errors import BadInput

    only_onnx = {
        "--dtype": dtype,
        "--format": style,
        "--per-channel": per_channel,
        "--method": method,
        "--percentile": percentile,
        "--reduce-range": reduce_range,
        "--weight-bits": weight_bits,
        "--activation-bits": activation_bits,
        "--calibration": calibration,
        "--bit-map": bit_map,
    }
    only_torch = {"--backend": backend, "--trust": trust}
    only_map = {"--limit": limit, "--inputs": inputs, "--labels": labels}
    if not model.is_file():
        raise BadInput(f"There is no model file '{model}'; expected a float .onnx or .pt file.")
    kind = model_format(model)
    if kind == "TFLite":
        raise BadInput(f"'{model}' is a TFLite file; 'q8emu quantize' takes a float .onnx or .pt file.")
    is_torch = kind == "PyTorch"
    refuse(
        only_onnx if is_torch else only_torch, f"for {'ONNX' if is_torch else 'PyTorch'} files; this is one of {kind}"
    )
    chosen = Calibrated(per_class, seed, samples, calibration, data)
    chosen.check(is_map=bit_map)
    if not bit_map:
        refuse(only_map, "for --bit-map")
    if is_torch:
        return _torch(model, output, backend or "fbgemm", chosen, trust=trust, force=force, json=json)
    from q8emu.ptq.quantize_onnx import Settings

    settings = Settings(dtype or "int8", style or "qdq", per_channel, method or "minmax", percentile, reduce_range)
    if bit_map:
        if activation_bits is not None:
            raise BadInput("--activation-bits: the map has all of them; leave it out.")
        images = ImageChoice(limit, inputs, labels, data)
        return _map(model, output, settings, weight_bits or 4, chosen, images, force=force, json=json)
    return _onnx(model, output, settings, weight_bits or 8, activation_bits or 8, chosen, force=force, json=json)


def _onnx(
    model: Path,
    output: Path | None,
    settings: Settings,
    weight_bits: int,
    activation_bits: int,
    chosen: Calibrated,
    *,
    force: bool,
    json: bool,
) -> None:
    from dataclasses import replace

    from q8emu.files import check_target
    from q8emu.ptq.float_model import open_float
    from q8emu.ptq.quantize_onnx import quantize_onnx

    settings = replace(settings, weight_bits=weight_bits, activation_bits=activation_bits)
    settings.check()
    target = output or model.with_name(f"{model.stem}_{settings.dtype}.onnx")
    check_target(target, (".onnx",), force=force)
    opened = open_float(model)
    inputs, found, told = chosen.load(opened)
    beside = chosen.keep(found, target, force=force)
    if not json:
        echo_settings("quantize", {"model": str(model), "output": str(target), **settings.describe(), "samples": told})
    with progress() as tell:
        done = quantize_onnx(opened, target, inputs, settings, force=force, progress=tell)
    if found is not None and beside is not None:
        found.save(beside)
    _finish(done, found, beside, json=json)


def _torch(
    model: Path, output: Path | None, backend: str, chosen: Calibrated, *, trust: bool, force: bool, json: bool
) -> None:
    from q8emu.files import check_target
    from q8emu.ptq.quantize_pytorch import quantize_pytorch

    target = output or model.with_name(f"{model.stem}_{backend}.pt")
    check_target(target, (".pt",), force=force)
    found = chosen.find()
    images = found.images(chosen.data)
    beside = chosen.keep(found, target, force=force)
    if not json:
        settings = {"model": str(model), "output": str(target), "backend": backend, "samples": found.describe()}
        echo_settings("quantize", settings)
    with progress() as tell:
        done = quantize_pytorch(model, target, images, backend, trust=trust, force=force, progress=tell)
    if beside is not None:
        found.save(beside)
    _finish(done, found, beside, json=json)


def _finish(done: Quantized | Written, found: Samples | None, beside: Path | None, *, json: bool) -> None:
    """Print what was written."""
    from q8emu.report_text import facts, line

    if json:
        drawn = None if found is None else {k: v for k, v in found.as_json().items() if k != "indices"}
        print_json(done.to_json() | {"drawn": drawn, "samples_file": None if beside is None else str(beside)})
        return
    before, after = done.bytes
    told = {"written": done.output, "bytes": f"{before:,} → {after:,}", "sha256": done.sha256}
    told |= _parts(done)
    if beside is not None:
        told["samples"] = str(beside)
    facts(console(), told | {"verified": done.verified}, "quantized")
    for note in done.notes:
        line(console(), f"note: {note}")


def _parts(done: Any) -> dict[str, str]:
    """What the file holds."""
    if hasattr(done, "modules"):
        return {"modules": ", ".join(f"{count} {kind}" for kind, count in done.modules.items())}
    told = {
        name: ", ".join(f"{n} {kind}" for kind, n in getattr(done, name).items()) for name in ("weights", "activations")
    }
    told["weights"] += f", codes {done.codes[0]} to {done.codes[1]}"
    return told | {"float": f"{done.host} nodes stay in float"}


def _map(
    model: Path,
    output: Path | None,
    settings: Settings,
    layer_bits: int,
    chosen: Calibrated,
    wanted: ImageChoice,
    *,
    force: bool,
    json: bool,
) -> None:
    from q8emu.files import check_target, replacing
    from q8emu.ptq.bit_map import bit_map, check
    from q8emu.ptq.bit_map_page import SUFFIXES, page
    from q8emu.ptq.float_model import open_float

    check(settings, layer_bits)
    if output is not None:
        check_target(output, SUFFIXES, force=force)
    opened = open_float(model)
    images = wanted.load(model)
    inputs, _, told = chosen.load(opened)
    if not json:
        shown = {"model": str(model), **settings.describe(), "samples": told, "layers": f"{layer_bits}-bit weights"}
        echo_settings("quantize", shown | {"images": f"{len(images.labels):,}, {images.source}"})
    with progress() as tell:
        found = bit_map(opened, inputs, settings, images, layer_bits=layer_bits, progress=tell)
    if output is not None:
        with replacing(output) as written:
            written.write_text(page(found, output.suffix), encoding="utf-8")
    if json:
        print_json(found.to_json())
    else:
        show_map(found, console())


def show_map(found: BitMap, output: Console) -> None:
    """Print both tables."""
    from q8emu.ptq.bit_map_page import facts, grid_heads, grid_rows, layer_heads, layer_rows, worst
    from q8emu.report_text import line, print_columns

    line(output, facts(found))
    for heads, rows in ((grid_heads(), grid_rows(found)), (layer_heads(found), layer_rows(found))):
        line(output, "")
        widths = [max(len(text) for text in column) for column in zip(heads, *rows, strict=True)]
        print_columns(output, heads, rows, widths, numbers_from=1)
    line(output, "")
    line(output, worst(found))
