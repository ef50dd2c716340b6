# SPDX-License-Identifier: Apache-2.0
"""Several model files side by side: accuracy against the float baseline, size, exactness, and which one to take.

Every number follows from the files and the images; nothing is timed, so that the same command writes the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from q8emu.errors import BadInput
from q8emu.ptq.exactness import Exactness
from q8emu.ptq.model_file import FLOAT, ModelFile

SCHEMA = "q8emu.compare-models/1"
FLAGGED = 5.0
"""Percentage points below the baseline from which on a drop is flagged."""
WITHIN = 1.0
"""Percentage points below the baseline that a recommended file may have."""


@dataclass(frozen=True)
class ClassCount:
    """One class of one model: how many images, and how many right."""

    name: str
    total: int
    correct: int

    @property
    def percent(self) -> float:
        """100 · correct / total, 0 of nothing."""
        return 100 * self.correct / self.total if self.total else 0.0


@dataclass(frozen=True)
class Entry:
    """One evaluated model.

    Attributes:
        model: the file.
        path: where it is, as it was named.
        backend: what ran it, and the numerics profile where that is q8emu.
        images: what it was evaluated on.
        labels_sha256: of their labels.
        samples: how many images.
        correct: how many right.
        classes: the same by class.
        exact: does q8emu reproduce its bits?
    """

    model: ModelFile
    path: str
    backend: str
    images: str
    labels_sha256: str
    samples: int
    correct: int
    classes: tuple[ClassCount, ...]
    exact: Exactness

    @property
    def percent(self) -> float:
        """100 · correct / samples."""
        return 100 * self.correct / self.samples


@dataclass(frozen=True)
class Comparison:
    """Models in the order in which they were named.

    Attributes:
        entries: the models.
        baseline: index of the float model that the others are compared with; of the most accurate where none is float.
        within: see WITHIN.
        command: that makes it.
    """

    entries: tuple[Entry, ...]
    baseline: int
    within: float
    command: str

    @property
    def base(self) -> Entry:
        """The baseline."""
        return self.entries[self.baseline]

    def delta(self, entry: Entry) -> float:
        """Percentage points above the baseline; negative below."""
        return 100 * (entry.correct - self.base.correct) / entry.samples

    def class_delta(self, entry: Entry, index: int) -> float:
        """The same for one class."""
        return entry.classes[index].percent - self.base.classes[index].percent

    def ratio(self, entry: Entry) -> float:
        """How many times smaller than the baseline the file is."""
        return self.base.model.bytes / entry.model.bytes

    def is_flagged(self, entry: Entry) -> bool:
        """Does it lose more than FLAGGED points?"""
        return self.delta(entry) < -FLAGGED

    def flagged_classes(self, entry: Entry) -> tuple[str, ...]:
        """The classes that lose more than FLAGGED points."""
        return tuple(c.name for i, c in enumerate(entry.classes) if self.class_delta(entry, i) < -FLAGGED)

    @property
    def recommended(self) -> int | None:
        """Index of the file that the rule chooses, None where no file qualifies."""
        fitting = [
            (entry.model.bytes, -entry.correct, i)
            for i, entry in enumerate(self.entries)
            if entry.model.dtype != FLOAT and entry.exact.holds and self.delta(entry) >= -self.within - 1e-9
        ]
        return min(fitting)[2] if fitting else None

    @property
    def rule(self) -> str:
        """How the recommendation follows from the table."""
        points = "point" if self.within == 1 else "points"
        return (
            f"of the quantized files that are at most {self.within:g} percentage {points} below the baseline, and whose "
            "outputs q8emu reproduces bit for bit under the oracle that evaluated them, the smallest; of equally small "
            "ones the most accurate; then the one named first. If none qualifies, the baseline."
        )

    @property
    def recommendation(self) -> str:
        """The choice, with the numbers that it follows from."""
        if self.recommended is None:
            return f"no quantized file qualifies; stay with the baseline, {self.base.model.name}."
        entry = self.entries[self.recommended]
        delta = self.delta(entry)
        away = "as accurate as" if not delta else f"{abs(delta):.2f} points {'below' if delta < 0 else 'above'}"
        return (
            f"{entry.model.name} ({entry.model.framework}, {entry.model.dtype}): {entry.percent:.2f} %, {away} the "
            f"baseline, {entry.model.bytes:,} bytes, {self.ratio(entry):.1f} times smaller, exact under "
            f"{entry.exact.oracle}."
        )

    @property
    def standard_error(self) -> float:
        """Of the baseline's accuracy, in percentage points: 100 · √(p (1 - p) / samples)."""
        share = self.base.correct / self.base.samples
        return 100 * float((share * (1 - share) / self.base.samples) ** 0.5)

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {
            "schema": SCHEMA,
            "command": self.command,
            "images": self.base.images,
            "baseline": self.baseline,
            "standard_error_points": self.standard_error,
            "flagged_below_points": -FLAGGED,
            "models": [
                {
                    "model": entry.model.to_json() | {"path": entry.path},
                    "backend": entry.backend,
                    "samples": entry.samples,
                    "correct": entry.correct,
                    "percent": entry.percent,
                    "delta_points": self.delta(entry),
                    "times_smaller": self.ratio(entry),
                    "is_flagged": self.is_flagged(entry),
                    "flagged_classes": list(self.flagged_classes(entry)),
                    "classes": [asdict(c) | {"percent": c.percent} for c in entry.classes],
                    "exact": asdict(entry.exact),
                }
                for entry in self.entries
            ],
            "rule": self.rule,
            "recommended": self.recommended,
            "recommendation": self.recommendation,
        }


def compare(entries: Sequence[Entry], command: str, baseline: str | None = None, within: float = WITHIN) -> Comparison:
    """Put models side by side.

    Args:
        entries: at least one, all evaluated on the same images.
        command: that makes the document.
        baseline: name of the file to compare with; by default the most accurate float32 one, of all where none is.
        within: see WITHIN.

    Raises:
        BadInput: different images, or no such baseline.
    """
    first = entries[0]
    for entry in entries:
        if (entry.labels_sha256, entry.images) != (first.labels_sha256, first.images):
            raise BadInput(
                f"'{first.model.name}' was evaluated on {first.images} and '{entry.model.name}' on {entry.images}; "
                "expected the same images with the same labels."
            )
    return Comparison(tuple(entries), _baseline(entries, baseline), within, command)


def _baseline(entries: Sequence[Entry], name: str | None) -> int:
    if name is not None:
        named = [i for i, entry in enumerate(entries) if name in (entry.model.name, entry.path)]
        if not named:
            known = ", ".join(entry.model.name for entry in entries)
            raise BadInput(f"--baseline {name}: none of the files is called so; they are {known}.")
        return named[0]
    floats = [i for i, entry in enumerate(entries) if entry.model.dtype == FLOAT]
    return min(floats or range(len(entries)), key=lambda i: (-entries[i].correct, entries[i].model.bytes, i))


def entry_of(found: Mapping[str, Any], exact: Exactness) -> Entry:
    """The entry of one evaluation, from what `Evaluation.to_json` made.

    Raises:
        BadInput: it is no such document.
    """
    try:
        model = {key: found["model"][key] for key in ModelFile.__dataclass_fields__}
        settings = found["settings"]
        told = settings["backend"] + (f" ({settings['numerics']})" if "numerics" in settings else "")
        entry = Entry(
            ModelFile(**model),
            str(found["model"]["path"]),
            told,
            str(settings["images"]),
            str(found["labels_sha256"]),
            int(found["samples"]),
            int(found["correct"]),
            tuple(ClassCount(str(c["name"]), int(c["total"]), int(c["correct"])) for c in found["classes"]),
            exact,
        )
    except (KeyError, TypeError, ValueError) as problem:
        raise BadInput(f"The evaluation is damaged, at {problem}; make it again: q8emu evaluate --json.") from None
    if entry.samples < 1 or entry.model.bytes < 1 or not 0 <= entry.correct <= entry.samples:
        raise BadInput("The evaluation is damaged: its counts contradict each other; run q8emu evaluate --json again.")
    return entry
