# SPDX-License-Identifier: Apache-2.0
"""q8emu convert: a model in one form as a file in another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from q8emu.cli.options import Bias, Json, Shape, parse_shapes
from q8emu.cli.output import console, echo_settings, print_json

Source = Annotated[Path, typer.Argument(help="A Keras .h5, .onnx, .tflite or TorchScript file.", metavar="MODEL")]
Output = Annotated[
    Path, typer.Argument(help="The .onnx file to write; of a float .onnx model the .pt file.", metavar="OUT")
]
Style = Annotated[str, typer.Option("--format", help="Of a quantized model: qdq or qoperator.", metavar="FORMAT")]
Force = Annotated[bool, typer.Option("--force", help="Replace a file that is there.")]


def convert(
    model: Source,
    output: Output,
    style: Style = "qdq",
    force: Force = False,
    shape: Shape = None,
    bias: Bias = "auto",
    json: Json = False,
) -> None:
    """Write a model in another form, checked: Keras HDF5 or a quantized model as ONNX, float ONNX as a PyTorch file.

    The old and the new model run on random inputs. Of a quantized model, all that both compute under the profile 'ort'
    has to be equal; of a float model, the largest difference of the outputs is told, and a large one is refused.
    """
    from dataclasses import asdict

    from q8emu.convert import convert as write
    from q8emu.report_text import facts, line

    shapes = parse_shapes(shape)
    done = write(model, output, style=style, bias=bias, force=force, shapes=shapes)  # type: ignore[arg-type]
    echo_settings("convert", {"format": done.style, "bias": bias, "force": "yes" if force else "no"})
    if json:
        print_json({"schema": "q8emu.convert/1", **asdict(done)})
        return
    told = {"read": done.model, "written": f"{done.output}, {done.bytes:,} bytes"}
    told |= {"format": done.style, "opset": str(done.opset)}
    told |= {"layers": _counts(done.layers)} if done.layers else {}
    checked = f"{done.compared:,} elements, all equal"
    if done.style == "float":
        checked = f"{done.compared:,} outputs, largest difference {done.largest_difference:.3g}"
    facts(console(), told | {"nodes": _counts(done.operators), "checked": checked}, "converted")
    for note in done.notes:
        line(console(), f"note: {note}")


def _counts(kinds: dict[str, int]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())
