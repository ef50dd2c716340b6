# SPDX-License-Identifier: Apache-2.0
"""q8emu inspect: nodes, quantization parameters, what each node lowers to, integer and host coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from q8emu.cli.options import Batch, Bias, Json, Model, NoHost, NumericsName, Shape, parse_shapes
from q8emu.cli.output import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from q8emu.inspect import Inspection


FileNodes = Annotated[
    bool,
    typer.Option(
        "--file-nodes", help="The nodes of the file instead: attributes, parameters, and where each of them lives."
    ),
]


def inspect(
    model: Model = None,
    numerics: NumericsName = "ort",
    batch: Batch = None,
    no_host: NoHost = False,
    shape: Shape = None,
    bias: Bias = "auto",
    file_nodes: FileNodes = False,
    json: Json = False,
) -> None:
    """List the nodes of a model with the quantization parameters of every operand and the steps they lower to.

    The JSON has both views: the nodes that run, and the nodes of the file with where each parameter lives. Of a float
    model there is the second only.
    """
    from q8emu import models
    from q8emu.emulator import Options
    from q8emu.inspect import inspect_file

    options = Options(numerics, batch=batch, no_host=no_host, bias=bias, shapes=parse_shapes(shape))
    found = inspect_file(model or models.default_model(), options, only_file=file_nodes)
    if json:
        print_json(found.to_json())
    elif file_nodes or not found.rows:
        show_file(found, console())
    else:
        show(found, console())


def show_file(found: Inspection, output: Console) -> None:
    """Print one block per node of the file: attributes, operands, where each lives, quantization parameters."""
    from q8emu.listing.base import plain as shown
    from q8emu.report_text import facts, line

    facts(output, {"model": found.model, "format": found.file.format}, "model")
    line(output, "")
    for node in found.file.nodes:
        line(output, printable(f"{node.index:4}  {node.operator} '{node.name}'"), "bold")
        for key, value in node.attributes.items():
            line(output, printable(f"      {key} = {shown(value)}"), "dim")
        for label, operands in (("in", node.inputs), ("out", node.outputs)):
            for operand in operands:
                line(output, printable(f"      {label:>3} {operand}"))
                if operand.quantization:
                    line(output, printable(f"          {operand.quantization}"), "dim")
    line(output, "")
    _count(found, output)
    for note in found.notes:
        line(output, f"note: {note}")


def printable(text: str) -> str:
    """Text of a file without what a terminal would obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _count(found: Inspection, output: Console, end: str = "") -> None:
    from q8emu.report_text import line

    counts = ", ".join(f"{count} {name}" for name, count in found.file.operators.items())
    line(output, printable(f"{found.file.format} file: {len(found.file.nodes)} nodes ({counts}){end}"))


def show(found: Inspection, output: Console) -> None:
    """Print one block per node, then the counts."""
    from rich.text import Text

    from q8emu.report_text import facts, line

    shown = {"model": found.model, "numerics": found.numerics, "program sha256": found.digest}
    facts(output, shown | {f"input {name}": spec for name, spec in found.inputs.items()}, "model")
    line(output, "")
    for at, row in enumerate(found.rows):
        where, style = ("host, float", "bold yellow") if row.is_host else (", ".join(row.steps), "green")
        head = Text.assemble(f"{at:4}  ", (row.operator, "bold"), f" '{row.name}'  ", (where, style))
        output.print(head, soft_wrap=not output.is_terminal)
        for label, operands in (("in", row.inputs), ("out", row.outputs)):
            for operand in operands:
                line(output, f"      {label:>3} {operand}{' constant' if operand.is_constant else ''}", "dim")
    line(output, "")
    counts = ", ".join(f"{count} {name}" for name, count in found.operators.items())
    line(
        output,
        f"{len(found.rows)} nodes: {found.coverage['integer']} integer, {found.coverage['host']} host ({counts})",
    )
    _count(found, output, "; --file-nodes shows where each parameter lives")
    for note in found.notes:
        line(output, f"note: {note}")
