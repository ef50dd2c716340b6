# SPDX-License-Identifier: Apache-2.0
"""A file that is written whole or not at all: refused before anything is computed, replaced in one step at the end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from q8emu.errors import BadInput


def check_target(target: Path, suffixes: tuple[str, ...], *, force: bool) -> None:
    """Refuse a place that cannot be written to, or must not be.

    Raises:
        BadInput: another suffix, no such folder, or a file that is there without `force`.
    """
    if target.suffix not in suffixes:
        raise BadInput(f"The output is '{target}'; expected a name that ends in {' or '.join(suffixes)}.")
    if not target.absolute().parent.is_dir():
        raise BadInput(f"The folder '{target.parent}' of the output does not exist; make it first.")
    if target.is_dir():
        raise BadInput(f"The output '{target}' is a folder; name a file.")
    if target.exists() and not force:
        raise BadInput(f"'{target}' exists; name another file, or replace it with --force.")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A temporary file beside `target`, with its suffix; it becomes `target` if the block ends without an exception."""
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".q8emu-", suffix=target.suffix, delete=False) as file:
        written = Path(file.name)
    try:
        yield written
        written.chmod(0o666 & ~_umask())
        written.replace(target)
    finally:
        written.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
