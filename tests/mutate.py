# SPDX-License-Identifier: Apache-2.0
"""Damage model files and see how `q8emu verify` (TFLite: `q8emu run`) ends, each in a child process with limits.

    python tests/mutate.py --count 200 --seed 1

A child ends well with exit code 0, 1 or 2 and no traceback, within the memory and time limits. Everything else is
printed as one JSON line with the mutation that caused it, and the damaged file is kept in --keep, as are the files on
which q8emu and ONNX Runtime differ (exit code 1). The last line counts the exit codes. The program forks, so it runs as
a process of its own, without threads.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO

import strategies_mutations as mutations
import strategies_tflite_mutations as tflite_mutations

MEMORY_LIMIT = 2**30
CPU_SECONDS = 20
WALL_SECONDS = 90
ADDRESS_SPACE = 8 * 2**30  # keeps the machine alive; what counts is the resident peak
EXPECTED = (0, 1, 2)
TFLITE_EVERY = 3  # one file in three is TFLite


@dataclass(frozen=True)
class Outcome:
    """How one child ended.

    Attributes:
        code: exit code, or minus the signal.
        message: what it wrote on stderr.
        report: what it wrote on stdout.
        peak: largest resident memory in bytes.
        seconds: processor time.
    """

    code: int
    message: str
    report: str
    peak: int
    seconds: float

    def problem(self) -> str | None:
        """What is wrong with this end, None for a good one."""
        if self.code < 0:
            return f"signal {signal.Signals(-self.code).name} after {self.seconds:.0f} s"
        if self.code not in EXPECTED:
            return f"exit code {self.code}"
        if "Traceback" in self.message or "should have explained" in self.message:
            return "an exception without a sentence"
        if self.code == 2 and not (self._is_sentence() or (not self.message and "no verdict" in self.report)):
            return "exit code 2 without exactly one sentence"
        return f"{self.peak / 2**20:.0f} MiB of memory" if self.peak > MEMORY_LIMIT else None

    def _is_sentence(self) -> bool:
        return self.message.startswith("q8emu: ") and self.message.count("\n") == 1


def in_child(function: Callable[[], int]) -> Outcome:
    """Run a function in a forked child; its result is the exit code."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            _child(function, output.fileno(), errors.fileno())
        status, usage = _wait(pid)
        report, message = _written(output), _written(errors)
    seconds = usage.ru_utime + usage.ru_stime
    return Outcome(os.waitstatus_to_exitcode(status), message, report, usage.ru_maxrss * 1024, seconds)


def _written(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read(200_000).decode("utf-8", "replace")


def _child(function: Callable[[], int], output: int, errors: int) -> None:
    """Never returns."""
    code = 99
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(errors, 2)
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        code = function()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int) -> tuple[int, resource.struct_rusage]:
    """Wait for a child; one that hangs without using the processor is killed."""
    deadline = time.monotonic() + WALL_SECONDS
    pause = 0.001
    while True:
        found, status, usage = os.wait4(pid, os.WNOHANG)
        if found:
            return status, usage
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            return status, usage
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def verify(path: Path) -> int:
    """The whole way: read, lower, run, compare with ONNX Runtime."""
    from q8emu.cli import exit_code

    return exit_code(["verify", str(path), "--against", "ort", "--threads", "1"])


def emulate(path: Path) -> int:
    """A TFLite file: read, lower, run. LiteRT itself does not survive every damaged file."""
    from q8emu.cli import exit_code

    output = str(path.with_suffix(".npz"))
    return exit_code(["run", str(path), "--numerics", "tflite-ref", "--random", "1", "--threads", "1", "-o", output])


def preload() -> None:
    """Import once what every child needs."""
    import onnxruntime  # noqa: F401

    import q8emu.backends
    import q8emu.cli
    import q8emu.report_text
    import q8emu.verify  # noqa: F401


def run(count: int, seed: int, keep: Path) -> int:
    """Try `count` damaged files; returns how many ended badly."""
    preload()
    bases = mutations.bases(seed)
    tflite_bases = tflite_mutations.bases(seed)
    codes: Counter[str] = Counter()
    bad, peak, differing = 0, 0, []
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            generator = random.Random(f"{seed}/{index}")
            is_tflite = index % TFLITE_EVERY == 0
            if is_tflite:
                name, file = generator.choice(tflite_bases)
                damaged, how = tflite_mutations.mutate(file, generator)
            else:
                name, data = generator.choice(bases)
                damaged, how = mutations.mutate(data, generator)
            path = Path(folder) / f"model.{'tflite' if is_tflite else 'onnx'}"
            path.write_bytes(damaged)
            outcome = in_child(partial(emulate if is_tflite else verify, path))
            codes[str(outcome.code)] += 1
            peak = max(peak, outcome.peak)
            problem = outcome.problem()
            if outcome.code == 1:
                differing.append(index)
            if problem or outcome.code == 1:
                keep.mkdir(parents=True, exist_ok=True)
                (keep / f"{seed}-{index}{path.suffix}").write_bytes(damaged)
            if problem:
                bad += 1
                told = asdict(outcome) | {"message": outcome.message[-1500:], "report": outcome.report[-500:]}
                print(json.dumps({"index": index, "base": name, "how": how, "problem": problem} | told), flush=True)
    totals = {"count": count, "seed": seed, "codes": codes, "bad": bad, "peak": peak, "differing": differing}
    print(json.dumps(totals))
    return bad


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "q8emu-mutations")
    options = parser.parse_args()
    sys.exit(1 if run(options.count, options.seed, options.keep) else 0)


if __name__ == "__main__":
    main()
