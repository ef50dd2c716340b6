# SPDX-License-Identifier: Apache-2.0
"""Batches of CIFAR-10 as Python 2 and an old numpy pickled them, instruction by instruction; and their folder."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from q8emu.datasets import cifar10


class Writer:
    """Protocol 2 of Python 2: strings are SHORT_BINSTRING or BINSTRING, and everything is remembered."""

    def __init__(self) -> None:
        self.made = bytearray(b"\x80\x02")
        self.remembered = 0

    def put(self, instruction: bytes) -> Writer:
        """An instruction whose value is remembered."""
        self.remembered += 1
        number = self.remembered
        self.made += instruction
        self.made += b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<I", number)
        return self

    def add(self, instruction: bytes) -> Writer:
        """One that is not."""
        self.made += instruction
        return self

    def string(self, text: bytes) -> Writer:
        """A str of Python 2."""
        short = len(text) < 256
        return self.put((b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<i", len(text))) + text)

    def number(self, value: int) -> Writer:
        """A small int."""
        return self.add(b"K" + bytes([value]) if value < 256 else b"M" + struct.pack("<H", value))

    def array(self, array: np.ndarray) -> Writer:
        """An array uint8[N, M] as numpy reduced it."""
        self.put(b"cnumpy.core.multiarray\n_reconstruct\n").put(b"cnumpy\nndarray\n").number(0).put(b"\x85")
        self.string(b"b").put(b"\x87").put(b"R").add(b"(").number(1)
        self.number(array.shape[0]).number(array.shape[1]).put(b"\x86")
        self.put(b"cnumpy\ndtype\n").string(b"u1").number(0).number(1).put(b"\x87").put(b"R")
        self.add(b"(").number(3).string(b"|").add(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff").number(0).put(b"t").add(
            b"b"
        )
        return self.add(b"\x89").string(array.tobytes()).put(b"t").add(b"b")

    def names(self, count: int) -> Writer:
        """A list of file names, a thousand at a time."""
        self.put(b"]")
        for start in range(0, count, 1000):
            self.add(b"(")
            for i in range(start, min(start + 1000, count)):
                self.string(b"image_s_%06d.png" % i)
            self.add(b"e")
        return self

    def numbers(self, values: np.ndarray) -> Writer:
        """A list of small ints, a thousand at a time."""
        self.put(b"]")
        for start in range(0, len(values), 1000):
            self.add(b"(" + b"".join(b"K" + bytes([v]) for v in values[start : start + 1000].tolist()) + b"e")
        return self


def batch(images: np.ndarray, labels: np.ndarray, title: str = "training batch 1 of 5") -> bytes:
    """A batch with the entries and their order of the official files.

    Args:
        images: uint8[N, 3, 32, 32].
        labels: uint8[N].
        title: the entry "batch_label".
    """
    w = Writer().put(b"}").add(b"(").string(b"batch_label").string(title.encode()).string(b"labels").numbers(labels)
    w.string(b"data").array(images.reshape(len(images), -1)).string(b"filenames").names(len(images))
    return bytes(w.add(b"u.").made)


def made_images(seed: int, batches: int) -> tuple[np.ndarray, np.ndarray]:
    """Random images, in batches, and labels, each class 1,000 times in a batch."""
    rng = np.random.default_rng(seed)
    images = np.frombuffer(rng.bytes(batches * 10_000 * 3072), np.uint8).reshape(batches, 10_000, 3, 32, 32)
    labels = np.stack([rng.permutation(np.arange(10_000, dtype=np.uint16) % 10) for _ in range(batches)])
    return images, labels.astype(np.uint8)


def write(folder: Path, layout: cifar10.Layout, images: np.ndarray, labels: np.ndarray) -> Path:
    """The folder of a dataset in one of the layouts: images uint8[6, 10000, 3, 32, 32], the last batch for testing."""
    folder.mkdir(parents=True)
    for i, name in enumerate((*layout.train, *layout.test)):
        if layout is cifar10.PYTHON:
            content = batch(images[i], labels[i])
        else:
            content = np.column_stack([labels[i], images[i].reshape(10_000, 3072)]).tobytes()
        (folder / name).write_bytes(content)
    return folder
