# SPDX-License-Identifier: Apache-2.0
"""One batch of CIFAR-10, 10,000 images, from a file of the official Python layout: a pickle, and nothing is unpickled.

The official files are pickles of protocol 2 that Python 2 and an old numpy wrote: a dictionary with the entries "data",
uint8[10000, 3072], and "labels", a list; the same from Python 3 is read too, where bytes are text that is encoded.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from q8emu import unpickle
from q8emu.unpickle import Damaged, Dialect, Global, Object

IMAGES, PIXELS = 10_000, 3 * 32 * 32
"""In a batch, and bytes of an image: planes of red, green and blue."""

LIMIT = 1 << 26
"""Bytes of a file; the official ones have 31 million."""


def read_batch(content: bytes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8[10000, 3, 32, 32] and labels uint8[10000] of a pickled batch.

    Raises:
        Damaged: it is not such a pickle.
        TooLarge: it has more instructions than a pickle may have.
    """
    batch = unpickle.load(content, name, NUMPY)
    if not isinstance(batch, dict):
        raise Damaged(f"a pickle of {_kind(batch)}, expected a dictionary")
    entries = {_text(key): value for key, value in batch.items()}
    missing = [key for key in ("data", "labels") if key not in entries]
    if missing:
        raise Damaged(f"a dictionary without '{missing[0]}'")
    return _pixels(entries["data"]).reshape(IMAGES, 3, 32, 32), _labels(entries["labels"])


def _pixels(value: Any) -> np.ndarray:
    """The array uint8[10000, 3072] that numpy's own description of it stands for."""
    if not isinstance(value, Object) or value.kind != "numpy.ndarray" or not isinstance(value.state, tuple):
        raise Damaged(f"{_kind(value)} as 'data', expected an array")
    if len(value.state) != 5:
        raise Damaged("an array that numpy did not describe")
    _, shape, dtype, columns_first, data = value.state
    if shape != (IMAGES, PIXELS) or not isinstance(dtype, Object) or dtype.kind != "numpy.dtype.u1" or columns_first:
        raise Damaged(f"an array that is not uint8[{IMAGES}, {PIXELS}] row by row")
    raw = _raw(data)
    if len(raw) != IMAGES * PIXELS:
        raise Damaged(f"{len(raw):,} bytes of pixels, expected {IMAGES * PIXELS:,}")
    return np.frombuffer(raw, np.uint8)


def _labels(value: Any) -> np.ndarray:
    if not isinstance(value, list) or len(value) != IMAGES or not all(type(n) is int and 0 <= n <= 9 for n in value):
        raise Damaged(f"'labels' that are not {IMAGES:,} numbers from 0 to 9")
    return np.array(value, np.uint8)


def _raw(value: Any) -> bytes:
    """Bytes; a string of Python 2 has come as text."""
    if isinstance(value, bytes):
        return value
    try:
        return str.encode(value, "latin-1")
    except (TypeError, UnicodeEncodeError) as problem:
        raise Damaged("something else than bytes as pixels") from problem


def _text(key: Any) -> str:
    return key.decode("latin-1") if isinstance(key, bytes) else str(key)


def _kind(value: Any) -> str:
    return f"'{value.kind}'" if isinstance(value, Object) else f"'{type(value).__name__}'"


def _array(kind: Any, *_: Any) -> Object:
    if kind != Global("numpy ndarray"):
        raise Damaged("an array of a class of its own")
    return Object("numpy.ndarray")


def _dtype(code: Any, *_: Any) -> Object:
    return Object(f"numpy.dtype.{_text(code)[:8]}")


def _encoded(text: Any, codec: Any) -> Any:
    """The text itself, which stands for its bytes: a copy for each of many calls would have no bounds."""
    if not isinstance(text, str) or codec != "latin1":
        raise Damaged("bytes in another encoding than latin1")
    return text


NUMPY = Dialect(
    "numpy",
    frozenset("BINBYTES BININT BININT1 BININT2 BINSTRING BINUNICODE SHORT_BINBYTES SHORT_BINSTRING".split()),
    {
        "_codecs encode": _encoded,
        "numpy dtype": _dtype,
        "numpy._core.multiarray _reconstruct": _array,
        "numpy.core.multiarray _reconstruct": _array,
    },
)
