# SPDX-License-Identifier: Apache-2.0
"""The emulator's side of a benchmark: one batch run for its outputs alone, and the time of each step."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from time import perf_counter_ns

import numpy as np

from q8emu.bench.macs import macs_of, total_macs
from q8emu.bench.pairs import LEAST_ROUNDS, MOST_ROUNDS, no_collector
from q8emu.bench.result import Layer
from q8emu.emulator import Emulator
from q8emu.program import Program
from q8emu.run import Runner
from q8emu.trace import Trace


class Emulated:
    """An emulator with the inputs of one batch.

    Args:
        emulator: opened for this batch, without taps.
        inputs: exactly one batch.
    """

    def __init__(self, emulator: Emulator, inputs: Mapping[str, np.ndarray]) -> None:
        self.emulator, self.inputs = emulator, inputs
        self._part = next(emulator.batches(inputs))

    @property
    def runner(self) -> Runner:
        """What runs it."""
        return self._part.runner

    @property
    def program(self) -> Program:
        """What is run."""
        return self._part.program

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole batch."""
        return total_macs(self.program)

    def run(self) -> Trace:
        """Run the batch for its outputs."""
        return self._part.run()

    def layers(self, seconds: float) -> tuple[Layer, ...]:
        """Every step over several runs; none for a model with float islands, whose steps are run one by one anyway."""
        runs: list[tuple[int, ...]] = []
        with no_collector():
            end = perf_counter_ns() + int(seconds * 1e9)
            while len(runs) < LEAST_ROUNDS or (perf_counter_ns() < end and len(runs) < MOST_ROUNDS):
                runs.append(self._step_times())
        steps, kernels = self.program.steps, self.runner.kernels
        return tuple(
            Layer(i, step.kind, step.node, kernels[i], macs_of(self.program, step), median(times), min(times))
            for i, (step, times) in enumerate(zip(steps, zip(*runs, strict=True), strict=True))
        )

    def _step_times(self) -> tuple[int, ...]:
        times = []
        for i in range(len(self.program.steps)):
            begin = perf_counter_ns()
            self.runner._steps(i, i + 1)
            times.append(perf_counter_ns() - begin)
        return tuple(times)
