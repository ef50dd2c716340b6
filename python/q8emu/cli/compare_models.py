# SPDX-License-Identifier: Apache-2.0
"""q8emu compare-models: several model files side by side, as Markdown, JSON and HTML."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from q8emu.cli.options import Data, Json
from q8emu.cli.output import echo_settings, print_json, progress

if TYPE_CHECKING:
    from q8emu.ptq.compare_models import Comparison

Files = Annotated[
    list[Path],
    typer.Argument(help="Models, and JSON files of q8emu evaluate, which are not evaluated again.", metavar="FILE…"),
]
Output = Annotated[
    list[Path] | None,
    typer.Option("-o", "--output", help="A .md, .html or .json file to write; repeat it for several.", metavar="FILE"),
]
Backends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend", help="What runs the files of its format, as for evaluate; repeat it for others.", metavar="NAME"
    ),
]
Baseline = Annotated[
    str | None,
    typer.Option("--baseline", help="The file to compare with; by default the best float32 one.", metavar="FILE"),
]
Within = Annotated[
    float,
    typer.Option(
        "--within", help="Points below the baseline that a recommended file may have.", metavar="POINTS", min=0
    ),
]
Limit = Annotated[int | None, typer.Option("--limit", help="The first N images.", metavar="N", min=1)]
Threads = Annotated[int, typer.Option("--threads", help="Threads of what runs; 0 is one per core.", metavar="N", min=0)]


def compare_models(
    files: Files,
    output: Output = None,
    backend: Backends = None,
    baseline: Baseline = None,
    within: Within = 1.0,
    limit: Limit = None,
    data: Data = None,
    threads: Threads = 0,
    json: Json = False,
) -> None:
    """Compare model files on CIFAR-10: accuracy, delta to the float baseline, size, by class; and recommend one.

    Without --output, Markdown is printed. No time is in the output: the same command writes the same bytes. 0: nothing
    loses more than 5 points. 1: something does, and is flagged. 2: cannot.
    """
    from q8emu.ptq.compare_files import check_outputs, entries, shown_command
    from q8emu.ptq.compare_files import write as write_files
    from q8emu.ptq.compare_models import WITHIN, compare

    outputs = output or []
    check_outputs(outputs)
    chosen: dict[str, Sequence[object]] = {
        "--output": outputs,
        "--backend": backend or [],
        "--baseline": [baseline] if baseline else [],
        "--within": [f"{within:g}"] if within != WITHIN else [],
        "--limit": [limit] if limit else [],
    }
    command = shown_command(files, chosen)
    if not json:
        echo_settings("compare-models", {"command": command, "threads": str(threads or "one per core")})
    with progress() as tell:
        found = compare(
            entries(files, backend or [], data=data, limit=limit, threads=threads, progress=tell),
            command,
            baseline,
            within,
        )
    write_files(found, outputs)
    if json:
        print_json(found.to_json())
    else:
        show(found, outputs)
    raise typer.Exit(1 if any(found.is_flagged(entry) for entry in found.entries) else 0)


def show(found: Comparison, outputs: list[Path]) -> None:
    """Print the document, or where it was written and what it recommends."""
    from q8emu.ptq.compare_markdown import markdown

    if not outputs:
        typer.echo(markdown(found), nl=False)
        return
    for path in outputs:
        typer.echo(f"wrote {path}")
    typer.echo(f"recommended: {found.recommendation}")
