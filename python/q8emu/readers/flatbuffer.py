# SPDX-License-Identifier: Apache-2.0
"""Tables of a FlatBuffers file, read in place: every offset and length is checked before it is followed.

The format in short: a table begins with the distance back to its vtable; the vtable holds its own size, the size of the
table, and for each field number where in the table the field is, 0 for an absent one. A field is a number, or the
distance forward to a string, a vector or another table.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from q8emu.errors import BadModel, TooLarge

MAX_ITEMS = 2**20
"""Most tables that one vector may list."""

_VTABLE_HEAD = 4  # bytes: its own size and the size of the table


class Damaged(BadModel):
    """An offset or a length that points outside the file."""


class Table:
    """One table: fields by number, absent ones with the default that the schema gives."""

    def __init__(self, data: bytes, at: int) -> None:
        """Find the vtable.

        Raises:
            Damaged: the table or its vtable is not inside the file.
        """
        self._data, self._at = data, at
        self._vtable = at - self._number("<i", at)
        size = self._number("<H", self._vtable)
        if size < _VTABLE_HEAD or size % 2 or self._vtable + size > len(data):
            raise Damaged(f"a vtable of {size} bytes at {self._vtable} in a file of {len(data)} bytes")
        self._fields = (size - _VTABLE_HEAD) // 2
        self._size = self._number("<H", self._vtable + 2)

    def integer(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A number; `kind` is its struct code: b int8, B uint8, i int32, I uint32, Q uint64, ? bool."""
        at = self._place(field)
        return default if at is None else int(self._number(f"<{kind}", at))

    def real(self, field: int, default: float = 0.0) -> float:
        """A float32."""
        at = self._place(field)
        return default if at is None else float(self._number("<f", at))

    def text(self, field: int) -> str:
        """A string, "" for an absent one.

        Raises:
            Damaged: it is not UTF-8.
        """
        try:
            return self.array(field, np.dtype(np.uint8)).tobytes().decode()
        except UnicodeDecodeError as error:
            raise Damaged("a string that is not UTF-8") from error

    def table(self, field: int) -> Table | None:
        """A table, None for an absent one."""
        at = self._place(field)
        return None if at is None else Table(self._data, self._follow(at))

    def tables(self, field: int) -> list[Table]:
        """A vector of tables, empty for an absent one."""
        return self._each(field, lambda at: Table(self._data, self._follow(at)))

    def array(self, field: int, dtype: np.dtype) -> np.ndarray:
        """A vector of numbers, little-endian in the file; read-only, not copied."""
        start, length = self._vector(field, dtype.itemsize)
        return np.frombuffer(self._data, dtype.newbyteorder("<"), length, start) if length else np.zeros(0, dtype)

    def has(self, field: int) -> bool:
        """Is the field there?"""
        return self._place(field) is not None

    def _each(self, field: int, read: Callable[[int], Table]) -> list[Table]:
        start, length = self._vector(field, 4)
        if length > MAX_ITEMS:
            raise TooLarge(f"The model lists {length} things of one kind; the limit is {MAX_ITEMS}.")
        return [read(start + 4 * i) for i in range(length)]

    def _vector(self, field: int, itemsize: int) -> tuple[int, int]:
        """Where a vector's first item is, and how many items it has."""
        at = self._place(field)
        if at is None:
            return 0, 0
        head = self._follow(at)
        length = int(self._number("<I", head))
        if head + 4 + length * itemsize > len(self._data):
            raise Damaged(f"a vector of {length} items at {head} in a file of {len(self._data)} bytes")
        return head + 4, length

    def _place(self, field: int) -> int | None:
        """Where a field is in the file, None for an absent one."""
        if field >= self._fields:
            return None
        offset = self._number("<H", self._vtable + _VTABLE_HEAD + 2 * field)
        if offset >= self._size and offset:
            raise Damaged(f"field {field} at {offset} of a table of {self._size} bytes")
        return self._at + offset if offset else None

    def _follow(self, at: int) -> int:
        return at + int(self._number("<I", at))

    def _number(self, kind: str, at: int) -> int:
        if at < 0 or at + struct.calcsize(kind) > len(self._data):
            raise Damaged(f"a value at {at} in a file of {len(self._data)} bytes")
        value: int = struct.unpack_from(kind, self._data, at)[0]
        return value


def root(data: bytes) -> Table:
    """The table that a file begins with.

    Raises:
        Damaged: it is not inside the file.
    """
    if len(data) < 8:
        raise Damaged(f"a file of {len(data)} bytes")
    return Table(data, int(struct.unpack_from("<I", data)[0]))
