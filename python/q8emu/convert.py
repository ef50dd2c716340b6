# SPDX-License-Identifier: Apache-2.0
"""A model file in one form becomes a model file in another, and is checked before it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput, ConversionFailed
from q8emu.export.onnx import FORMATS, Format, to_onnx
from q8emu.files import check_target, replacing
from q8emu.graph import INTERNAL
from q8emu.inputs import random_inputs
from q8emu.ptq.float_models import keras_to_onnx, onnx_to_torch
from q8emu.ptq.keras_file import is_hdf5
from q8emu.trace import Trace

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        model: the file that was read.
        output: the file that was written.
        style: "qdq" or "qoperator"; "float" for a float model.
        opset: of the new model; of the ONNX graph inside a PyTorch file.
        operators: how many nodes of each operator it has.
        compared: elements that both files gave: outputs and quantized tensors, all equal; of a float model the outputs.
        notes: what the reader had to say.
        layers: of a Keras file, how many of each class it has.
        largest_difference: between the outputs of float models; quantized ones are equal.
        bytes: of the new file.
    """

    model: str
    output: str
    style: str
    opset: int
    operators: dict[str, int]
    compared: int
    notes: tuple[str, ...]
    layers: dict[str, int] = field(default_factory=dict)
    largest_difference: float = 0.0
    bytes: int = 0


def convert(
    model: Path | str,
    output: Path | str,
    *,
    style: Format = "qdq",
    bias: str = "auto",
    force: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Conversion:
    """Write a model in another form: Keras HDF5 or a quantized model as ONNX, float ONNX as a PyTorch file.

    A quantized model's new file is run beside the old one on random inputs, with the profile 'ort' for both; it is kept
    if every output and every quantized tensor that both have are equal. A float model's outputs are compared with those
    of the layers' definition (Keras) or of ONNX Runtime (PyTorch); the largest difference is told.

    Args:
        model: a Keras .h5 file, a float .onnx file, or any quantized model that `load` opens.
        output: path of the .onnx file; of a .pt file for a float .onnx file.
        style: of a quantized model. "qdq": float operators between DequantizeLinear and QuantizeLinear; "qoperator":
            QLinearConv and its like.
        bias: as for `load`.
        force: replace a file that is there?
        shapes: as for `load`.

    Raises:
        Q8Error: the model cannot be read or expressed, or the output cannot be written; nothing is written then.
    """
    source, target = Path(model), Path(output)
    if style not in FORMATS:
        raise BadInput(f"--format is '{style}'; expected {' or '.join(FORMATS)}.")
    check_target(target, (".onnx", ".pt"), force=force)
    if is_hdf5(source) or source.suffix in (".h5", ".hdf5", ".keras"):
        return _from_keras(source, target)
    if target.suffix == ".pt":
        return _to_torch(source, target)
    return _quantized(source, target, style, Options(bias=bias, shapes=shapes or {}))


def _from_keras(source: Path, target: Path) -> Conversion:
    if target.suffix != ".onnx":
        raise BadInput(
            f"From '{source}' q8emu writes ONNX first: convert it to a name that ends in .onnx, then to .pt."
        )
    done = keras_to_onnx(source)
    with replacing(target) as written:
        written.write_bytes(done.model.SerializeToString())
    return _told(source, target, done.model, done.compared, done.largest_difference, done.notes, done.layers)


def _to_torch(source: Path, target: Path) -> Conversion:
    with replacing(target) as written:
        done = onnx_to_torch(source, written)
    return _told(source, target, done.model, done.compared, done.largest_difference, done.notes, {})


def _told(
    source: Path,
    target: Path,
    model: onnx.ModelProto,
    compared: int,
    largest: float,
    notes: tuple[str, ...],
    layers: dict[str, int],
) -> Conversion:
    opset, size = _opset(model), target.stat().st_size
    return Conversion(
        str(source), str(target), "float", opset, _operators(model), compared, notes, layers, largest, size
    )


def _quantized(model: Path, target: Path, style: Format, options: Options) -> Conversion:
    source = Emulator(model, options)
    proto = to_onnx(source.graph, style=style, wider=source.wider)
    with replacing(target) as written:
        written.write_bytes(proto.SerializeToString())
        compared = _compare(source, Emulator(written, Options()))
    return Conversion(
        str(model),
        str(target),
        style,
        _opset(proto),
        _operators(proto),
        compared,
        source.graph.notes,
        bytes=target.stat().st_size,
    )


def _opset(model: onnx.ModelProto) -> int:
    version: int = next(o.version for o in model.opset_import if not o.domain)
    return version


def _operators(model: onnx.ModelProto) -> dict[str, int]:
    kinds = [node.op_type for node in model.graph.node]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def _compare(source: Emulator, made: Emulator) -> int:
    """Elements that both files give, all equal.

    Raises:
        ConversionFailed: one of them differs.
    """
    samples = 2 * source.samples_per_run if source.is_symbolic else source.samples_per_run
    inputs = random_inputs(source.graph, source.specs, samples, 0)
    expected, found = ([part.run() for part in emulator.batches(inputs)] for emulator in (source, made))
    return sum(_equal(a, b) for a, b in zip(expected, found, strict=True))


def _equal(expected: Trace, found: Trace) -> int:
    count = 0
    pairs = [(n, a, found.outputs[n]) for n, a in expected.outputs.items()]
    pairs += [
        (n, a, found.tensors[n])
        for n, a in expected.tensors.items()
        if n in found.tensors and not n.startswith(INTERNAL)
    ]
    for name, a, b in pairs:
        if a.dtype != b.dtype or a.shape != b.shape or not np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            raise ConversionFailed(
                f"The ONNX model gives another '{name}' than the model that was read, so it was not written. "
                "Please report it with the model."
            )
        count += a.size
    return count
