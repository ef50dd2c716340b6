# SPDX-License-Identifier: Apache-2.0
"""q8emu inspect: nodes, quantization parameters, what each node lowers to, integer and host coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from q8emu.cli.options import Batch, Bias, Json, Model, NoHost, NumericsName, Shape, parse_shapes
from q8emu.cli.output import console, print_json

if TYPE_CHECKING:
    from rich.console import Console

    from q8emu.inspect import Inspection


def inspect(
    model: Model = None,
    numerics: NumericsName = "ort",
    batch: Batch = None,
    no_host: NoHost = False,
    shape: Shape = None,
    bias: Bias = "auto",
    json: Json = False,
) -> None:
    """List the nodes of a model with the quantization parameters of every operand and the steps they lower to."""
    from q8emu.emulator import Options
    from q8emu.inspect import inspect as look
    from q8emu.verify import open_model

    found = look(
        open_model(model, Options(numerics, batch=batch, no_host=no_host, bias=bias, shapes=parse_shapes(shape)))
    )
    if json:
        print_json(found.to_json())
    else:
        show(found, console())


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
    for note in found.notes:
        line(output, f"note: {note}")
