# SPDX-License-Identifier: Apache-2.0
"""q8emu numerics: the profiles, one of them in full, and the check of an own chip's file."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from q8emu.cli.options import Json
from q8emu.cli.output import print_json

if TYPE_CHECKING:
    from q8emu.numerics import Numerics

numerics = typer.Typer(
    name="numerics", help="Numerics profiles, and own chips.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="A built-in profile, or the .toml file of an own chip.", metavar="NAME")]
File = Annotated[Path, typer.Argument(help="The .toml file of an own chip.", metavar="FILE")]


@numerics.callback()
def _group() -> None:
    """Numerics profiles, and own chips."""


@numerics.command(name="list")
def list_profiles(json: Json = False) -> None:
    """List the built-in profiles: the name, the oracle whose bits it promises, what it reproduces."""
    from q8emu.numerics import PROFILES

    rows = [PROFILES[name] for name in sorted(PROFILES)]
    if json:
        shown = [{"name": p.name, "oracle": p.oracle or None, "reproduces": p.reproduces} for p in rows]
        print_json({"schema": "q8emu.numerics/1", "profiles": shown})
        return
    wide, oracle = (max(len(text) for text in texts) for texts in zip(*((p.name, p.oracle) for p in rows), strict=True))
    for p in rows:
        typer.echo(f"{p.name:{wide}}  {p.oracle or '-':{oracle}}  {p.reproduces}")


@numerics.command()
def show(name: Name, json: Json = False) -> None:
    """Show every decision of a profile, as the TOML file of an own chip with the same arithmetic."""
    from q8emu.numerics.toml import to_toml
    from q8emu.profile import find_profile

    found = find_profile(name)
    if json:
        print_json(_described(found))
    else:
        typer.echo(to_toml(found), nl=False)


@numerics.command()
def check(file: File, json: Json = False) -> None:
    """Check the file of an own chip; exit code 2 and one sentence where a field is wrong."""
    from q8emu.numerics import PROFILES
    from q8emu.numerics.toml import read_profile
    from q8emu.ops import OPS

    found = read_profile(file, PROFILES, tuple(OPS))
    if json:
        print_json(_described(found))
    else:
        typer.echo(f"{file}: holds; profile '{found.name}', sha256 {found.digest}")


def _described(found: Numerics) -> dict[str, Any]:
    fields = asdict(found) | {"overrides": {op: dict(own) for op, own in found.overrides}}
    return {"schema": "q8emu.numerics/1", "sha256": found.digest, **fields}
