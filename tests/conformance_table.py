# SPDX-License-Identifier: Apache-2.0
"""Measure the conformance table: how many values of each operator were compared with each oracle, how many differ.

    python tests/conformance_table.py                                 the short form: a few of everything
    python tests/conformance_table.py --full --jobs 2 --write         10^7 requantizations, 10^5 cases; takes hours
    python tests/conformance_table.py --only tflite --cases 2048 --write

Rows are listed in conformance_rows.py. With --write the measured rows enter docs/conformance.json, which the table in
docs/conformance.md is made from (python docs/generate.py --write), batch after batch: a later run with --write goes on
where the file stops, as long as the seed, the oracle's version and the processor are the same. With --guests the rows
of torch-fbgemm are measured on emulated CPUs with VNNI, which guest_machine.py starts. Exit code 1 where a promised
value differs, 2 where an oracle is missing.
"""

from __future__ import annotations

import argparse
import datetime
import gc
import importlib
import json
import multiprocessing
import shlex
import sys
import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import numpy as np

import conformance_cases
from conformance_cases import Count
from conformance_rows import ROWS, Row
from guest_oracle import GuestTorch, in_guests
from q8emu.backends import BACKENDS
from q8emu.backends.cpu import this_cpu

TABLE = Path(__file__).parent.parent / "docs" / "conformance.json"
SHORT = {"cases": 256, "requantizations": 2**15}
FULL = {"cases": 10**5, "requantizations": 10**7}
SLICE = 20.0
"""Seconds after which a process gives up a row, so that all rows grow evenly and little is lost."""
CONTEXT = multiprocessing.get_context("fork")

Measured = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """How far a row is.

    Attributes:
        found: what was counted.
        batches: that were compared, numbered from 0.
        size: units in each.
    """

    found: Count
    batches: int
    size: int


Work = tuple[int, int, int, Progress | None]
"""A slice: the number of the row, how many units are wanted, the seed, how far it is."""
Slice = tuple[Work, bool]
"""With whether each model runs in a process of its own."""


def measure(row: Row, wanted: int, seed: int, start: Progress | None = None, seconds: float = float("inf")) -> Progress:
    """Compare batch after batch until as many units were compared, or time is over.

    Args:
        row: which one.
        wanted: cases or requantizations.
        seed: of all random numbers, with the name of the row and the number of the batch.
        start: what was compared before.
        seconds: after which no further batch begins.
    """
    now = start or Progress(Count(), 0, min(row.batch, wanted))
    end = time.monotonic() + seconds
    while now.found.units < wanted and time.monotonic() < end:
        rng = np.random.default_rng([seed, zlib.crc32(row.key.encode()), now.batches])
        found = row.compare(rng, now.size)
        assert found.units + found.refused, f"{row.key}: nothing was compared"
        told = f"seed {seed} batch {now.batches}: {found.first}" if found.first else ""
        now = replace(now, found=now.found + replace(found, first=told), batches=now.batches + 1)
        if now.batches > 20 * (wanted // now.size + 1):
            raise RuntimeError(f"{row.key}: {now.found.refused:,} cases were refused, and {now.found.units:,} compared")
    return now


def missing(row: Row) -> str | None:
    """Why the oracle of a row cannot run here, None where it can."""
    if row.needs is not None:
        try:
            importlib.import_module(row.needs[0])
        except ImportError:
            return f"needs the package {row.needs[0]}: {row.needs[1]}"
    return BACKENDS[row.oracle].why_unavailable() if row.oracle in BACKENDS else None


def circumstances(row: Row, seed: int) -> Measured:
    """What a measurement depends on, beside the code of q8emu."""
    oracle = BACKENDS.get(row.oracle)
    cpu = oracle.cpu() if isinstance(oracle, GuestTorch) else this_cpu().describe()
    return {"version": oracle.version() if oracle else row.oracle, "cpu": cpu, "seed": seed}


def record(row: Row, now: Progress, seed: int, command: str) -> Measured:
    """A measured row as the file keeps it."""
    told = {key: value for key, value in asdict(now.found).items() if key != "first"}
    return {
        "profile": row.profile,
        "oracle": row.oracle,
        "operator": row.operator,
        "unit": row.unit,
        **told,
        **circumstances(row, seed),
        "batches": now.batches,
        "size": now.size,
        "date": datetime.datetime.now(tz=datetime.UTC).date().isoformat(),
        "command": command,
    }


def stored(row: Row, seed: int, table: Mapping[str, Measured]) -> Progress | None:
    """How far the file is with a row under the same circumstances; None where it has to begin anew."""
    found = table.get(row.key)
    if found is None or found["differing"]:
        return None
    if circumstances(row, seed).items() - found.items() or found.get("size") != row.batch:
        return None
    counted = Count(**{f.name: found[f.name] for f in fields(Count) if f.name != "first"})
    return Progress(counted, found["batches"], found["size"])


def key(measured: Mapping[str, Any]) -> str:
    """What names a measured row, as Row.key."""
    return f"{measured['profile']} {measured['oracle']} {measured['operator']} {measured['unit']}"


def read() -> list[Measured]:
    """The measured rows of the file."""
    found: list[Measured] = json.loads(TABLE.read_text(encoding="utf-8")) if TABLE.is_file() else []
    return found


def write(measured: Sequence[Measured]) -> None:
    """Put rows into the file in place of older ones; rows that are not listed any more leave it."""
    listed = {row.key for row in ROWS}
    rows = {key(m): m for m in (*read(), *measured) if key(m) in listed}
    lines = ",\n".join(json.dumps(rows[name]) for name in sorted(rows))
    TABLE.write_text(f"[\n{lines}\n]\n", encoding="utf-8")


class Plan:
    """Which row is measured next: always the one of which the smallest part is done."""

    def __init__(
        self, rows: Sequence[Row], wanted: Mapping[str, int], seed: int, known: Mapping[str, Measured]
    ) -> None:
        self.seed, self._wanted = seed, wanted
        self.now: dict[int, Progress | None] = {ROWS.index(row): stored(row, seed, known) for row in rows}
        self._running: set[int] = set()

    def part(self, number: int) -> float:
        """How much of a row is done."""
        now = self.now[number]
        return now.found.units / self._wanted[ROWS[number].unit] if now else 0.0

    def next(self) -> Work | None:
        """The next slice; None where there is nothing to begin at the moment."""
        able = [n for n in self.now if n not in self._running and self.part(n) < 1]
        if not able:
            return None
        number = min(able, key=self.part)
        self._running.add(number)
        return number, self._wanted[ROWS[number].unit], self.seed, self.now[number]

    def done(self, number: int, now: Progress) -> None:
        """A slice came back."""
        self._running.remove(number)
        self.now[number] = now


def run(plan: Plan, jobs: int, minutes: float, command: str, *, keep: bool) -> int:
    """Measure slices in processes of their own until all is done or time is over; the exit code."""
    code, running, end = 0, dict[Connection, Slice](), time.monotonic() + 60 * minutes
    while True:
        while len(running) < jobs and time.monotonic() < end and (work := plan.next()):
            running.update([_begun(work, apart=ROWS[work[0]].profile.startswith("torch"))])
        if not running:
            return code
        for reader in wait(list(running)):
            assert isinstance(reader, Connection)
            work, apart = running.pop(reader)
            number, _, seed, _ = work
            try:
                now, seconds = reader.recv()
            except EOFError:
                if apart:
                    raise RuntimeError(f"{ROWS[number].key}: the process that measured it ended") from None
                running.update([_begun(work, apart=True)])  # an oracle took the process with it
                continue
            plan.done(number, now)
            print(f"{ROWS[number].key}: {now.found} after {now.batches} batches, {seconds:.0f} s", flush=True)
            code = 1 if now.found.differing else code
            if keep:
                write([record(ROWS[number], now, seed, command)])


def _begun(work: Work, *, apart: bool) -> tuple[Connection, Slice]:
    reader, writer = CONTEXT.Pipe(duplex=False)
    CONTEXT.Process(target=_measured, args=(writer, apart, *work)).start()
    writer.close()
    return reader, (work, apart)


def _measured(writer: Connection, apart: bool, number: int, wanted: int, seed: int, start: Progress | None) -> None:
    """A slice of one row; rows are named by number, because their functions do not travel."""
    gc.disable()  # a process of its own, which ends soon
    conformance_cases.APART = apart
    began = time.monotonic()
    now = measure(ROWS[number], wanted, seed, start, SLICE)
    writer.send((now, time.monotonic() - began))


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
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so long")
    parser.add_argument("--guests", type=Path, metavar="FOLDER", help="ask torch-fbgemm on the machines that run here")
    parser.add_argument("--write", action="store_true", help="go on with docs/conformance.json and put the rows there")
    options = parser.parse_args()
    with in_guests(options.guests):
        return _main(parser, options)


def _main(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int:
    given = {"cases": options.cases, "requantizations": options.requantizations}
    wanted = (FULL if options.full else SHORT) | {k: v for k, v in given.items() if v is not None}
    told = ["FOLDER" if before == "--guests" else word for before, word in pairwise(["", *sys.argv[1:]])]
    command = shlex.join(["python", "tests/conformance_table.py", *(word for word in told if word != "--write")])
    chosen = [
        row
        for row in ROWS
        if (not options.only or row.profile in options.only)
        and (not options.operator or row.operator in options.operator)
    ]
    if not chosen:
        parser.error("no row of conformance_rows.py has such a profile and operator")
    reasons = {row.key: reason for row in chosen if (reason := missing(row))}
    for name, reason in reasons.items():
        print(f"{name}: {reason}", flush=True)
    known = {key(m): m for m in read()} if options.write else {}
    plan = Plan([row for row in chosen if row.key not in reasons], wanted, options.seed, known)
    code = run(plan, options.jobs, options.minutes, command, keep=options.write)
    return code or (2 if reasons else 0)


if __name__ == "__main__":
    sys.exit(main())
