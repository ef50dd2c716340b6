# SPDX-License-Identifier: Apache-2.0
"""Messages between this machine and an emulated one, over two disks of the emulated one that are files here.

One disk carries requests, the other replies. The first sector of each holds the number and the length of the last
message; the message begins at the second.
"""

from __future__ import annotations

import fcntl
import math
import os
import pickle
import stat
import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 2**27
SECTOR = 512
PAUSE = 0.002
HEADER = struct.Struct("<QQ")
DROP_CACHE = 0x1261  # the ioctl BLKFLSBUF: what the other side wrote is read from the disk again


@dataclass(frozen=True)
class Feeds:
    """Float32 arrays with few different values, in a form that a slow machine reads fast.

    Attributes:
        shapes: of the arrays.
        values: that occur, NaNs and zeros by their bits.
        indices: of the values that the arrays hold, one array after another.
    """

    shapes: list[tuple[int, ...]]
    values: np.ndarray
    indices: np.ndarray

    @classmethod
    def of(cls, arrays: Sequence[np.ndarray]) -> Feeds:
        """The arrays in this form."""
        flat = np.concatenate([np.asarray(array, np.float32).reshape(-1) for array in arrays])
        bits, indices = np.unique(flat.view(np.uint32), return_inverse=True)
        kind = np.min_scalar_type(max(bits.size - 1, 0))
        return cls([array.shape for array in arrays], bits.view(np.float32), indices.astype(kind))

    def arrays(self) -> list[np.ndarray]:
        """The arrays."""
        ends = np.cumsum([prod(shape) for shape in self.shapes])[:-1]
        parts = np.split(self.values[self.indices], ends)
        return [part.reshape(shape) for part, shape in zip(parts, self.shapes, strict=True)]


class Disk:
    """One direction."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR)
        self._first = os.open(path, os.O_RDONLY)
        os.posix_fadvise(self._first, 0, 0, os.POSIX_FADV_RANDOM)  # reads no further than the first sector
        self._is_device = stat.S_ISBLK(os.fstat(self._file).st_mode)

    def close(self) -> None:
        """Let the file go."""
        os.close(self._file)
        os.close(self._first)

    def number(self) -> int:
        """Of the last message; 0 before the first."""
        return self._header()[0]

    def write(self, number: int, message: object) -> None:
        """Put a message there, its number last."""
        content = pickle.dumps(message, protocol=5)
        if len(content) > SIZE - SECTOR:
            raise ValueError(f"a message of {len(content):,} bytes; the disk has {SIZE - SECTOR:,}")
        self._put(content, SECTOR)
        self._put(HEADER.pack(number, len(content)).ljust(SECTOR, b"\0"), 0)

    def wait(self, number: int, seconds: float = math.inf) -> Any:
        """The message of this number, when it is there.

        Raises:
            TimeoutError: it is not there after so many seconds.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found, length = self._header()
            if found == number:
                return pickle.loads(os.pread(self._file, length, SECTOR))
            time.sleep(PAUSE)
        raise TimeoutError(f"no answer within {seconds:.0f} s")

    def _header(self) -> tuple[int, int]:
        if self._is_device:
            fcntl.ioctl(self._file, DROP_CACHE)
        number, length = HEADER.unpack(os.pread(self._first, HEADER.size, 0))
        return number, length

    def _put(self, content: bytes, at: int) -> None:
        written = 0
        while written < len(content):
            written += os.pwrite(self._file, content[written:], at + written)
        if self._is_device:
            os.fsync(self._file)
