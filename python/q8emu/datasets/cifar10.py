# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 in its official binary layout: one label byte and 3072 bytes of RGB planes per image (Krizhevsky, 2009)."""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np

from q8emu.errors import BadInput

ADDRESS = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
ARCHIVE_MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
VARIABLE = "Q8EMU_CIFAR10"
FILES = {
    "batches.meta.txt": "40a0b180e208fe03a63ecc891b2555ad",
    "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
    "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
    "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
    "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
    "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
    "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
}
FOLDER = "cifar-10-batches-bin"
CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAIN = tuple(name for name in FILES if name.startswith("data_batch"))
TEST = ("test_batch.bin",)
IMAGES_PER_FILE = 10_000
_FILE_BYTES = IMAGES_PER_FILE * (1 + 3 * 32 * 32)
_LIMIT = 1 << 28  # bytes of the download, and of each unpacked file


def find(folder: Path | None) -> Path:
    """The folder with the .bin files: the given one, or the one that the environment names.

    Raises:
        BadInput: there is none; says how to get it.
    """
    named = folder or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    how = f"fetch it with 'q8emu data cifar10 --fetch --folder DIR' and name it with --data DIR or {VARIABLE}=DIR"
    if named is None:
        raise BadInput(f"CIFAR-10 is not on this machine as far as q8emu knows; {how}.")
    for place in (named, named / FOLDER):
        if (place / TEST[0]).is_file():
            return place
    raise BadInput(f"CIFAR-10: '{named}' holds no {TEST[0]}; {how}.")


def test_images(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The 10,000 test images uint8[N, 3, 32, 32] and their labels uint8[N]."""
    return read(find(folder), TEST)


def train_images(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The 50,000 training images uint8[N, 3, 32, 32] and their labels uint8[N]."""
    return read(find(folder), TRAIN)


def read(folder: Path, files: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of some of the .bin files.

    Raises:
        BadInput: a file is absent or has another length.
    """
    parts = []
    for name in files:
        try:
            raw = np.fromfile(folder / name, np.uint8)
        except OSError as problem:
            raise BadInput(f"CIFAR-10: cannot read '{folder / name}' ({problem.strerror}).") from problem
        if raw.size != _FILE_BYTES:
            raise BadInput(f"CIFAR-10: '{folder / name}' has {raw.size:,} bytes, expected {_FILE_BYTES:,}.")
        parts.append(raw.reshape(IMAGES_PER_FILE, -1))
    rows = np.concatenate(parts)
    return rows[:, 1:].reshape(-1, 3, 32, 32).copy(), rows[:, 0].copy()


def check(folder: Path) -> dict[str, str]:
    """Each official file mapped to "ok", "missing" or "differs" by its MD5."""
    return {name: _state(folder / name, md5) for name, md5 in FILES.items()}


def fetch(folder: Path, progress: Callable[[int, int, str], None] | None = None) -> Path:
    """Download the official archive, check it, and unpack the known files below `folder`.

    Raises:
        BadInput: no connection, or the archive is not the official one.
    """
    target = folder / FOLDER
    try:
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            _download(file, progress)
            file.seek(0)
            _unpack(file, target)
    except (OSError, tarfile.TarError) as problem:
        raise BadInput(f"CIFAR-10 could not be fetched from {ADDRESS} into '{folder}': {problem}.") from problem
    return target


def _download(file: IO[bytes], progress: Callable[[int, int, str], None] | None) -> None:
    digest = hashlib.md5(usedforsecurity=False)
    with urllib.request.urlopen(ADDRESS, timeout=60) as answer:  # a constant https address
        total, done = int(answer.headers.get("Content-Length") or 0), 0
        while block := answer.read(1 << 20):
            done += len(block)
            if done > _LIMIT:
                raise BadInput(f"CIFAR-10: {ADDRESS} sends more than {_LIMIT:,} bytes; this is not the archive.")
            digest.update(block)
            file.write(block)
            if progress is not None:
                progress(done, total, "fetching CIFAR-10")
    if digest.hexdigest() != ARCHIVE_MD5:
        raise BadInput(
            f"CIFAR-10: the archive has MD5 {digest.hexdigest()}, expected {ARCHIVE_MD5}; nothing was unpacked."
        )


def _unpack(file: IO[bytes], target: Path) -> None:
    """Only regular files with a known name are written, under that name; no path of the archive is used."""
    with tarfile.open(fileobj=file, mode="r:gz") as archive:
        for member in archive:
            name = member.name.rsplit("/", 1)[-1]
            stream = archive.extractfile(member) if member.isreg() and name in FILES and member.size < _LIMIT else None
            if stream is not None:
                (target / name).write_bytes(stream.read())


def _state(path: Path, md5: str) -> str:
    if not path.is_file():
        return "missing"
    found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    return "ok" if found == md5 else "differs"
