# SPDX-License-Identifier: Apache-2.0
"""q8emu data: fetch and check datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from q8emu.cli.options import Data, Json
from q8emu.cli.output import echo_settings, print_json, progress

if TYPE_CHECKING:
    from q8emu.datasets.cifar10 import Checked

data = typer.Typer(name="data", help="Fetch and check datasets.", no_args_is_help=True, rich_markup_mode=None)

DATASETS = ("cifar10",)
Dataset = Annotated[str, typer.Argument(help="The dataset: cifar10.", metavar="DATASET")]
Folder = Annotated[
    Path | None,
    typer.Argument(help="Folder of the data; by default Q8EMU_DATA, else the user's cache.", metavar="DIR"),
]


@data.callback()
def _group() -> None:
    """Fetch and check datasets."""


@data.command()
def fetch(dataset: Dataset, data: Data = None, json: Json = False) -> None:
    """Fetch a dataset from its official address, go on where an earlier attempt stopped, and check its files.

    Nothing is fetched where every file is there already. 0: all files are the official ones. 1: one is not.
    """
    from q8emu.data_folder import data_folder
    from q8emu.datasets import cifar10_fetch
    from q8emu.errors import BadInput

    if dataset not in DATASETS:
        raise BadInput(f"There is no dataset '{dataset}'; known datasets: {', '.join(DATASETS)}.")
    folder, origin = data_folder(data)
    echo_settings("data fetch", {"from": cifar10_fetch.ARCHIVE.address, "into": f"{folder} ({origin})"})
    with progress() as tell:
        found = cifar10_fetch.fetch(data, tell)
    _show(found, json)


@data.command()
def check(folder: Folder = None, json: Json = False) -> None:
    """Check every official file of CIFAR-10 by size and MD5; exit code 1 when one is missing, short or differs."""
    from q8emu.data_folder import data_folder
    from q8emu.datasets import cifar10

    found = cifar10.check(folder)
    echo_settings("data check", {"folder": "{} ({})".format(*data_folder(folder))})
    if not found.is_whole:
        option = "" if folder is None else f" --data {folder}"
        typer.echo(f"q8emu data check: 'q8emu data fetch cifar10{option}' fetches what is not ok", err=True)
    _show(found, json)


def _show(found: Checked, json: bool) -> None:
    if json:
        shown = {"dataset": "cifar10", "folder": str(found.folder), "layout": found.layout, "files": dict(found.files)}
        print_json({"schema": "q8emu.data/1", **shown})
    else:
        typer.echo(f"CIFAR-10, {found.layout} layout, in {found.folder}")
        for name, state in found.files.items():
            typer.echo(f"  {state:8} {name}")
    raise typer.Exit(0 if found.is_whole else 1)
