# SPDX-License-Identifier: Apache-2.0
"""A report as text: settings and fingerprint first, one table in graph order, first divergences, verdicts.

On a terminal long names are shortened in the middle; anywhere else every name is whole and every row is one line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from q8emu.report import RULE, Report
from q8emu.result import DIFFERS, HISTOGRAM_END, NO_VERDICT, OracleResult, TensorResult

_STYLES = {DIFFERS: "bold red", NO_VERDICT: "bold yellow"}
_SHORTEST_NAME = 24


def show(report: Report, console: Console) -> None:
    """Print the whole report."""
    facts(console, report.settings, "settings")
    facts(console, report.fingerprint, "fingerprint")
    for oracle in report.oracles:
        _show_provenance(oracle, console)
    _show_tensors(report, console)
    _show_host_nodes(report, console)
    for oracle in report.oracles:
        _show_divergence(oracle, console)
    _show_verdicts(report, console)


def shorten(name: str, width: int) -> str:
    """The name with its middle left out when it is longer than `width`."""
    if len(name) <= width:
        return name
    tail = (width - 1) // 3
    return f"{name[: width - 1 - tail]}…{name[len(name) - tail :]}"


def facts(console: Console, pairs: Mapping[str, str], title: str) -> None:
    """Key and value, one per line; long values wrap on a terminal only."""
    line(console, title, "bold")
    if not console.is_terminal:
        for key, value in pairs.items():
            line(console, f"  {key}: {value}")
        return
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in pairs.items():
        table.add_row(Text(f"  {key}"), Text(value))
    console.print(table)


def line(console: Console, text: str, style: str = "") -> None:
    """One paragraph; whole where the output is not a terminal."""
    console.print(Text(text, style=style), soft_wrap=not console.is_terminal)


def _show_provenance(oracle: OracleResult, console: Console) -> None:
    if oracle.provenance:
        kept = {k: v for k, v in oracle.provenance.items() if k not in ("cpu", "platform")}
        counts = Counter(oracle.float_nodes.values())
        floats = ", ".join(f"{counts[op]} {op}" for op in sorted(counts))
        told = f"{floats}, marked f in the table" if floats else "none of the integer operators"
        facts(console, kept | {"in float": told}, f"oracle {oracle.oracle}")


def _show_tensors(report: Report, console: Console) -> None:
    rows = report.rows()
    if not rows:
        return
    names = [oracle.oracle for oracle in report.oracles if oracle.tensors or oracle.outputs]
    cells = [_cells(report, row, results, names) for row, results in rows]
    heads = ["operator", "dtype", "shape", "elements", *names]
    widths = [max(len(text) for text in column) for column in zip(heads, *(c[1:] for c in cells), strict=True)]
    longest = max(len(c[0]) for c in cells)
    room = console.width - sum(widths) - 2 * len(widths)
    line(console, "")
    line(console, "tensors in graph order: differing elements / max LSB (f: the oracle ran it in float)", "bold")
    if not console.is_terminal or room >= longest:
        print_columns(console, ["tensor", *heads], cells, [longest, *widths], numbers_from=4)
        return
    stacked = []
    for name, operator, dtype, shape, *numbers in cells:
        stacked.append([name, *numbers])
        stacked.append([f"  {operator} {dtype} {shape}", *("" for _ in numbers)])
    room = console.width - sum(widths[3:]) - 2 * len(widths[3:])
    stacked = [[shorten(row[0], max(room, _SHORTEST_NAME)), *row[1:]] for row in stacked]
    first = max(len(row[0]) for row in stacked)
    print_columns(console, ["tensor", *heads[3:]], stacked, [first, *widths[3:]], numbers_from=1)


def _cells(report: Report, row: TensorResult, results: Mapping[str, TensorResult], names: Sequence[str]) -> list[str]:
    most = max(result.elements for result in results.values())
    shape = "×".join(report.shape(row)) or "scalar"
    return [
        row.name,
        row.operator,
        row.dtype,
        shape,
        f"{most:,}",
        *(count_cell(results.get(name), most) for name in names),
    ]


def count_cell(row: TensorResult | None, most: int) -> str:
    """Differing elements and the largest difference; what a row compared where others compared `most`."""
    if row is None:
        return "-"
    if row.failure:
        return "failed"
    mark = " f" if row.oracle_float else ""
    fewer = f" of {row.elements:,}" if row.elements < most else ""
    if not row.differing:
        return f"0{fewer}{mark}"
    size = f"{row.max_difference}" if isinstance(row.max_difference, int) else f"{row.max_difference:.2g}"
    return f"{row.differing:,}/{size}{fewer}{mark}"


def print_columns(
    console: Console, heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], numbers_from: int
) -> None:
    """A table; rows with differences in colour."""

    def joined(cells: Sequence[str]) -> str:
        padded = [
            text.rjust(width) if at >= numbers_from else text.ljust(width)
            for at, (text, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join(padded).rstrip()

    console.print(Text(joined(heads), style="cyan"), no_wrap=True, overflow="ignore", crop=False)
    for row in rows:
        differs = any("/" in text or text == "failed" for text in row[numbers_from:])
        style = "red" if differs else "dim" if row[0].startswith("  ") else ""
        console.print(Text(joined(row), style=style), no_wrap=True, overflow="ignore", crop=False)


def _show_host_nodes(report: Report, console: Console) -> None:
    line(console, "")
    named = ", ".join(f"{op} '{name}'" for name, op in report.host_nodes.items())
    count = len(report.host_nodes)
    line(console, f"float islands: {count} host step{'' if count == 1 else 's'}{': ' + named if named else ''}")
    for note in report.notes:
        line(console, f"note: {note}")


def _show_divergence(oracle: OracleResult, console: Console) -> None:
    row = oracle.first_divergence
    if row is None or row.first is None:
        return
    first = row.first
    floats = f", in float ({row.oracle_float})" if row.oracle_float else ""
    apart = f" ({first.got - first.expected:+d} LSB)" if isinstance(first.got, int) else ""
    line(console, "")
    line(console, f"first divergence from {oracle.oracle}{floats}", "bold")
    line(console, f"  tensor '{row.name}' ({row.operator}), input {first.sample}, at {list(first.index)}:")
    line(console, f"  expected {first.expected}, got {first.got}{apart}")
    if row.histogram:
        line(console, f"  LSB histogram of {row.differing:,}: {histogram_text(row.histogram)}")
    line(console, f"  given the oracle's own inputs, {row.local_differing:,} differ")


def histogram_text(histogram: Mapping[int, int]) -> str:
    """The smallest differences first."""

    def label(lsb: int) -> str:
        return f"{lsb:+d}" if abs(lsb) < HISTOGRAM_END else f"{lsb:+d} or beyond"

    bars = sorted(histogram.items(), key=lambda item: (abs(item[0]), item[0]))
    shown = ", ".join(f"{label(lsb)}: {count:,}" for lsb, count in bars[:8])
    return shown + (f", … {len(bars) - 8} more" if len(bars) > 8 else "")


def _show_verdicts(report: Report, console: Console) -> None:
    line(console, "")
    line(console, "verdicts", "bold")
    for oracle in report.oracles:
        decides = "" if oracle.oracle in report.deciding else " (reported, does not decide)"
        style = _STYLES.get(oracle.verdict, "bold green")
        console.print(
            Text.assemble(f"  {oracle.oracle}{decides}: ", (oracle.verdict, style), f". {oracle.sentence}."),
            soft_wrap=not console.is_terminal,
        )
        for row in oracle.outputs:
            line(console, f"    output '{row.name}': {output_text(row)}")
    line(console, "")
    line(console, RULE, "dim")
    style = _STYLES.get(report.verdict, "bold green")
    line(console, f"verdict: {report.verdict} (decided by {', '.join(report.deciding) or 'nothing'})", style)


def output_text(row: TensorResult) -> str:
    """How a final output compares, in words."""
    if row.failure:
        return row.failure
    flips = "" if row.argmax_flips is None else f", {row.argmax_flips:,} inputs change their class"
    if not row.differing:
        return f"identical, {row.elements:,} values{flips if row.argmax_flips else ''}"
    return f"{row.differing:,} of {row.elements:,} values differ, by at most {row.max_difference:.6g}{flips}"
