# SPDX-License-Identifier: Apache-2.0
"""What commands print with: a console, JSON, and progress on stderr when that is a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def console() -> Console:
    """stdout; without colours, styles or wrapping where it is not a terminal."""
    from rich.console import Console

    plain = not sys.stdout.isatty()
    return Console(
        highlight=False, markup=False, emoji=False, no_color=plain or None, force_terminal=False if plain else None
    )


def print_json(value: dict[str, Any]) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def echo_settings(command: str, settings: dict[str, str]) -> None:
    """The resolved settings on stderr, so that stdout stays free."""
    told = "; ".join(f"{key} {value}" for key, value in settings.items())
    print(f"q8emu {command}: {told}", file=sys.stderr)


@contextmanager
def progress() -> Iterator[Callable[[int, int, str], None] | None]:
    """A callback for done, total and what; None where stderr is not a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("starting", total=None)
        yield lambda done, total, what: bar.update(task, completed=done, total=total or None, description=what)
