# SPDX-License-Identifier: Apache-2.0
"""What is wrong in front of a model, named: pixels in another range or order, labels that mean other classes.

Nothing is guessed from the accuracy alone. A mistake is named when undoing it makes the answers right that were wrong,
by more than chance would: a sign test over the images whose answer changes between right and wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from math import log
from typing import Any

import numpy as np

from q8emu.ptq.classifier import Classifier, Prepare, Progress
from q8emu.ptq.evaluate import Evaluation
from q8emu.ptq.probes import Probe, combined_probes, single_probes
from q8emu.ptq.quantizer import FEWEST_CODES, MOST_CLIPPED, FirstQuantizer, measure
from q8emu.ptq.statistics import best_matching, guessing_bound, log_orders, log_sign_test

CHANCE_LEVEL = 1e-3
"""Guessing gets more than the bound in this share of cases."""
NAMED_BELOW = 1e-6
"""A mistake is named when chance would make undoing it look so good in fewer cases than this."""
SINGLE, COMBINED = 1000, 200  # images that one change, or several at once, are tried on
SPREAD = 0.15  # the most that the predictions' shares of classes may differ from the labels', for shuffled labels
FEWEST = 200  # images for that


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: a word for programs and a sentence for people."""

    name: str
    sentence: str


@dataclass(frozen=True)
class Diagnosis:
    """What looking at data, model and answers found.

    Attributes:
        quantizer: the first of the model and what the data do to it; None where q8emu finds none.
        guessing: the most right answers that guessing gets.
        findings: what is wrong, empty where nothing is.
    """

    quantizer: FirstQuantizer | None
    guessing: int
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps."""
        return {
            "first_quantizer": None if self.quantizer is None else self.quantizer.to_json(),
            "guessing_bound": self.guessing,
            "findings": [asdict(finding) for finding in self.findings],
        }


def diagnose(
    classifier: Classifier,
    evaluation: Evaluation,
    images: np.ndarray,
    prepare: Prepare | None = None,
    *,
    own_data: bool = False,
    progress: Progress | None = None,
) -> Diagnosis:
    """Look for what is wrong in front of a model.

    Args:
        classifier: the model.
        evaluation: what `evaluate` found with the same images.
        images: as for `evaluate`.
        prepare: as for `evaluate`.
        own_data: try changes of the data even where the model is better than guessing?
        progress: called with done, total and what.
    """
    make = prepare or classifier.as_input
    quantizer = measure(classifier.model, (make(images[i : i + SINGLE]) for i in range(0, len(images), SINGLE)))
    shares = evaluation.confusion.sum(1) / evaluation.samples
    bound = guessing_bound(evaluation.samples, float(shares.max()), CHANCE_LEVEL)
    at_chance = evaluation.correct <= bound
    found = [*_about_quantizer(quantizer)]
    if at_chance:
        found.append(_chance(evaluation, bound))
    order = _order(evaluation)
    about_labels = [*_classes(evaluation, order), *_rows(evaluation)]
    found += about_labels
    if (at_chance and not about_labels) or own_data:
        trial = _Trial(classifier, evaluation.predictions, np.array(order)[evaluation.labels], progress)
        about_data = [*_probed(trial, make(images[:SINGLE]), combine=at_chance)]
        found += about_data or [*_shuffled(evaluation, at_chance=at_chance and not about_labels)]
    return Diagnosis(quantizer, bound, tuple(found))


def _about_quantizer(quantizer: FirstQuantizer | None) -> Iterator[Finding]:
    if quantizer is None:
        return
    takes = f"the first quantizer represents {quantizer.low:.4g} to {quantizer.high:.4g}"
    if quantizer.is_too_wide:
        yield Finding(
            "clipping",
            f"{takes}, the data go from {quantizer.data}: {100 * quantizer.clip_rate:.1f} % of the values clip (more "
            f"than {100 * MOST_CLIPPED:.0f} %). The model was calibrated for pixels of another range.",
        )
    if quantizer.is_too_narrow:
        yield Finding(
            "few codes",
            f"{takes}, the data go from {quantizer.data}: they use {quantizer.used} codes where {quantizer.possible} "
            f"could occur (fewer than {100 * FEWEST_CODES:.0f} %). The model was calibrated for pixels of another "
            "range.",
        )


def _chance(evaluation: Evaluation, bound: int) -> Finding:
    n = evaluation.samples
    return Finding(
        "chance",
        f"{evaluation.correct:,} of {n:,} right is chance level: always naming the most frequent class gets up to "
        f"{bound:,} in {100 * (1 - CHANCE_LEVEL):.1f} % of cases (binomial).",
    )


def _order(evaluation: Evaluation) -> list[int]:
    """What the model calls each labelled class: another class only where the labels count in another order.

    The price of having looked at all orders is paid.
    """
    confusion = evaluation.confusion
    matched = best_matching(confusion)
    moved = [(i, j) for i, j in enumerate(matched) if i != j]
    wins, losses = (int(sum(confusion[pair] for pair in pairs)) for pairs in (moved, [(i, i) for i, _ in moved]))
    is_moved = log_sign_test(wins, losses) + log_orders(len(confusion)) < log(NAMED_BELOW)
    return matched if is_moved else list(range(len(confusion)))


def _classes(evaluation: Evaluation, order: Sequence[int]) -> Iterator[Finding]:
    moved = [(i, j) for i, j in enumerate(order) if i != j]
    if moved:
        told = ", ".join(f"{evaluation.classes[i]} is predicted as {evaluation.classes[j]}" for i, j in moved)
        right = int((np.array(order)[evaluation.labels] == evaluation.predictions).sum())
        yield Finding(
            "classes",
            f"the labels count the classes in another order than the model: {told}; matched so, {right:,} of "
            f"{evaluation.samples:,} would be right.",
        )


def _rows(evaluation: Evaluation) -> Iterator[Finding]:
    """Do the labels belong to the next image, or to the one before?"""
    right = evaluation.predictions == evaluation.labels
    for shift, words in ((1, "the image before"), (-1, "the image after")):
        shifted = evaluation.predictions == np.roll(evaluation.labels, -shift)
        if _is_better(shifted, right):
            yield Finding(
                "label rows",
                f"each label belongs to {words} it: shifted by one, {int(shifted.sum()):,} of {evaluation.samples:,} "
                "would be right.",
            )


@dataclass(frozen=True, eq=False)
class _Trial:
    """Changes of the data tried on a classifier, against its predictions without one."""

    classifier: Classifier
    predictions: np.ndarray
    labels: np.ndarray
    progress: Progress | None

    def best(self, inputs: np.ndarray, probes: Iterable[Probe]) -> Finding | None:
        """The change with the most right answers; None where none is better than no change."""
        count, tried = len(inputs), list(probes)
        before = self.predictions[:count] == self.labels[:count]
        found: list[tuple[int, Probe]] = []
        for done, probe in enumerate(tried):
            if self.progress is not None:
                self.progress(done, len(tried), "trying changes of the data")
            scores = self.classifier.run(np.ascontiguousarray(probe.undo(inputs)))
            right = scores.argmax(1) == self.labels[:count]
            if _is_better(right, before):
                found.append((int(right.sum()), probe))
        if not found:
            return None
        correct, probe = max(found, key=lambda pair: pair[0])
        return Finding(
            probe.name,
            f"the data look as if {probe.tells}: changed back, {correct:,} of the first {count:,} are right instead of "
            f"{int(before.sum()):,}.",
        )


def _probed(trial: _Trial, inputs: np.ndarray, *, combine: bool) -> Iterator[Finding]:
    """The best change of the data, if one is better than none; several at once only where none alone is."""
    best = trial.best(inputs, single_probes(inputs))
    if best is None and combine:
        best = trial.best(inputs[:COMBINED], combined_probes(inputs[:COMBINED]))
    if best is not None:
        yield best


def _is_better(right: np.ndarray, before: np.ndarray) -> bool:
    return log_sign_test(int((right & ~before).sum()), int((before & ~right).sum())) < log(NAMED_BELOW)


def _shuffled(evaluation: Evaluation, *, at_chance: bool) -> Iterator[Finding]:
    """Predictions as spread over the classes as the labels are, and yet unrelated to them."""
    if not at_chance or evaluation.samples < FEWEST:
        return
    confusion = evaluation.confusion
    apart = np.abs(confusion.sum(0) - confusion.sum(1)).sum() / (2 * evaluation.samples)
    if apart <= SPREAD:
        yield Finding(
            "shuffled labels",
            "the predictions are spread over the classes as the labels are, but do not follow them: the labels may "
            "belong to other images.",
        )
