# SPDX-License-Identifier: Apache-2.0
"""q8emu convert: a quantized model, whatever its form, as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from q8emu.cli.options import Bias, Json, Shape, parse_shapes
from q8emu.cli.output import console, print_json

Source = Annotated[Path, typer.Argument(help="An .onnx, .tflite or TorchScript file.", metavar="MODEL")]
Output = Annotated[Path, typer.Argument(help="The .onnx file to write.", metavar="OUT.onnx")]
Style = Annotated[str, typer.Option("--format", help="qdq or qoperator.", metavar="FORMAT")]
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
    """Write a quantized model as ONNX that ONNX Runtime loads, checked against the file that was read.

    The two files run on random inputs under the profile 'ort'; the new one is kept if all that both compute is equal.
    """
    from dataclasses import asdict

    from q8emu.convert import convert as write
    from q8emu.report_text import facts, line

    shapes = parse_shapes(shape)
    done = write(model, output, style=style, bias=bias, force=force, shapes=shapes)  # type: ignore[arg-type]
    if json:
        print_json(asdict(done))
        return
    counts = ", ".join(f"{count} {kind}" for kind, count in done.operators.items())
    told = {"read": done.model, "written": done.output, "format": done.style, "opset": str(done.opset)}
    facts(console(), told | {"nodes": counts, "checked": f"{done.compared:,} elements, all equal"}, "converted")
    for note in done.notes:
        line(console(), f"note: {note}")
