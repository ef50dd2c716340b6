# SPDX-License-Identifier: Apache-2.0
"""How many images a model gets right: in all, by class, and which classes it confuses."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.datasets import cifar10
from q8emu.errors import BadInput
from q8emu.ptq.classifier import Classifier, Prepare, Progress
from q8emu.ptq.model_file import ModelFile, describe

SCHEMA = "q8emu.evaluate/1"


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a model predicts for labelled images.

    Attributes:
        model: the file.
        path: where it is.
        settings: backend, numerics and the like, in the order in which they are shown.
        classes: their names.
        labels: int64[N], the right classes.
        predictions: int64[N], the classes with the highest score; of equal scores the first counts.
        ties: how many images have more than one highest score.
        seconds: that the model took for all images.
    """

    model: ModelFile
    path: Path
    settings: Mapping[str, str]
    classes: tuple[str, ...]
    labels: np.ndarray
    predictions: np.ndarray
    ties: int
    seconds: float

    @property
    def samples(self) -> int:
        """How many images."""
        return len(self.labels)

    @property
    def correct(self) -> int:
        """How many of them are right."""
        return int((self.labels == self.predictions).sum())

    @property
    def accuracy(self) -> float:
        """correct / samples."""
        return self.correct / self.samples

    @property
    def confusion(self) -> np.ndarray:
        """int64[classes, classes]: images by right class (row) and predicted class (column)."""
        count = len(self.classes)
        found: np.ndarray = np.bincount(self.labels * count + self.predictions, minlength=count * count)
        return found.reshape(count, count)

    @property
    def labels_sha256(self) -> str:
        """SHA-256 of the labels: do two evaluations speak of the same images?"""
        return hashlib.sha256(self.labels.astype("<i8").tobytes()).hexdigest()

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        confusion = self.confusion
        return {
            "schema": SCHEMA,
            "model": self.model.to_json() | {"path": str(self.path)},
            "settings": dict(self.settings),
            "samples": self.samples,
            "correct": self.correct,
            "accuracy": self.accuracy,
            "ties": self.ties,
            "classes": [
                {"name": name, "total": int(row.sum()), "correct": int(row[i]), "accuracy": share(row[i], row.sum())}
                for i, (name, row) in enumerate(zip(self.classes, confusion, strict=True))
            ],
            "confusion": confusion.tolist(),
            "seconds": self.seconds,
            "images_per_second": self.samples / max(self.seconds, 1e-9),
            "labels_sha256": self.labels_sha256,
            "predictions": self.predictions.tolist(),
        }


def share(part: int, whole: int) -> float | None:
    """part / whole, None of nothing."""
    return int(part) / int(whole) if whole else None


def evaluate(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    progress: Progress | None = None,
    prepare: Prepare | None = None,
    source: str = "given arrays",
) -> Evaluation:
    """Run a classifier on labelled images.

    Args:
        classifier: what `open_classifier` returned.
        images: uint8[N, 3, 32, 32]; or whatever `prepare` takes.
        labels: integers [N], from 0.
        progress: called with done, total and what.
        prepare: turns some of the images into the model's input; by default raw pixels in its dtype and layout.
        source: what the images are called.

    Raises:
        BadInput: as many labels as images are needed, each the number of a class.
    """
    if len(images) != len(labels) or not len(labels):
        raise BadInput(f"There are {len(labels):,} labels for {len(images):,} images; expected as many, at least one.")
    start = time.perf_counter()
    scores = classifier.run(images, progress, prepare or classifier.as_input)
    seconds = time.perf_counter() - start
    wanted = labels.astype(np.int64)
    if wanted.min() < 0 or wanted.max() >= scores.shape[1]:
        raise BadInput(
            f"The labels go from {wanted.min()} to {wanted.max()}; the model has {scores.shape[1]} classes, counted "
            "from 0."
        )
    return Evaluation(
        describe(classifier.model),
        classifier.model,
        {"images": f"{len(labels):,}, {source}"} | _settings(classifier),
        class_names(scores.shape[1]),
        wanted,
        scores.argmax(1).astype(np.int64),
        int(((scores == scores.max(1, keepdims=True)).sum(1) > 1).sum()),
        seconds,
    )


def class_names(count: int) -> tuple[str, ...]:
    """Those of CIFAR-10 for ten classes, else numbers."""
    return cifar10.CLASSES if count == len(cifar10.CLASSES) else tuple(f"class {i}" for i in range(count))


def _settings(classifier: Classifier) -> dict[str, str]:
    told = {"backend": classifier.backend, "runtime": classifier.runtime}
    if classifier.numerics is not None:
        told["numerics"] = classifier.numerics
    return told | {
        "input": f"'{classifier.input.name}' {classifier.input}",
        "batch": str(classifier.batch),
        "threads": str(classifier.threads),
    }
