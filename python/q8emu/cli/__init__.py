# SPDX-License-Identifier: Apache-2.0
"""The q8emu command: parse, call the package, print, exit code. Nothing heavy is imported before a command runs.

Exit codes: 0 holds, 1 differs, 2 cannot (one sentence on stderr, no traceback), 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from q8emu.cli.bench import bench
from q8emu.cli.compare_models import compare_models
from q8emu.cli.convert import convert
from q8emu.cli.data import data
from q8emu.cli.diff import diff
from q8emu.cli.draw import draw
from q8emu.cli.evaluate import evaluate
from q8emu.cli.inspect import inspect
from q8emu.cli.models import models
from q8emu.cli.numerics import numerics
from q8emu.cli.quantize import quantize
from q8emu.cli.run import run
from q8emu.cli.verify import verify
from q8emu.errors import Q8Error

TRACEBACK = "Q8EMU_TRACEBACK"
LONGEST = 2000  # characters of a sentence

app = typer.Typer(
    name="q8emu",
    help="A bit-exact golden model of int8 networks. Exit codes: 0 holds, 1 differs, 2 cannot.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data")
app.command()(bench)
app.command()(compare_models)
app.command()(convert)
app.command()(diff)
app.command()(draw)
app.command()(evaluate)
app.command()(inspect)
app.add_typer(models, name="models")
app.add_typer(numerics, name="numerics")
app.command()(quantize)
app.command()(run)
app.command()(verify)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        try:
            typer.echo(f"q8emu {metadata.version('q8emu')}")
        except metadata.PackageNotFoundError:
            typer.echo("q8emu, not installed: run from its sources")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """A bit-exact golden model of int8 networks. Exit codes: 0 holds, 1 differs, 2 cannot."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(exit_code(sys.argv[1:] if arguments is None else arguments))


def exit_code(arguments: Sequence[str]) -> int:
    """Run the command line; every problem is one sentence on stderr."""
    command = typer.main.get_command(app)
    try:
        result = command.main(list(arguments), prog_name="q8emu", standalone_mode=False)
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it flushes at exit
        return 141
    except Exception as problem:  # noqa: BLE001  nobody sees a raw traceback
        return _explain(problem)
    return result if isinstance(result, int) else 0


def _explain(problem: Exception) -> int:
    """The exit code for an exception, after saying in one sentence what happened."""
    if os.environ.get(TRACEBACK):
        import traceback

        traceback.print_exception(problem)
    show = getattr(problem, "show", None)
    if callable(show) and hasattr(problem, "exit_code"):  # what typer raises about the command line itself
        show()
        return 2
    if type(problem).__name__ == "Abort":  # typer's form of an interrupt
        return _say("interrupted", 130)
    if isinstance(problem, Q8Error) or type(problem).__module__.startswith("q8emu."):  # the core has its own type
        return _say(str(problem), 2)
    if isinstance(problem, MemoryError):
        return _say("The machine has not enough memory for this; use fewer inputs or a smaller --batch.", 2)
    if isinstance(problem, OSError):
        return _say(f"{problem.strerror or problem}: '{problem.filename or ''}'.", 2)
    return _say(
        f"{type(problem).__name__} that q8emu should have explained: {problem}. Please report it, with what "
        f"{TRACEBACK}=1 prints.",
        2,
    )


def _say(sentence: str, code: int) -> int:
    line = "".join(c if c.isprintable() else "?" for c in " ".join(sentence.split()))  # files choose some of the words
    print(f"q8emu: {line if len(line) <= LONGEST else f'{line[: LONGEST - 1]}…'}", file=sys.stderr)
    return code
