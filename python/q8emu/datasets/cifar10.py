# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 (Krizhevsky, 2009) in its official binary or Python layout: where it is, its images, whether it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q8emu.data_folder import VARIABLE, data_folder
from q8emu.datasets.cifar10_batch import IMAGES, LIMIT, PIXELS, read_batch
from q8emu.errors import BadInput
from q8emu.unpickle import Damaged

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
TRAINING_IMAGES = 50_000
FOLDER = "cifar10"
"""Below the folder of the data, where `fetch` puts it."""


@dataclass(frozen=True)
class Official:
    """What an official file is.

    Args:
        size: in bytes.
        md5: of its content; "" where the words in it, the names of the classes, are compared.
    """

    size: int
    md5: str


@dataclass(frozen=True)
class Layout:
    """One of the two forms in which the dataset is published.

    Args:
        name: of the layout.
        folder: its name in the official archive.
        train: names of the files of the training set, in order.
        test: the same of the test set.
        files: every file; those of no set hold names only.
        read: images and labels of a file's content.
    """

    name: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    files: Mapping[str, Official]
    read: Callable[[bytes, str], tuple[np.ndarray, np.ndarray]]

    def places(self, folder: Path) -> tuple[Path, ...]:
        """Where the files may be, seen from the folder of the data."""
        return folder, folder / self.folder, folder / FOLDER / self.folder


def _read_binary(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """One label byte and 3072 bytes of planes per image."""
    if len(content) != IMAGES * (1 + PIXELS):
        raise Damaged(f"{len(content):,} bytes, expected {IMAGES * (1 + PIXELS):,}")
    rows = np.frombuffer(content, np.uint8).reshape(IMAGES, 1 + PIXELS)
    if rows[:, 0].max() >= len(CLASSES):
        raise Damaged(f"an image of class {rows[:, 0].max()}, expected 0 to {len(CLASSES) - 1}")
    return rows[:, 1:].reshape(IMAGES, 3, 32, 32), rows[:, 0]


BINARY = Layout(
    "binary",
    "cifar-10-batches-bin",
    tuple(f"data_batch_{n}.bin" for n in range(1, 6)),
    ("test_batch.bin",),
    {
        "batches.meta.txt": Official(60, ""),  # copies differ in empty lines at the end
        "data_batch_1.bin": Official(30_730_000, "5dd7e06a14cb22eb9f671a540d1b7c25"),
        "data_batch_2.bin": Official(30_730_000, "5ea93a67294ea407fff1d09f752e9692"),
        "data_batch_3.bin": Official(30_730_000, "942cd6a4bcdd0dd3c604fbe906cb4421"),
        "data_batch_4.bin": Official(30_730_000, "ae636b3ba5c66a11e91e8cb52e771fcb"),
        "data_batch_5.bin": Official(30_730_000, "53f37980c15c3d472c316c40844f3f0d"),
        "test_batch.bin": Official(30_730_000, "803d5f7f4d78ea53de84dbe85f74fb6d"),
    },
    _read_binary,
)
PYTHON = Layout(
    "python",
    "cifar-10-batches-py",
    tuple(f"data_batch_{n}" for n in range(1, 6)),
    ("test_batch",),
    {
        "batches.meta": Official(158, "5ff9c542aee3614f3951f8cda6e48888"),
        "data_batch_1": Official(31_035_704, "c99cafc152244af753f735de768cd75f"),
        "data_batch_2": Official(31_035_320, "d4bba439e000b95fd0a9bffe97cbabec"),
        "data_batch_3": Official(31_035_999, "54ebc095f3ab1f0389bbae665268c751"),
        "data_batch_4": Official(31_035_696, "634d18415352ddfa80567beed471001a"),
        "data_batch_5": Official(31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb"),
        "test_batch": Official(31_035_526, "40351d587109b95175f43aff81a1287e"),
    },
    read_batch,
)
LAYOUTS = (BINARY, PYTHON)
"""In the order in which they are looked for; the MD5s of the Python files are those that torchvision checks."""


def find(folder: Path | None) -> Path:
    """The folder with the files: the given one or one below it; without one, Q8EMU_DATA or the user's cache.

    Raises:
        BadInput: there is none; says how to get it.
    """
    return locate(folder)[0]


def locate(folder: Path | None) -> tuple[Path, Layout]:
    """The folder with the files, as `find` gives it, and their layout."""
    base, origin = data_folder(folder)
    found = look(base)
    if found is None:
        raise BadInput(
            f"CIFAR-10 is not in '{base}' ({origin}); fetch it with 'q8emu data fetch cifar10', or name its folder "
            f"with --data DIR or {VARIABLE}=DIR."
        )
    return found


def look(base: Path) -> tuple[Path, Layout] | None:
    """The first place that has a file of images, seen from the folder of the data, and its layout."""
    for layout in LAYOUTS:
        for place in layout.places(base):
            if any((place / name).is_file() for name in (*layout.train, *layout.test)):
                return place, layout
    return None


def test_images(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The 10,000 test images uint8[N, 3, 32, 32] and their labels uint8[N].

    Raises:
        BadInput: the dataset is absent, or a file is absent or damaged.
    """
    place, layout = locate(folder)
    return _read(place, layout, layout.test)


def train_images(folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """The 50,000 training images uint8[N, 3, 32, 32] and their labels uint8[N]; raises as `test_images` does."""
    place, layout = locate(folder)
    return _read(place, layout, layout.train)


def _read(place: Path, layout: Layout, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    images = np.empty((len(names), IMAGES, 3, 32, 32), np.uint8)
    labels = np.empty((len(names), IMAGES), np.uint8)
    for i, name in enumerate(names):
        path = place / name
        try:
            with path.open("rb") as file:
                images[i], labels[i] = layout.read(file.read(LIMIT), name)
        except OSError as problem:
            raise BadInput(f"CIFAR-10: cannot read '{path}' ({problem.strerror}); {_REMEDY}.") from problem
        except Damaged as problem:
            raise BadInput(f"CIFAR-10: '{path}' has {problem}; {_REMEDY}.") from problem
    return images.reshape(-1, 3, 32, 32), labels.reshape(-1)


_REMEDY = "'q8emu data check' looks at every file, and 'q8emu data fetch cifar10' fetches them"


@dataclass(frozen=True)
class Checked:
    """What a check found.

    Args:
        folder: of the files.
        layout: "binary" or "python".
        files: name → "ok", "missing", "short" or "differs", every official file.
    """

    folder: Path
    layout: str
    files: Mapping[str, str]

    @property
    def is_whole(self) -> bool:
        """Is every file the official one?"""
        return all(state == "ok" for state in self.files.values())


def check(folder: Path | None) -> Checked:
    """Compare every official file by size and MD5; where there is none at all, all are missing.

    Raises:
        BadInput: the folder that was named does not exist.
    """
    base, _ = data_folder(folder)
    if folder is not None and not base.is_dir():
        raise BadInput(f"There is no folder '{base}'; expected one that holds CIFAR-10.")
    return compare(*(look(base) or (BINARY.places(base)[-1], BINARY)))


def compare(place: Path, layout: Layout) -> Checked:
    """Compare the files in exactly this folder."""
    return Checked(place, layout.name, {name: _state(place / name, file) for name, file in layout.files.items()})


def _state(path: Path, official: Official) -> str:
    if not path.is_file():
        return "missing"
    with path.open("rb") as file:
        if not official.md5:
            is_same = tuple(file.read(LIMIT).decode("latin-1").split()) == CLASSES
        else:
            is_same = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == official.md5
    if is_same:
        return "ok"
    return "short" if path.stat().st_size < official.size else "differs"
