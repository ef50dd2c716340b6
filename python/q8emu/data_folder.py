# SPDX-License-Identifier: Apache-2.0
"""Where datasets and downloaded models are: the folder of --data, else of Q8EMU_DATA, else the user's cache."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from q8emu.errors import BadInput

VARIABLE = "Q8EMU_DATA"


def data_folder(given: Path | None) -> tuple[Path, str]:
    """The folder, which need not exist, and what names it.

    Args:
        given: the folder that the user named, or None.

    Raises:
        BadInput: a folder that was named is something else.

    Example:
        >>> data_folder(Path("/tmp"))
        (PosixPath('/tmp'), 'given')
    """
    if given is not None:
        folder, origin = given, "given"
    elif os.environ.get(VARIABLE):
        folder, origin = Path(os.environ[VARIABLE]), VARIABLE
    else:
        folder, origin = cache_folder(), "the user's cache"
    folder = folder.expanduser()
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"'{folder}' ({origin}) is a file; expected the folder of the data.")
    return folder, origin


def cache_folder() -> Path:
    """What `pooch.os_cache("q8emu")` gives: reading needs no pooch."""
    if sys.platform == "darwin":
        return Path("~/Library/Caches/q8emu").expanduser()
    named = os.environ.get("XDG_CACHE_HOME", "")
    return Path(named if os.path.isabs(named) else "~/.cache").expanduser() / "q8emu"  # noqa: PTH117  text, not a path
