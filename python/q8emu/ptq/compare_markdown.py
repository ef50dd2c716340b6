# SPDX-License-Identifier: Apache-2.0
"""A comparison of models as Markdown."""

from __future__ import annotations

from collections.abc import Iterable

from q8emu.ptq.compare_models import FLAGGED, Comparison, Entry


def markdown(found: Comparison) -> str:
    """The whole document: what it is and what makes it, the tables, what is flagged, the rule and its choice."""
    entries = found.entries
    chosen = f"Take {found.recommendation}" if found.recommended is not None else found.recommendation
    parts = [
        "# Comparison of models",
        "Made by a command, not typed; the same command writes the same bytes:",
        f"```text\n{found.command}\n```",
        about(found),
        _table(HEADS, (row(found, i) for i in range(len(entries)))),
        LEGEND,
        "## By class",
        "Percent right; the columns are the numbers of the table above.",
        _table(("class", *(str(i + 1) for i in range(len(entries)))), _classes(found)),
        f"Flagged: {flags(found)}",
        "## Recommendation",
        f"The rule: {found.rule}",
        f"**{chosen[:1].upper()}{chosen[1:]}**",
    ]
    return "\n\n".join(parts) + "\n"


def about(found: Comparison) -> str:
    """The images and what the numbers are worth, in sentences."""
    return (
        f"Images: {found.base.images}. The accuracy of a model on so many has a standard error of "
        f"{found.standard_error:.2f} percentage points. The baseline is {_code(found.base.model.name)}, "
        f"{found.base.model.dtype}."
    )


LEGEND = (
    "Exact: are the scores of the first images the same bits as q8emu's? Flagged (⚠): more than "
    f"{FLAGGED:g} percentage points below the baseline."
)
HEADS = ("#", "file", "framework", "dtype", "run by", "accuracy", "Δ points", "bytes", "size", "exact")


def row(found: Comparison, index: int) -> tuple[str, ...]:
    """The cells of one model, under HEADS."""
    entry = found.entries[index]
    is_base = index == found.baseline
    return (
        str(index + 1),
        _code(entry.model.name),
        entry.model.framework,
        entry.model.dtype,
        entry.backend,
        f"{entry.percent:.2f} %",
        "baseline" if is_base else f"{delta(found, entry)}{' ⚠' if found.is_flagged(entry) else ''}",
        f"{entry.model.bytes:,}",
        "1" if is_base else reduction(found, entry),
        str(entry.exact),
    )


def delta(found: Comparison, entry: Entry) -> str:
    """Points above or below the baseline, with a sign."""
    return signed(found.delta(entry))


def signed(points: float) -> str:
    """Two digits and a sign; a true minus."""
    return f"{points:+.2f}".replace("-", "−") if round(points, 2) else "0.00"


def reduction(found: Comparison, entry: Entry) -> str:
    """The change of the size against the baseline."""
    saved = 100 * (1 - entry.model.bytes / found.base.model.bytes)
    return f"{signed(-saved)[:-3] if abs(saved) >= 0.5 else '0'} % ({found.ratio(entry):.1f}×)"


def flags(found: Comparison) -> str:
    """Every drop beyond the bound, of a model or of one of its classes."""
    told = [f"{_code(e.model.name)} as a whole ({delta(found, e)})" for e in found.entries if found.is_flagged(e)]
    for number, entry in enumerate(found.entries, 1):
        for i, count in enumerate(entry.classes):
            if count.name in found.flagged_classes(entry):
                told.append(f"{count.name} in {number} ({signed(found.class_delta(entry, i))})")
    return "; ".join(told) + "." if told else f"nothing drops by more than {FLAGGED:g} points."


def _classes(found: Comparison) -> Iterable[tuple[str, ...]]:
    for i, count in enumerate(found.base.classes):
        cells = []
        for entry in found.entries:
            mark = " ⚠" if found.class_delta(entry, i) < -FLAGGED else ""
            cells.append(f"{entry.classes[i].percent:.1f}{mark}")
        yield (count.name, *cells)


def _table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(heads)
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in (head, ["---"] * len(head), *rows))


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _code(name: str) -> str:
    return f"`{name.replace('`', '')}`"
