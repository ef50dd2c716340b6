# SPDX-License-Identifier: Apache-2.0
"""Measure the conformance table: how many values of each operator were compared with each oracle, how many differ.

    python tests/conformance_table.py                                    the short form: a few of everything
    python tests/conformance_table.py --full --write                     10^7 requantizations, 10^5 cases; takes hours
    python tests/conformance_table.py --only tflite --cases 2000 --write

Rows are listed in conformance_rows.py. With --write the measured rows enter docs/conformance.json, which the table in
docs/conformance.md is made from (python docs/generate.py --write). Exit code 1 where a promised value differs, 2 where
an oracle is missing.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import json
import multiprocessing
import shlex
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

import conformance_cases
from conformance_cases import Count
from conformance_rows import ROWS, Row
from q8emu.backends import BACKENDS
from q8emu.backends.cpu import this_cpu

TABLE = Path(__file__).parent.parent / "docs" / "conformance.json"
SHORT = {"cases": 16, "requantizations": 2**15}
FULL = {"cases": 10**5, "requantizations": 10**7}


def measure(row: Row, wanted: int, seed: int) -> Count:
    """Compare batch after batch until as many units were compared; a difference says which batch it was in."""
    total, batch = Count(), 0
    while total.units + total.refused < wanted:
        rng = np.random.default_rng([seed, zlib.crc32(row.key.encode()), batch])
        found = row.compare(rng, min(row.batch, wanted - total.units - total.refused))
        assert found.units + found.refused, f"{row.key}: nothing was compared"
        told = f"seed {seed} batch {batch}: {found.first}" if found.first else ""
        total += Count(**(asdict(found) | {"first": told}))
        batch += 1
    return total


def missing(row: Row) -> str | None:
    """Why the oracle of a row cannot run here, None where it can."""
    if row.needs is not None:
        try:
            importlib.import_module(row.needs[0])
        except ImportError:
            return f"needs the package {row.needs[0]}: {row.needs[1]}"
    return BACKENDS[row.oracle].why_unavailable() if row.oracle in BACKENDS else None


def record(row: Row, found: Count, command: str) -> dict[str, Any]:
    """A measured row as the file keeps it."""
    told = {key: value for key, value in asdict(found).items() if key != "first"}
    version = BACKENDS[row.oracle].version() if row.oracle in BACKENDS else row.oracle
    cpu = this_cpu()
    return {
        "profile": row.profile,
        "oracle": row.oracle,
        "operator": row.operator,
        "unit": row.unit,
        **told,
        "version": version,
        "cpu": f"{cpu.model} ({cpu.machine})",
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "command": command,
    }


def key(measured: Mapping[str, Any]) -> str:
    """What names a measured row, as Row.key."""
    return f"{measured['profile']} {measured['oracle']} {measured['operator']} {measured['unit']}"


def read() -> list[dict[str, Any]]:
    """The measured rows of the file."""
    found: list[dict[str, Any]] = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else []
    return found


def write(measured: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into the file in place of older ones; rows that are not listed any more leave it."""
    listed = {row.key for row in ROWS}
    rows = {key(m): m for m in (*read(), *measured) if key(m) in listed}
    lines = ",\n".join(json.dumps(rows[name]) for name in sorted(rows))
    TABLE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main() -> int:
    """Measure what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", metavar="PROFILE", help="these profiles; repeat it")
    parser.add_argument("--operator", action="append", metavar="NAME", help="these operators; repeat it")
    parser.add_argument("--full", action="store_true", help="10^5 cases and 10^7 requantizations per row")
    parser.add_argument("--cases", type=int, help="random cases per row")
    parser.add_argument("--requantizations", type=int, help="crafted requantizations per row")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="rows that are measured at a time, each in a process")
    parser.add_argument("--write", action="store_true", help="put the measured rows into docs/conformance.json")
    options = parser.parse_args()
    given = {"cases": options.cases, "requantizations": options.requantizations}
    wanted = (FULL if options.full else SHORT) | {k: v for k, v in given.items() if v is not None}
    command = shlex.join(["python", "tests/conformance_table.py", *(a for a in sys.argv[1:] if a != "--write")])
    chosen = [
        row
        for row in ROWS
        if (not options.only or row.profile in options.only)
        and (not options.operator or row.operator in options.operator)
    ]
    if not chosen:
        parser.error("no row of conformance_rows.py has such a profile and operator")
    conformance_cases.APART = True
    code = 0
    reasons = {row.key: reason for row in chosen if (reason := missing(row))}
    for name, reason in reasons.items():
        print(f"{name}: {reason}", flush=True)
        code = 2
    able = [row for row in chosen if row.key not in reasons]
    with multiprocessing.get_context("fork").Pool(options.jobs, maxtasksperchild=1) as pool:
        work = [(ROWS.index(row), wanted[row.unit], options.seed) for row in able]
        for number, found, seconds in pool.imap_unordered(_measured, work, chunksize=1):
            row = ROWS[number]
            print(f"{row.key}: {found} in {seconds:.0f} s", flush=True)
            code = 1 if found.differing else code
            if options.write:
                write([record(row, found, command)])
    return code


def _measured(work: tuple[int, int, int]) -> tuple[int, Count, float]:
    """One row in a process of its own; rows are named by number, because their functions do not travel."""
    number, wanted, seed = work
    began = time.monotonic()
    found = measure(ROWS[number], wanted, seed)
    return number, found, time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
