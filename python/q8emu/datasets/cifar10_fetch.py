# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 from its official address: the archive, checked, and the known files out of it."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

from q8emu import download
from q8emu.data_folder import data_folder
from q8emu.datasets import cifar10
from q8emu.errors import BadInput

ARCHIVE = download.Remote(
    "cifar-10-binary.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
    170_052_171,
    "md5:c32a1d4ab5d03f1284b67883e8d87530",
)
MAX_MEMBERS = 64
MAX_BYTES = 1 << 26
"""Of an unpacked file."""


def fetch(folder: Path | None, progress: download.Progress | None = None, pause: float = 1.0) -> cifar10.Checked:
    """Fetch the dataset in the binary layout, unless it is there and whole in one of the layouts, and check it.

    Args:
        folder: of the data; None takes Q8EMU_DATA or the user's cache.
        progress: told about the download.
        pause: seconds between two attempts to connect.

    Raises:
        BackendUnavailable: pooch is missing.
        BadInput: no connection, another archive, or no place for it.
    """
    base, _ = data_folder(folder)
    found = cifar10.look(base)
    if found is not None and (checked := cifar10.compare(*found)).is_whole:
        return checked
    target = _target(base)
    archive = download.fetch(ARCHIVE, target, progress, pause)
    _unpack(archive, target)
    archive.unlink()
    return cifar10.compare(target, cifar10.BINARY)


def _target(base: Path) -> Path:
    """Where the files are in the binary layout, whole or not, or else where they go."""
    binary = cifar10.BINARY
    places = binary.places(base)
    return next((p for p in places if any((p / name).is_file() for name in binary.files)), places[-1])


def _unpack(archive: Path, target: Path) -> None:
    """Write the regular files that have a known name, under that name; no path of the archive is used.

    Raises:
        BadInput: it is no such archive, one of its files is too large, or there is no place for them.
    """
    try:
        with tarfile.open(archive, "r:gz") as opened:
            for number, member in enumerate(opened):
                if number >= MAX_MEMBERS or member.size > MAX_BYTES:
                    raise BadInput(f"'{archive}' has too many files or too large ones for CIFAR-10; delete it.")
                name = member.name.rsplit("/", 1)[-1]
                stream = opened.extractfile(member) if member.isreg() and name in cifar10.BINARY.files else None
                if stream is not None:
                    part = target / f"{name}.part"
                    part.write_bytes(stream.read())
                    part.replace(target / name)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as problem:
        raise BadInput(f"'{archive}' cannot be unpacked: {problem}.") from problem
