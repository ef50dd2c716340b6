# SPDX-License-Identifier: Apache-2.0
"""The measured benchmark table: docs/bench.json, and its rows in Markdown. Imports nothing of what is measured."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent.parent / "docs" / "bench.json"
SCHEMA = "q8emu.bench-table/1"
HEAD = ("measured", "bar", "value", "holds", "spread", "more")


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """A row of the Markdown table."""
    bar = f"{'≤' if row['is_most'] else '≥'} {row['bar']:g} {row['unit']}"
    holds = "yes" if row["holds"] else "**no**" if row["counts"] else "no; the bar is for VNNI"
    return row["what"], bar, f"{row['value']:.3g} {row['unit']}", holds, row["spread"], row["told"]


def line(texts: Sequence[str]) -> str:
    """One line of Markdown."""
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"


def read() -> dict[str, Any]:
    """The file."""
    empty = {"schema": SCHEMA, "machine": {}, "rows": []}
    found: dict[str, Any] = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else empty
    return found


def write(told: Mapping[str, str], measured: Sequence[Mapping[str, Any]]) -> None:
    """Replace the file: one table is one run on one machine."""
    rows = ",\n".join(f"    {json.dumps(row, ensure_ascii=False)}" for row in measured)
    head = json.dumps({"schema": SCHEMA, "machine": told}, ensure_ascii=False, indent=2)[:-2]
    TABLE.write_text(f'{head},\n  "rows": [\n{rows}\n  ]\n}}\n', encoding="utf-8")
