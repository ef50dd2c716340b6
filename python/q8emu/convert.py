# SPDX-License-Identifier: Apache-2.0
"""A model file in one form becomes a model file in another, and is checked before it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput, ConversionFailed
from q8emu.export.onnx import FORMATS, Format, to_onnx
from q8emu.files import check_target, replacing
from q8emu.graph import INTERNAL
from q8emu.inputs import random_inputs
from q8emu.trace import Trace


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        model: the file that was read.
        output: the file that was written.
        style: "qdq" or "qoperator".
        opset: of the new model.
        operators: how many nodes of each operator it has.
        compared: elements of the outputs and quantized tensors that both files gave, all equal.
        notes: what the reader had to say.
    """

    model: str
    output: str
    style: str
    opset: int
    operators: dict[str, int]
    compared: int
    notes: tuple[str, ...]


def convert(
    model: Path | str,
    output: Path | str,
    *,
    style: Format = "qdq",
    bias: str = "auto",
    force: bool = False,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Conversion:
    """Write a quantized model as ONNX that ONNX Runtime loads.

    The new file is run beside the old one on random inputs, with the profile 'ort' for both; it is kept if every output
    and every quantized tensor that both have are equal.

    Args:
        model: any file that `load` opens.
        output: path of the .onnx file.
        style: "qdq": float operators between DequantizeLinear and QuantizeLinear; "qoperator": QLinearConv and its
            like.
        bias: as for `load`.
        force: replace a file that is there?
        shapes: as for `load`.

    Raises:
        Q8Error: the model cannot be read or expressed, or the output cannot be written; nothing is written then.
    """
    target = Path(output)
    if style not in FORMATS:
        raise BadInput(f"--format is '{style}'; expected {' or '.join(FORMATS)}.")
    check_target(target, (".onnx",), force=force)
    source = Emulator(Path(model), Options(bias=bias, shapes=shapes or {}))
    proto = to_onnx(source.graph, style=style, wider=source.wider)
    with replacing(target) as written:
        written.write_bytes(proto.SerializeToString())
        compared = _compare(source, Emulator(written, Options()))
    kinds = [node.op_type for node in proto.graph.node]
    return Conversion(
        str(model),
        str(target),
        style,
        next(o.version for o in proto.opset_import if not o.domain),
        {kind: kinds.count(kind) for kind in sorted(set(kinds))},
        compared,
        source.graph.notes,
    )


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
