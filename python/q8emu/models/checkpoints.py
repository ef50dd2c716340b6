# SPDX-License-Identifier: Apache-2.0
"""Trained models that others publish: their address, their checksum, and where they are on this machine."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from q8emu import download
from q8emu.data_folder import VARIABLE, data_folder
from q8emu.errors import BadInput

_TINY = "https://raw.githubusercontent.com/mlcommons/tiny/1afd2c9820f795965a6134facd0b4dfae41ef23f/benchmark/training"


@dataclass(frozen=True)
class Checkpoint:
    """A published model.

    Args:
        remote: the file; its checksum is a SHA-256.
        folder: of the file, below the folder of the data.
        licence: under which it is published.
        what: it is, in a few words.
    """

    remote: download.Remote
    folder: str
    licence: str
    what: str

    @property
    def sha256(self) -> str:
        """Of the file."""
        return self.remote.checksum.removeprefix("sha256:")


CHECKPOINTS = {
    "resnet8": Checkpoint(
        download.Remote(
            "pretrainedResnet.h5",
            f"{_TINY}/image_classification/trained_models/pretrainedResnet.h5",
            1_116_712,
            "sha256:5f938a8eea605438cc7360aa13c987bc6d7bd0c8d931b2917361ae7ae4eeda2f",
        ),
        "mlperf_tiny/ic",
        "Apache-2.0",
        "ResNet8 of MLPerf Tiny for CIFAR-10, a Keras file in float32",
    )
}


def checkpoint(name: str) -> Checkpoint:
    """A published model by its name here.

    Raises:
        BadInput: there is none of this name.
    """
    if name not in CHECKPOINTS:
        raise BadInput(f"There is no published model '{name}'; known models: {', '.join(sorted(CHECKPOINTS))}.")
    return CHECKPOINTS[name]


def fetch(name: str, folder: Path | None, progress: download.Progress | None = None, pause: float = 1.0) -> Path:
    """The path of the model, downloaded unless it is there with the right SHA-256.

    Args:
        name: in CHECKPOINTS.
        folder: of the data; None takes Q8EMU_DATA or the user's cache.
        progress: told about the download.
        pause: seconds between two attempts to connect.

    Raises:
        BackendUnavailable: pooch is missing.
        BadInput: no such model, no connection, another file, or no place for it.
    """
    wanted = checkpoint(name)
    return download.fetch(wanted.remote, data_folder(folder)[0] / wanted.folder, progress, pause)


def find(name: str, folder: Path | None) -> Path:
    """The path of the model on this machine, its SHA-256 compared.

    Raises:
        BadInput: it is absent, or another file; says how to get it.
    """
    wanted = checkpoint(name)
    base, origin = data_folder(folder)
    for path in (base / wanted.folder / wanted.remote.name, base / wanted.remote.name):
        if path.is_file():
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found == wanted.sha256:
                return path
            raise BadInput(
                f"'{path}' is not the published '{name}': SHA-256 {wanted.sha256} expected, {found} found; "
                f"'q8emu models fetch {name}' replaces it."
            )
    raise BadInput(
        f"The model '{name}' is not in '{base}' ({origin}); fetch it with 'q8emu models fetch {name}', or name its "
        f"folder with --data DIR or {VARIABLE}=DIR."
    )
