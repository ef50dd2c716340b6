# SPDX-License-Identifier: Apache-2.0
"""Data of the user's own for a classifier: inputs as a pipeline made them, and their labels. Nothing is cast."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from q8emu.errors import BadInput, TooLarge
from q8emu.inputs import InputSpec, load_npz
from q8emu.ptq.classifier import ModelInput

MOST_LABELS = 10**8  # bytes


def load_inputs(path: Path, taken: ModelInput) -> np.ndarray:
    """The one array of an .npz file, whatever its name, in exactly the model's dtype and shape.

    Raises:
        BadInput: the file is absent or damaged, or holds something else.
        TooLarge: it claims more than the limit.
    """
    name = _only_member(path, "inputs")
    if taken.shape is None or None in taken.shape:
        raise BadInput(f"The model file does not say the shape of its input '{taken.name}'; use --backend q8emu.")
    sizes = tuple(size for size in taken.shape if size is not None)
    return load_npz(path, [InputSpec(name, taken.dtype, (1, *sizes), per_sample=True)])[name]


def load_labels(path: Path) -> np.ndarray:
    """The integers [N] of an .npy file, or of an .npz file with one array.

    Raises:
        BadInput: the file is absent or damaged, or holds something else.
    """
    if not path.is_file():
        raise BadInput(f"There is no file '{path}'; expected an .npy or .npz file with the labels.")
    try:
        if zipfile.is_zipfile(path):
            name = _only_member(path, "labels")
            with np.load(path, allow_pickle=False) as file:
                labels = file[name]
        else:
            labels = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, SyntaxError) as problem:
        raise BadInput(
            f"'{path}' is not a readable .npy or .npz file ({problem}); write it with numpy.save."
        ) from problem
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise BadInput(
            f"The labels in '{path}' are {labels.dtype}{list(labels.shape)}; expected integers [N], the number of the "
            "class of each image, from 0."
        )
    result: np.ndarray = labels
    return result


def _only_member(path: Path, what: str) -> str:
    """The name of the only array of an .npz file."""
    if not path.is_file():
        raise BadInput(f"There is no file '{path}'; expected an .npz file with the {what}.")
    try:
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as problem:
        raise BadInput(f"'{path}' is not a readable .npz file ({problem}); write it with numpy.savez.") from problem
    if len(infos) != 1:
        raise BadInput(f"'{path}' holds {len(infos)} arrays; expected one, the {what}.")
    if what == "labels" and infos[0].file_size > MOST_LABELS:
        raise TooLarge(f"'{path}' unpacks to {infos[0].file_size:,} bytes; labels have at most {MOST_LABELS:,}.")
    return infos[0].filename.removesuffix(".npy")
