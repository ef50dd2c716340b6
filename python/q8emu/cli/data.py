# SPDX-License-Identifier: Apache-2.0
"""q8emu data: fetch and check datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from q8emu.cli.options import Json
from q8emu.cli.output import print_json, progress

data = typer.Typer(name="data", help="Fetch and check datasets.", no_args_is_help=True, rich_markup_mode=None)

Fetch = Annotated[bool, typer.Option("--fetch", help="Download the official archive (162 MB) first.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Where the dataset is or goes; by default from Q8EMU_CIFAR10.", metavar="DIR"),
]


@data.callback()
def _group() -> None:
    """Fetch and check datasets."""


@data.command()
def cifar10(fetch: Fetch = False, folder: Folder = None, json: Json = False) -> None:
    """Check the CIFAR-10 files by their MD5; exit code 1 when one is missing or differs."""
    from q8emu.datasets import cifar10 as dataset
    from q8emu.errors import BadInput

    if fetch:
        if folder is None:
            raise BadInput("--fetch needs --folder DIR: where should CIFAR-10 go?")
        with progress() as tell:
            dataset.fetch(folder, tell)
    place = dataset.find(folder)
    states = dataset.check(place)
    if json:
        print_json({"schema": "q8emu.data/1", "folder": str(place), "files": states})
    else:
        typer.echo(f"CIFAR-10 in {place}")
        for name, state in states.items():
            typer.echo(f"  {state:8} {name}")
    raise typer.Exit(0 if all(state == "ok" for state in states.values()) else 1)
