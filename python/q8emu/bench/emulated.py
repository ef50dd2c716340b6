# SPDX-License-Identifier: Apache-2.0
"""The emulator's side of a benchmark: one batch run for its outputs alone, and the time of each step."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from statistics import median
from time import perf_counter_ns

import numpy as np

from q8emu.bench.macs import macs_of, total_macs
from q8emu.bench.pairs import LEAST_ROUNDS, MOST_ROUNDS, no_collector
from q8emu.bench.result import Layer
from q8emu.emulator import Emulator, Options
from q8emu.inputs import InputSpec
from q8emu.trace import Trace

TRANSFERS = "inputs and outputs"


class Emulated:
    """A model opened for runs of one batch.

    Args:
        model: the file.
        options: without a batch.
        inputs: arrays by input name, repeated until they fill the batch.
        batch: samples in a run.
        tensors: quantized tensors to record beside the outputs; None is all.

    Raises:
        Q8Error: the model or an option cannot be used, or the batch is not the one that the file fixes.
    """

    def __init__(
        self,
        model: Path,
        options: Options,
        inputs: Mapping[str, np.ndarray],
        batch: int,
        *,
        tensors: Collection[str] | None = (),
    ) -> None:
        emulator = Emulator(model, options)
        if not emulator.block:  # the batch must not be cut, or is the file's
            emulator = Emulator(model, replace(options, batch=batch))
        emulator.count(inputs)
        self.emulator, self.batch, self.tensors = emulator, batch, tensors
        self.inputs = filled(inputs, emulator.specs, batch)

    @property
    def threads(self) -> int:
        """Of the emulator."""
        return self.emulator.runner.threads

    @property
    def runs(self) -> int:
        """Of the model's own batch, to make one of this."""
        return self.batch // self.emulator.samples_per_run

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole batch."""
        return self.runs * total_macs(self.emulator.program)

    def run(self) -> Trace:
        """Run the batch."""
        return self.emulator.run(self.inputs, tensors=self.tensors)

    def layers(self, seconds: float) -> tuple[Layer, ...]:
        """Every step, and at the end the copying of inputs and outputs; none where float islands run between the steps.

        The times of several threads are added. 5 runs in any case.
        """
        if self.emulator.host_nodes:
            return ()
        times: list[tuple[int, ...]] = []
        with no_collector():
            end = perf_counter_ns() + int(seconds * 1e9)
            while len(times) < LEAST_ROUNDS or (perf_counter_ns() < end and len(times) < MOST_ROUNDS):
                times.append(self.emulator.step_times(self.inputs))
        *columns, transfers = zip(*times, strict=True)
        program, kernels = self.emulator.program, self.emulator.runner.kernels
        steps = [
            Layer(i, s.kind, s.node, kernels[i], self.runs * macs_of(program, s), median(ns), min(ns))
            for i, (s, ns) in enumerate(zip(program.steps, columns, strict=True))
        ]
        return (*steps, Layer(len(steps), "transfer", TRANSFERS, "", 0, median(transfers), min(transfers)))


def filled(inputs: Mapping[str, np.ndarray], specs: Collection[InputSpec], batch: int) -> dict[str, np.ndarray]:
    """The inputs of `batch` samples: the given ones, from the first on, again and again."""
    return {
        spec.name: inputs[spec.name]
        if spec.repeats
        else np.ascontiguousarray(inputs[spec.name][np.arange(batch) % len(inputs[spec.name])])
        for spec in specs
    }
