# SPDX-License-Identifier: Apache-2.0
"""The counts of a `q8emu verify --json` report on the picture: per node and oracle, how many elements differ."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from q8emu.draw.dot import text
from q8emu.errors import BadInput

SCHEMA = "q8emu.verify/1"
LARGEST = 2**28  # bytes of a report
# Colours by the worst oracle's share of differing elements.
EQUAL, FEW, MANY, ABSENT = "#B2E2B2", "#FFC9C9", "#FF6B6B", "#FFFFFF"
SHARE = 0.01


class Overlay:
    """Counts by tensor: oracle → (differing, elements)."""

    def __init__(self, counts: dict[str, dict[str, tuple[int, int]]]) -> None:
        self._counts = counts

    def check(self, names: Collection[str]) -> None:
        """Refuse the report of another model.

        Raises:
            BadInput: no tensor of the report is in the graph.
        """
        if not set(names).intersection(self._counts):
            raise BadInput("--overlay: no tensor of the report is in this model; expected a report on the same file.")

    def of(self, outputs: Sequence[str]) -> tuple[list[str], str]:
        """Lines for a node, escaped, and the colour of its head."""
        found = next((self._counts[name] for name in outputs if name in self._counts), None)
        if found is None:
            return ["not compared"], ABSENT
        lines = [text(f"{name}: {n:,} of {size:,} differ", 80) for name, (n, size) in found.items() if n]
        equal = ", ".join(name for name, (differing, _) in found.items() if not differing)
        lines += [text(f"equal: {equal}", 80)] if equal else []
        worst = max(differing / max(elements, 1) for differing, elements in found.values())
        return lines, EQUAL if worst == 0 else FEW if worst < SHARE else MANY

    @property
    def legend(self) -> list[tuple[str, str, str]]:
        """What the colours mean."""
        grey = "#868E96"
        return [
            (EQUAL, grey, "equal in all oracles"),
            (FEW, grey, f"less than {SHARE:.0%} differ"),
            (MANY, grey, f"{SHARE:.0%} or more differ"),
            (ABSENT, grey, "not compared"),
        ]


def read_overlay(path: Path) -> Overlay:
    """Read a report.

    Raises:
        BadInput: there is no such file, or it is not a report of `q8emu verify --json`.
    """
    wanted = f"expected what q8emu verify --json prints ({SCHEMA})"
    if not path.is_file() or path.stat().st_size > LARGEST:
        raise BadInput(f"--overlay: there is no report '{path}', or it is beyond {LARGEST:,} bytes; {wanted}.")
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        if report["schema"] != SCHEMA:
            raise BadInput(f"--overlay: '{path}' has the schema '{report['schema']}'; {wanted}.")
        return Overlay({str(row["tensor"]): _counts(row["oracles"]) for row in report["tensors"]})
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as problem:
        raise BadInput(f"--overlay: '{path}' is no report ({type(problem).__name__}); {wanted}.") from problem


def _counts(oracles: dict[str, Any]) -> dict[str, tuple[int, int]]:
    return {str(name): (int(found["differing"]), int(found["elements"])) for name, found in oracles.items()}
