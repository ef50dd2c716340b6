# SPDX-License-Identifier: Apache-2.0
"""Npz files whose bytes depend on the arrays and on the zlib that compresses them, and on nothing else."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping

import numpy as np

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip file can name


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """A compressed npz file with the arrays in the given order; numpy.load reads it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array, order="C"), (1, 0), allow_pickle=False)
            info = zipfile.ZipInfo(f"{name}.npy", DATE)
            info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
            archive.writestr(info, member.getvalue(), compresslevel=9)
    return file.getvalue()


def read_npz(data: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz file."""
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def content_sha256(data: bytes) -> str:
    """SHA-256 over names, dtypes, shapes and values of an npz file: the same under every zlib."""
    digest = hashlib.sha256()
    for name, array in read_npz(data).items():
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
