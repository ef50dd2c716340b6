# SPDX-License-Identifier: Apache-2.0
"""Calibration samples: which training images, as many of each class from a seed, and the hash of their pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.datasets import cifar10
from q8emu.errors import BadInput

SCHEMA = "q8emu.samples/1"
MINIMUM = 20
"""Per class, at least."""
_LONGEST = 1 << 24  # bytes of a file of samples
_FIELDS: dict[str, type] = {
    "dataset": str,
    "split": str,
    "seed": int,
    "per_class": int,
    "distribution": dict,
    "sha256": str,
    "indices": list,
}


def draw(labels: np.ndarray, *, per_class: int = 100, seed: int = 0) -> np.ndarray:
    """Draw as many images of each class, without replacement.

    Every image gets a 64-bit number from PCG64(seed), whose raw stream is the same in every version of numpy; the
    smallest ones of each class are drawn, so that a larger draw contains a smaller one.

    Args:
        labels: integers [N], the class of each image.
        per_class: at least MINIMUM.
        seed: not negative.

    Returns:
        int64[classes · per_class], ascending indices into `labels`.

    Raises:
        BadInput: too few are asked for, a class has fewer images, or the seed is negative.

    Example:
        >>> labels = np.arange(100) % 2
        >>> drawn = draw(labels, per_class=20, seed=7)
        >>> drawn.size, np.bincount(labels[drawn]).tolist()
        (40, [20, 20])
    """
    if per_class < MINIMUM:
        raise BadInput(f"Calibration needs at least {MINIMUM} images per class, found {per_class}.")
    if seed < 0:
        raise BadInput(f"The seed of the calibration samples is {seed}; expected 0 or more.")
    keys = np.random.PCG64(seed).random_raw(len(labels))
    chosen = []
    for label, available in zip(*np.unique(labels, return_counts=True), strict=True):
        if available < per_class:
            raise BadInput(f"Class {label} has {available:,} images, fewer than the {per_class:,} per class asked for.")
        members = np.flatnonzero(labels == label)
        chosen.append(members[np.argsort(keys[members], kind="stable")[:per_class]])
    return np.sort(np.concatenate(chosen)).astype(np.int64)


@dataclass(frozen=True, eq=False)
class Samples:
    """Which images a calibration sees: indices into the training set of a dataset, and the hash of their pixels.

    Args:
        indices: int64[N], ascending, read-only.
        seed: of the draw.
        per_class: images of each class.
        distribution: class name → images; exactly `per_class` each.
        sha256: of the raw pixels uint8[N, 3, 32, 32] in the order of `indices`.
        split: always "train".
        dataset: always "cifar10".
    """

    indices: np.ndarray
    seed: int
    per_class: int
    distribution: Mapping[str, int]
    sha256: str
    split: str = "train"
    dataset: str = "cifar10"

    @classmethod
    def from_training_set(cls, folder: Path | None, per_class: int = 100, seed: int = 0) -> Samples:
        """Draw from the 50,000 training images of CIFAR-10.

        Args:
            folder: of the dataset; None looks where `datasets.cifar10.find` looks.
            per_class: see draw.
            seed: see draw.

        Raises:
            BadInput: the dataset is absent or damaged, or cannot give so many per class.
        """
        images, labels = cifar10.train_images(folder)
        indices = draw(labels, per_class=per_class, seed=seed)
        indices.setflags(write=False)
        found = _distribution(labels[indices])
        return cls(indices, seed, per_class, _even(found, per_class), _sha256(images[indices]))

    def images(self, folder: Path | None) -> np.ndarray:
        """The pixels uint8[N, 3, 32, 32], raw 0..255, in the order of `indices`.

        Raises:
            BadInput: the dataset is absent, or its images are not those that were drawn.
        """
        return self._read(folder)[0]

    def labels(self, folder: Path | None) -> np.ndarray:
        """The classes uint8[N]; raises as `images` does."""
        return self._read(folder)[1]

    def describe(self) -> str:
        """One line for people: how many, of what, from which seed, and the distribution.

        Example:
            >>> Samples(np.arange(40), 7, 20, {"cat": 20, "dog": 20}, "ab" * 32).describe()
            '40 training images of cifar10, seed 7: cat 20, dog 20; sha256 abababababab…'
        """
        shown = ", ".join(f"{name} {count}" for name, count in self.distribution.items())
        start = f"{len(self.indices):,} training images of {self.dataset}, seed {self.seed}"
        return f"{start}: {shown}; sha256 {self.sha256[:12]}…"

    def as_json(self) -> dict[str, Any]:
        """The record as JSON with its schema; `from_json` reads it back."""
        values = {name: getattr(self, name) for name in _FIELDS}
        return {"schema": SCHEMA, **values, "distribution": dict(self.distribution), "indices": self.indices.tolist()}

    @classmethod
    def from_json(cls, value: Any, where: str = "the samples") -> Samples:
        """The record of a JSON document.

        Raises:
            BadInput: another schema, a field that is missing or of another type, or an uneven distribution.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            found = value.get("schema") if isinstance(value, dict) else type(value).__name__
            raise BadInput(f"{where}: expected JSON of the schema '{SCHEMA}', found {found!r}.")
        for name, kind in _FIELDS.items():
            if type(value.get(name)) is not kind:
                raise BadInput(f"{where}: the field '{name}' has to be of type {kind.__name__}.")
        if (value["dataset"], value["split"]) != ("cifar10", "train"):
            raise BadInput(
                f"{where}: expected the split 'train' of 'cifar10', found '{value['split']}' of '{value['dataset']}'; "
                "test images are for measuring."
            )
        indices = _indices(value["indices"], where)
        distribution = _even(value["distribution"], value["per_class"], where)
        if sum(distribution.values()) != indices.size:
            raise BadInput(
                f"{where}: {indices.size:,} indices, but {sum(distribution.values()):,} in the distribution."
            )
        return cls(indices, value["seed"], value["per_class"], distribution, value["sha256"])

    def save(self, path: Path) -> None:
        """Write the record as JSON, replacing the file."""
        path.write_text(json.dumps(self.as_json(), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Samples:
        """Read what `save` wrote; the pixels are compared with the hash when `images` or `labels` reads them.

        Raises:
            BadInput: the file cannot be read, or is not such a record.
        """
        try:
            if path.stat().st_size > _LONGEST:
                raise BadInput(f"'{path}' has more than {_LONGEST:,} bytes; this is no file of samples.")
            value = json.loads(path.read_text(encoding="utf-8"))
        except OSError as problem:
            raise BadInput(f"The file of samples '{path}' cannot be read: {problem.strerror}.") from problem
        except (ValueError, RecursionError) as problem:
            raise BadInput(f"'{path}' is not JSON ({problem}); expected a file of the schema '{SCHEMA}'.") from problem
        return cls.from_json(value, f"'{path}'")

    def _read(self, folder: Path | None) -> tuple[np.ndarray, np.ndarray]:
        images, labels = cifar10.train_images(folder)
        chosen, classes = images[self.indices], labels[self.indices]
        if _sha256(chosen) != self.sha256 or _distribution(classes) != dict(self.distribution):
            raise BadInput(
                f"The training images in '{cifar10.find(folder)}' are not those that the samples were drawn from: "
                f"expected SHA-256 {self.sha256[:12]}…, found {_sha256(chosen)[:12]}…; see 'q8emu data check'."
            )
        return chosen, classes


def _sha256(images: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(images).data).hexdigest()


def _distribution(labels: np.ndarray) -> dict[str, int]:
    """Class name → images, every class of CIFAR-10."""
    counts = np.bincount(labels, minlength=len(cifar10.CLASSES)).tolist()
    return dict(zip(cifar10.CLASSES, counts, strict=True))


def _even(distribution: dict[str, Any], per_class: int, where: str = "the samples") -> dict[str, int]:
    uneven = [f"{name} {count}" for name, count in distribution.items() if count != per_class]
    if uneven or not distribution or per_class < MINIMUM:
        raise BadInput(
            f"{where}: expected exactly {per_class} images of each class and at least {MINIMUM}, found "
            f"{', '.join(uneven) or f'{per_class} of {len(distribution)} classes'}."
        )
    return distribution


def _indices(values: list[Any], where: str) -> np.ndarray:
    """The indices as int64[N], read-only.

    Raises:
        BadInput: they are not ascending indices of training images.
    """
    limit = cifar10.TRAINING_IMAGES
    if not all(type(v) is int and 0 <= v < limit for v in values) or any(a >= b for a, b in pairwise(values)):
        raise BadInput(f"{where}: expected ascending indices of training images, 0 to {limit - 1}.")
    indices = np.array(values, np.int64)
    indices.setflags(write=False)
    return indices
