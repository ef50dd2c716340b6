# SPDX-License-Identifier: Apache-2.0
"""Damaged model files end in exit code 0, 1 or 2, with no crash, no hang, no traceback and at most 1 GB of memory.

200 files in the normal run; Q8EMU_MUTATIONS sets another number, Q8EMU_MUTATIONS_SEED another seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import mutate
import strategies_mutations

COUNT = int(os.environ.get("Q8EMU_MUTATIONS", "200"))
SEED = int(os.environ.get("Q8EMU_MUTATIONS_SEED", "0"))


def test_damaged_files_end_well() -> None:
    """Every file is verified in a child process of its own with limits on memory and time."""
    jobs = min(os.cpu_count() or 1, 8)
    keep = Path(tempfile.gettempdir()) / "q8emu-mutations"
    shares = [COUNT // jobs + (job < COUNT % jobs) for job in range(jobs)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    running = [
        subprocess.Popen(
            [sys.executable, mutate.__file__, f"--count={share}", f"--seed={SEED * 100 + job}", f"--keep={keep}"],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for job, share in enumerate(shares)
        if share
    ]
    lines = [json.loads(line) for process in running for line in process.communicate()[0].splitlines()]
    found = [line for line in lines if "problem" in line]
    totals = [line for line in lines if "codes" in line]
    codes: Counter[str] = sum((Counter(t["codes"]) for t in totals), Counter())
    print(f"exit codes of {codes.total()} damaged files: {dict(sorted(codes.items()))}")
    assert not found, f"{len(found)} of {COUNT} end badly (kept in {keep}), the first: {json.dumps(found[0], indent=1)}"
    assert codes.total() == COUNT
    assert set(codes) <= {"0", "1", "2"}


def test_the_runner_notices_bad_ends() -> None:
    """A crash, an exception, too much memory: each is called by its name."""
    script = (
        "import mutate, os, signal, sys\n"
        "def crash(): os.kill(os.getpid(), signal.SIGSEGV); return 0\n"
        "def fail(): raise ValueError('x')\n"
        "def spread(): b'x' * (1200 * 2**20); return 0\n"
        "def mute(): return 2\n"
        "def explain(): print('q8emu: no.', file=sys.stderr); return 2\n"
        "for function in (crash, fail, spread, mute, explain): print(mutate.in_child(function).problem())\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(mutate.__file__).parent)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=True)
    crash, fail, spread, mute, explain = done.stdout.splitlines()
    assert "SIGSEGV" in crash
    assert "99" in fail
    assert "MiB" in spread
    assert "one sentence" in mute
    assert explain == "None"


def test_mutations_repeat() -> None:
    """The same seed damages the same bytes."""
    import random

    (name, data), *_ = strategies_mutations.bases(3)
    once, again = (strategies_mutations.mutate(data, random.Random(f"3/{name}")) for _ in range(2))
    assert once == again
