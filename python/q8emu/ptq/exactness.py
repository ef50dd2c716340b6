# SPDX-License-Identifier: Apache-2.0
"""Does q8emu reproduce the scores of a model on the runtime that evaluated it, bit for bit?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from q8emu.errors import Q8Error
from q8emu.numerics import PROFILES
from q8emu.ptq.classifier import Q8EMU, Classifier, open_classifier

CHECKED = 100  # images


@dataclass(frozen=True)
class Exactness:
    """The outcome.

    Attributes:
        oracle: the runtime, "" where nothing was compared.
        profile: the numerics profile that promises its bits.
        values: scores compared.
        differing: how many differ.
        why_not: why nothing was compared.
    """

    oracle: str = ""
    profile: str = ""
    values: int = 0
    differing: int = 0
    why_not: str = ""

    @property
    def holds(self) -> bool:
        """Was something compared, and is all of it equal?"""
        return self.values > 0 and self.differing == 0

    def __str__(self) -> str:
        if self.holds:
            return f"exact ({self.oracle})"
        return f"{self.differing:,} of {self.values:,} differ ({self.oracle})" if self.values else self.why_not


def check(classifier: Classifier, images: np.ndarray) -> Exactness:
    """Compare the scores of the first images with q8emu's under the profile that promises them.

    Args:
        classifier: a quantized model on a runtime.
        images: uint8[N, 3, 32, 32].
    """
    if classifier.backend == Q8EMU:
        return Exactness(why_not="evaluated by q8emu")
    profile = next((p.name for p in PROFILES.values() if p.oracle == classifier.backend), None)
    if profile is None:
        return Exactness(why_not=f"no profile promises {classifier.backend}")
    shown = images[:CHECKED]
    try:
        own = open_classifier(Path(classifier.model), Q8EMU, profile, classifier.threads)
        found, expected = own.scores(shown), classifier.scores(shown)
    except Q8Error as problem:
        return Exactness(why_not=f"not emulated: {str(problem)[:200]}")
    if found.dtype != expected.dtype or found.shape != expected.shape:
        return Exactness(classifier.backend, profile, expected.size, expected.size)
    size = expected.itemsize
    same = found.reshape(-1, 1).view(f"u{size}") == expected.reshape(-1, 1).view(f"u{size}")
    return Exactness(classifier.backend, profile, expected.size, int((~same).sum()))
