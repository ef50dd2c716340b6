# SPDX-License-Identifier: Apache-2.0
"""A Keras HDF5 file as its configuration and its weights, read with h5py alone. No Keras runs, and no code of the file.

The file is untrusted: links, virtual and external datasets that lead out of it are refused, and every size is checked
before anything of that size is made.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.errors import BackendUnavailable, BadInput, BadModel, TooLarge

MAGIC = b"\x89HDF\r\n\x1a\n"

MAX_WEIGHTS = 2**28
"""Numbers in all."""

_MOST_PACKED = 1032
"""How many bytes one byte of a compressed file can stand for."""

DAMAGE = (ArithmeticError, AttributeError, LookupError, OSError, RecursionError, RuntimeError, TypeError, ValueError)
"""What h5py and a wrong configuration raise."""


def is_hdf5(path: Path) -> bool:
    """Does the file begin as HDF5? Paths that cannot be read do not."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class KerasFile:
    """An open file: the model's configuration, and the weights of its layers."""

    def __init__(self, path: Path, file: Any) -> None:
        """Take an open h5py.File."""
        self._path, self._file, self._left = path, file, MAX_WEIGHTS

    def config(self) -> dict[str, Any]:
        """The model's configuration.

        Raises:
            BadModel: there is none, or it is no JSON.
        """
        text = self._file.attrs.get("model_config")
        if text is None:
            raise BadModel(
                f"'{self._path}' has no attribute model_config: it holds weights without layers, or is no Keras model; "
                "save the whole model with model.save('model.h5')."
            )
        found = json.loads(text)
        if not isinstance(found, dict):
            raise BadModel(f"'{self._path}': its model_config is no JSON object; save the model again.")
        return found

    def weights(self, layer: str) -> dict[str, np.ndarray]:
        """The weights of a layer by their last name: kernel, bias, gamma and so on, float32.

        Raises:
            BadModel: they are absent, no float32, not finite, or a link out of the file.
            TooLarge: all that were asked for pass the limit.
        """
        root = self._member(self._file, "model_weights") if "model_weights" in self._file else self._file
        group = self._member(root, layer)
        found = {}
        for raw in group.attrs["weight_names"]:
            name = raw.decode() if isinstance(raw, bytes) else str(raw)
            found[name.rpartition("/")[2].partition(":")[0]] = self._numbers(
                self._member(group, name), f"{layer}/{name}"
            )
        return found

    def _member(self, group: Any, path: str) -> Any:
        """What is at a path below a group, step by step: any step may be a link."""
        import h5py

        for name in path.split("/"):
            link = group.get(name, getlink=True) if isinstance(group, h5py.Group) else None
            if link is None:
                raise BadModel(
                    f"'{self._path}' has no '{name}' in '{group.name}'; expected the weights of every layer."
                )
            if not isinstance(link, h5py.HardLink):
                raise BadModel(
                    f"'{self._path}': '{name}' in '{group.name}' is a link to somewhere else; q8emu reads what is in "
                    "the file itself."
                )
            group = group[name]
        return group

    def _numbers(self, data: Any, name: str) -> np.ndarray:
        import h5py

        if not isinstance(data, h5py.Dataset) or data.dtype != np.float32 or data.shape is None:
            kind = getattr(data, "dtype", "a group")
            raise BadModel(f"'{self._path}': the weights '{name}' are {kind}; expected float32 numbers.")
        if data.is_virtual or data.external:
            raise BadModel(f"'{self._path}': the weights '{name}' lie in another file; expected them in this one.")
        if data.nbytes > _MOST_PACKED * data.id.get_storage_size():
            raise BadModel(f"'{self._path}': the weights '{name}' claim {list(data.shape)} numbers and hold fewer.")
        self._left -= prod(data.shape)
        if self._left < 0:
            raise TooLarge(f"'{self._path}' has more than {MAX_WEIGHTS:,} weights, the limit.")
        array: np.ndarray = np.asarray(data[()], "<f4")
        if not np.isfinite(array).all():
            raise BadModel(f"'{self._path}': the weights '{name}' have a value that is not finite.")
        return array


@contextmanager
def open_keras(path: Path) -> Iterator[KerasFile]:
    """Open a file, and say in one sentence what is wrong with it.

    Raises:
        BackendUnavailable: h5py is missing.
        BadInput: there is no such file.
        BadModel: it is damaged, or no Keras model.
    """
    if not path.is_file():
        raise BadInput(f"There is no model file '{path}'; expected the path of a Keras .h5 file.")
    try:
        import h5py
    except ImportError as problem:
        raise BackendUnavailable(
            f"Reading '{path}' takes h5py (pip install 'q8emu[workflow]'), which does not import: {problem}."
        ) from problem
    try:
        with h5py.File(path, "r") as file:
            yield KerasFile(path, file)
    except DAMAGE as problem:
        raise BadModel(
            f"The Keras file '{path.name}' is damaged, or not one that model.save('model.h5') wrote: it has something "
            f"of the wrong kind ({type(problem).__name__}: {problem}). Save it again."
        ) from problem
