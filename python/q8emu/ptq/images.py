# SPDX-License-Identifier: Apache-2.0
"""The labelled images of an evaluation: CIFAR-10's test set, or data of the user's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q8emu.datasets import cifar10
from q8emu.errors import BadInput
from q8emu.ptq.classifier import Classifier, Prepare
from q8emu.ptq.own_data import load_inputs, load_labels

RANGES = ("0..255", "0..1")


@dataclass(frozen=True, eq=False)
class Images:
    """Images, their labels, how they become the model's input, what they are called; are they the user's?"""

    arrays: np.ndarray
    labels: np.ndarray
    prepare: Prepare | None
    source: str
    are_own: bool = False


def choose(
    classifier: Classifier,
    inputs: Path | None = None,
    labels: Path | None = None,
    data: Path | None = None,
    *,
    input_range: str = "0..255",
    limit: int | None = None,
) -> Images:
    """Load what the options name.

    Raises:
        BadInput: options that contradict each other or the model, or files that cannot be read.
    """
    if (inputs is None) != (labels is None):
        raise BadInput("--inputs and --labels belong together: the data, and the class of each.")
    if input_range not in RANGES:
        raise BadInput(f"--input-range {input_range}: expected {' or '.join(RANGES)}.")
    if inputs is not None and labels is not None:
        if input_range != RANGES[0] or data is not None:
            raise BadInput("--inputs are fed as they are; leave --input-range and --data out.")
        own = Images(load_inputs(inputs, classifier.input), load_labels(labels), np.asarray, f"from {inputs}", True)
        return _first(own, limit)
    prepare = None if input_range == RANGES[0] else _unit(classifier)
    arrays, classes = cifar10.test_images(data)
    classifier.as_input(arrays[:1])
    return _first(Images(arrays, classes, prepare, f"CIFAR-10 test images, pixels {input_range}"), limit)


def _first(images: Images, limit: int | None) -> Images:
    if limit is None:
        return images
    if limit > len(images.arrays):
        raise BadInput(f"--limit {limit:,}: there are {len(images.arrays):,} images.")
    return Images(images.arrays[:limit], images.labels[:limit], images.prepare, images.source, images.are_own)


def _unit(classifier: Classifier) -> Prepare:
    """Pixels divided by 255, in float32."""
    if classifier.input.dtype != "float32":
        raise BadInput(
            f"--input-range 0..1: the model takes {classifier.input.dtype}, codes that stand for whatever range it was "
            "calibrated for; leave --input-range out."
        )
    return lambda images: classifier.as_input(images) / np.float32(255)
