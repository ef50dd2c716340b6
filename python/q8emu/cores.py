# SPDX-License-Identifier: Apache-2.0
"""What runs the steps of a Program: the C++ core, or the definition on Python integers; both take transfers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from math import prod

import numpy as np

from q8emu.errors import Q8Error
from q8emu.program import Buffer, Program, Step, memory_limit
from q8emu.steps import SPECS
from q8emu.steps.conv2d import accumulate as accumulate_conv
from q8emu.steps.matmul import accumulate as accumulate_matmul
from q8emu.steps.pools import accumulate_mean

Transfer = tuple[str, int, Sequence[int], Sequence[int], np.ndarray]
"""Direction, buffer (step, for accumulators), shape of one run's part, order of its axes in the buffer, all parts."""


class Core:
    """The C++ executor."""

    def __init__(self, program: Program, isa: str, threads: int, tapped: Collection[int]) -> None:
        from q8emu import _core

        steps: list[_core.Step] = [
            {
                "kind": s.kind,
                "inputs": s.inputs,
                "outputs": s.outputs,
                "params": dict(s.params),
                "arrays": {k: np.ascontiguousarray(v) for k, v in s.arrays.items()},
            }
            for s in program.steps
        ]
        try:
            self.executor = _core.Executor(
                [(b.dtype, b.shape) for b in program.buffers],
                dict(program.constants),
                steps,
                isa=isa,
                threads=threads,
                keep=[],
                keep_accumulators=sorted(tapped),
                memory_limit=2 * memory_limit(),  # packed weights included
            )
        except _core.Error as error:
            raise Q8Error(str(error)) from error
        self.read = self.executor.read
        self.write = self.executor.write
        self.kernels = self.executor.kernels

    def run(self, begin: int, end: int, runs: int, transfers: Sequence[Transfer]) -> None:
        """Run the steps [begin, end) so many times, with what goes in and out."""
        self.executor.run(begin, end, runs=runs, transfers=transfers)

    def timed(self, runs: int, transfers: Sequence[Transfer]) -> tuple[int, ...]:
        """Run all steps; nanoseconds of each, and at the end those of the transfers."""
        self.executor.run(0, len(self.kernels()), runs=runs, transfers=transfers, timed=True)
        return tuple(self.executor.step_times())


class Definition:
    """The Python definition, step by step."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.values: dict[int, np.ndarray] = dict(self.program.constants)
        self.writer = {b: i for i, s in enumerate(self.program.steps) for b in s.outputs}

    def run(self, begin: int, end: int, runs: int, transfers: Sequence[Transfer]) -> None:
        """As Core.run."""
        steps = self.program.steps
        for number in range(runs):
            if begin == 0 or steps[begin - 1].kind == "host":
                self._transfer(begin - 1, number, runs, transfers)
            for index in range(begin, end):
                step = steps[index]
                inputs = [self.values[b] for b in step.inputs]
                outs = [self.program.buffers[b] for b in step.outputs]
                for buffer, value in zip(step.outputs, SPECS[step.kind](step, inputs, outs), strict=True):
                    self.values[buffer] = value
                self._transfer(index, number, runs, transfers)

    def _transfer(self, after: int, number: int, runs: int, transfers: Sequence[Transfer]) -> None:
        """What goes in and out after a step, for one of several runs."""
        for direction, place, shape, perm, array in transfers:
            if (place if direction == "accumulators" else self.writer.get(place, -1)) != after:
                continue
            repeats = direction == "in" and array.size == prod(shape)
            part = array.reshape(1 if repeats else runs, *shape)[0 if repeats else number, ...]
            if direction == "in":
                self.values[place] = np.array(part.transpose(perm), order="C").reshape(
                    self.program.buffers[place].shape
                )
            elif direction == "out":
                ordered = self.values[place].reshape([shape[axis] for axis in perm])
                part[...] = ordered.transpose(np.argsort(perm))
            else:
                step = self.program.steps[place]
                inputs = [self.values[b] for b in step.inputs]
                part[...] = _accumulate(step, inputs, self.program.buffers[step.outputs[0]])

    def read(self, buffer: int) -> np.ndarray:
        """A copy of a buffer."""
        return self.values[buffer].copy()

    def write(self, buffer: int, array: np.ndarray) -> None:
        """Copy an array into a buffer."""
        self.values[buffer] = array.copy()

    def kernels(self) -> list[str]:
        """Per step, what runs it."""
        return ["host" if s.kind == "host" else "spec" for s in self.program.steps]


def _accumulate(step: Step, inputs: Sequence[np.ndarray], out: Buffer) -> np.ndarray:
    if step.kind == "matmul":
        return accumulate_matmul(step, inputs)
    if step.kind == "mean":
        return accumulate_mean(step, inputs)
    return accumulate_conv(step, inputs, out)
