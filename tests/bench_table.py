# SPDX-License-Identifier: Apache-2.0
"""Measure the benchmark table: each row of bench_rows.py, and whether it reaches its bar.

    python tests/bench_table.py                            every row, as Markdown
    python tests/bench_table.py --only ResNet8 --seconds 1 rows with this word, for a shorter time
    python tests/bench_table.py --write                    docs/bench.json, and from it the table of docs/bench.md

A bar that was set on a CPU with AVX512-VNNI is one for such CPUs: elsewhere the row is measured, marked, and does not
decide. Exit code 1 where a bar that counts here is missed, 2 where a row cannot be measured.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench_report import HEAD, cells, line, write
from bench_rows import ROWS, Found, Row
from q8emu import _core
from q8emu.backends.cpu import this_cpu
from q8emu.errors import Q8Error
from q8emu.fingerprint import build, packages, version

ROOT = Path(__file__).parent.parent


def vnni() -> bool:
    """Do the kernels for AVX512-VNNI run here?"""
    return _core.active_isa() == "avx512vnni"


def missing(row: Row) -> str | None:
    """Why a row cannot be measured here, None where it can."""
    if not row.needs:
        return None
    named = os.environ.get("Q8EMU_DATA")
    if not named or not Path(named, row.needs).exists():
        return f"needs Q8EMU_DATA=DIR, a folder with {row.needs}"
    return None


def record(row: Row, found: Found) -> dict[str, Any]:
    """A measured row as the file keeps it."""
    return {
        "what": row.what,
        "bar": row.bar,
        "unit": row.unit,
        "is_most": row.is_most,
        "value": round(found.value, 4),
        "holds": row.holds(found.value),
        "counts": vnni() or not row.on_vnni,
        "spread": found.spread,
        "told": found.told,
    }


def machine(command: str) -> dict[str, str]:
    """Where, when and how it was measured."""
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    return {
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "commit": done.stdout.strip() or "unknown",
        "command": command,
        "cpu": this_cpu().describe(),
        "cores": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "isa": _core.active_isa(),
        "peak": f"{_core.peak_gmacs(_core.active_isa()):.1f} GMAC/s a core",
        "platform": platform.platform(),
        "q8emu": f"{version()}, {build()}",
        "python": f"{platform.python_version()}, {', '.join(packages())}",
    }


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="WORD", help="rows with this word; repeat it")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row")
    parser.add_argument("--write", action="store_true", help="replace docs/bench.json and the table in docs/bench.md")
    options = parser.parse_args()
    chosen = [row for row in ROWS if not options.only or any(word in row.what for word in options.only)]
    if not chosen:
        parser.error("no row of bench_rows.py has such a word")
    told = machine(shlex.join(["python", "tests/bench_table.py", *(a for a in sys.argv[1:] if a != "--write")]))
    print(line(HEAD), line(["---"] * len(HEAD)), sep="\n", flush=True)
    measured, unmeasured = [], []
    for row in chosen:
        try:
            reason = missing(row)
            found = None if reason else row.measure(options.seconds)
        except Q8Error as problem:
            reason, found = str(problem), None
        if found is None:
            unmeasured.append(row)
            print(line((row.what, "", "", "not measured", "", reason or "")), flush=True)
            continue
        measured.append(record(row, found))
        print(line(cells(measured[-1])), flush=True)
    if options.write:
        write(told, measured)
        subprocess.run([sys.executable, str(ROOT / "docs" / "generate.py"), "--write"], check=False)
    missed = [row["what"] for row in measured if row["counts"] and not row["holds"]]
    print(f"\n{len(measured)} rows measured, {len(missed)} below a bar that counts here", *missed, sep="\n  ")
    return 1 if missed else 2 if unmeasured else 0


if __name__ == "__main__":
    sys.exit(main())
