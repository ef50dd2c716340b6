# SPDX-License-Identifier: Apache-2.0
"""q8emu models: fetch trained models that others publish."""

from __future__ import annotations

from typing import Annotated

import typer

from q8emu.cli.options import Data, Json
from q8emu.cli.output import echo_settings, print_json, progress

models = typer.Typer(name="models", help="Fetch published models.", no_args_is_help=True, rich_markup_mode=None)

Name = Annotated[str, typer.Argument(help="The model: resnet8.", metavar="MODEL")]


@models.callback()
def _group() -> None:
    """Fetch published models."""


@models.command()
def fetch(model: Name, data: Data = None, json: Json = False) -> None:
    """Fetch a published model, unless it is there, and check its SHA-256; its path is printed."""
    from q8emu.data_folder import data_folder
    from q8emu.models import checkpoints

    wanted = checkpoints.checkpoint(model)
    folder, origin = data_folder(data)
    echo_settings("models fetch", {"from": wanted.remote.address, "into": f"{folder} ({origin})"})
    with progress() as tell:
        path = checkpoints.fetch(model, data, tell)
    if json:
        shown = {"model": model, "path": str(path), "sha256": wanted.sha256, "licence": wanted.licence}
        print_json({"schema": "q8emu.models/1", **shown, "source": wanted.remote.address})
    else:
        typer.echo(f"{path}\n  {wanted.what}\n  licence {wanted.licence}, sha256 {wanted.sha256}")
