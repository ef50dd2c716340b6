# SPDX-License-Identifier: Apache-2.0
"""A model file opened for emulation: read, canonicalized, lowered and loaded, for any number of inputs.

Where the file leaves the batch open and every sample's values depend on that sample alone (`samples.py` proves it), the
network is lowered for one sample and for a block of a few, whatever the number of inputs, and the executor goes through
all steps block by block. A model that itself looks across the batch (DynamicQuantizeLinear) is cut into runs of a fixed
length, and the oracles get the same cuts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from q8emu.canonical import canonicalize
from q8emu.errors import BadInput, Q8Error
from q8emu.graph import Graph, TensorInfo
from q8emu.inputs import InputSpec, check_size, count_runs, take
from q8emu.lower import lower
from q8emu.profile import find_profile
from q8emu.program import Program, Step
from q8emu.readers.onnx import batch_is_symbolic, read_inputs, read_onnx
from q8emu.readers.tflite import is_tflite, read_tflite
from q8emu.readers.torch import is_torch, read_torch
from q8emu.run import Runner, new_trace
from q8emu.samples import is_samplewise, may_be_samplewise
from q8emu.trace import Trace

LARGEST_BATCH = 32
"""Inputs in one run of a model that looks across the batch, and in what an oracle gets at once."""

BLOCK_BYTES = 2**17
"""What the operands and the output of a step may take in a block of samples: they shall stay in the cache of a core."""

LANES = 8
"""Values that the kernels of a runtime take at once, going by another rule for the last ones."""

LARGEST_BLOCK = 16
LARGEST_CALL = 512
"""Runs in one call of the core, which nothing interrupts."""


@dataclass(frozen=True)
class Options:
    """How to emulate.

    Attributes:
        numerics: name of a profile, or a .toml file.
        kernels: "auto", "reference", "spec" or the name of an ISA.
        threads: 0 is one per core.
        batch: inputs per run where the file leaves the batch open; by default up to 32.
        bias: "auto", "as-is" or "rescaled".
        no_host: refuse models with float islands?
        accumulators: record accumulators too?
        shapes: of the inputs by name, for files that do not say them (PyTorch); under "" of the only input.
    """

    numerics: str = "ort"
    kernels: str = "auto"
    threads: int = 0
    batch: int | None = None
    bias: str = "auto"
    no_host: bool = False
    accumulators: bool = False
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Batch:
    """Some of the inputs, with the program that takes exactly that many."""

    inputs: Mapping[str, np.ndarray]
    emulator: Emulator
    size: int  # runs of the model's own batch
    samples: int

    @property
    def program(self) -> Program:
        """Lowered for this batch."""
        return self.emulator.program_for(self.size)

    def run(self, substitute: Mapping[str, np.ndarray] | None = None) -> Trace:
        """Emulate; tensors in `substitute` replace the computed ones for the nodes that read them."""
        if substitute is None and self.emulator.block:
            return self.emulator.run(self.inputs)
        return self.emulator.runner_for(self.size).run(self.inputs, substitute)


@dataclass(frozen=True)
class Cut:
    """Inputs that one call of the core takes: from `start` on, `runs` times `batch` of the model's own batches."""

    start: int
    batch: int
    runs: int


class Emulator:
    """One model under one numerics profile."""

    def __init__(self, model: Path, options: Options) -> None:
        """Read and lower the model.

        Raises:
            Q8Error: the model or an option is not one that q8emu can run; one sentence says why.
        """
        self.model, self.options = Path(model), options
        self.numerics = find_profile(options.numerics)
        if options.threads < 0 or (options.batch is not None and options.batch < 1):
            raise BadInput("--threads must be 0 or more and --batch 1 or more.")
        self.format = model_format(self.model)
        if options.shapes and self.format != "PyTorch":
            raise BadInput(f"--shape is for PyTorch files, which do not say it; this is a file of {self.format}.")
        self._torch: dict[int | None, Graph] = {}
        self.is_symbolic = self._batch_is_open()
        self.graph = self._read(None)
        self.specs = self._specs()
        self._programs: dict[int, Program] = {}
        self._runners: dict[int, Runner] = {}
        self._check_batch()

    @property
    def program(self) -> Program:
        """The program for the file's own batch, 1 where it is open."""
        return self.program_for(1)

    @property
    def runner(self) -> Runner:
        """The runner of `program`."""
        return self.runner_for(1)

    @property
    def host_nodes(self) -> dict[str, str]:
        """Nodes that run in float outside the core, mapped to their operator."""
        return {node.name: str(node.attrs.get("op_type", node.op)) for node in self.graph.nodes if node.op == "Host"}

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        *,
        tensors: Collection[str] | None = None,
        progress: Callable[[int, int, str], None] | None = None,
    ) -> Trace:
        """Emulate any number of inputs.

        Args:
            inputs: arrays by input name, axis 0 as long as there are samples.
            tensors: names of the quantized tensors to record; without it all of them.
            progress: called with done, total and what.

        Returns:
            Tensors, outputs and accumulators of all inputs, one after another along axis 0.

        Raises:
            BadInput: a name, dtype or shape is not the model's.
        """
        total = count_runs(inputs, self.specs)
        cuts = list(self._cuts(total))
        parts = [(self.runner_for(cut.batch), cut.runs) for cut in cuts]
        names = [name for name in parts[0][0].recorded if tensors is None or name in tensors]
        whole, views = new_trace(parts, names)
        for cut, (runner, runs), view in zip(cuts, parts, views, strict=True):
            runner.run_into(view, take(inputs, self.specs, cut.start, cut.batch * runs), {}, runs)
            if progress is not None:
                done = (cut.start + cut.batch * runs) * self.samples_per_run
                progress(done, total * self.samples_per_run, "emulating")
        return whole

    def step_times(self, inputs: Mapping[str, np.ndarray]) -> tuple[int, ...]:
        """Nanoseconds of each step, added over runs and threads; at the end those of copying inputs and outputs.

        Args:
            inputs: as for `run`; only the outputs are recorded.

        Raises:
            BadInput: the inputs are not the model's, or not all steps are run by the core.
        """
        cuts = list(self._cuts(count_runs(inputs, self.specs)))
        parts = [take(inputs, self.specs, cut.start, cut.batch * cut.runs) for cut in cuts]
        times = [self.runner_for(c.batch).step_times(part, c.runs) for c, part in zip(cuts, parts, strict=True)]
        return tuple(map(sum, zip(*times, strict=True)))

    def _cuts(self, total: int) -> Iterator[Cut]:
        """What each call of the core takes: blocks, as many for each thread; the rest one by one."""
        if not self.is_symbolic:
            yield from _calls(0, 1, total)
        elif total > 1 and self._is_cut(total):
            threads, unit = self.runner.threads, self.unit
            blocks = total // self.block // threads * threads if self.block > unit else 0
            yield from _calls(0, self.block, blocks)
            yield from _calls(blocks * self.block, unit, (total - blocks * self.block) // unit)
        else:
            size = self._size(total)
            yield from _calls(0, size, total // size)
            if rest := total % size:
                yield Cut(total - rest, rest, 1)

    @property
    def block(self) -> int:
        """Samples that go through the steps together; 0 where a batch must not be cut, or the file fixes it."""
        return self._block[0]

    @property
    def unit(self) -> int:
        """A batch may be cut behind every multiple of so many samples, if its own length is one."""
        return self._block[1]

    def _is_cut(self, total: int) -> bool:
        return self.block > 0 and total % self.unit == 0

    @cached_property
    def _block(self) -> tuple[int, int]:
        """The block, and its unit: 1, or LANES where a runtime goes by the place of a value among so many."""
        if not self.is_symbolic:
            return 0, 1
        one = self.program
        largest = max((step_bytes(one, step) for step in one.steps), default=1)
        wanted = self.options.batch or min(max(BLOCK_BYTES // largest, 1), LARGEST_BLOCK)
        for unit in (1, LANES):
            block = -(-wanted // unit) * unit
            samples = max(block, 2 * unit)
            try:
                if is_samplewise(self.program_for(unit), self.program_for(samples), samples // unit):
                    return block, unit
            except Q8Error:  # so many samples are too large, or the network has no form for them
                return 0, 1
            if self.options.batch or not may_be_samplewise(one):
                break
        return 0, 1

    def batches(self, inputs: Mapping[str, np.ndarray], first: int | None = None) -> Iterator[Batch]:
        """Cut the inputs into what an oracle gets at once.

        Args:
            inputs: arrays by input name, axis 0 as long as there are samples.
            first: end the first batch after this many inputs at most, where the batch is open.

        Raises:
            BadInput: a name, dtype or shape is not the model's.
        """
        runs = count_runs(inputs, self.specs)
        start = 0
        while start < runs:
            size = self._size(min(runs - start, first or runs) if start == 0 else runs - start)
            samples = size if self.is_symbolic else self.samples_per_run
            yield Batch(take(inputs, self.specs, start, size), self, size, samples)
            start += size

    @property
    def samples_per_run(self) -> int:
        """Inputs in one run of a model whose file fixes the batch; 1 where it is open."""
        return next((spec.shape[0] for spec in self.specs if not spec.repeats), 1)

    def count(self, inputs: Mapping[str, np.ndarray]) -> int:
        """Number of samples in the inputs, after checking them."""
        return count_runs(inputs, self.specs) * self.samples_per_run

    def _size(self, left: int) -> int:
        """Runs of the model's own batch that the next batch takes; fewer if the program would become too large."""
        if not self.is_symbolic:
            return 1
        size = min(left, self.options.batch or LARGEST_BATCH)
        while True:
            try:
                if self._is_cut(size):
                    self.program_for(size)
                else:
                    self.runner_for(size)
                return size
            except Q8Error:  # most likely too large; at batch 1 the sentence stands
                if size == 1 or self.options.batch is not None:
                    raise
                self._programs.pop(size, None)
                size = max(1, size // 4)

    def program_for(self, batch: int) -> Program:
        """Lowered for so many of the model's own batches; kept."""
        if batch not in self._programs:
            graph = self.graph
            if self.is_symbolic and batch != 1:
                graph = self._read(batch)
            self._programs[batch] = lower(graph, self.numerics, no_host=self.options.no_host)
        return self._programs[batch]

    def runner_for(self, batch: int) -> Runner:
        """The runner of `program_for(batch)`; kept."""
        if batch not in self._runners:
            program, options = self.program_for(batch), self.options
            self._runners[batch] = Runner(
                program,
                kernels=options.kernels,
                threads=options.threads,
                accumulators=options.accumulators,
            )
        return self._runners[batch]

    def _batch_is_open(self) -> bool:
        """Does the file leave the length of the batch open? The code of a PyTorch file does where no shape fixes it."""
        if self.format != "PyTorch":
            return self.format == "ONNX" and batch_is_symbolic(self.model)
        try:
            graphs = [self._read_torch(batch) for batch in (1, 2)]
        except Q8Error:
            return False
        shapes = [[graph.tensors[name].shape[:1] for name in graph.outputs] for graph in graphs]
        return all(set(found) == {(batch,)} for batch, found in enumerate(shapes, 1))

    def _read(self, batch: int | None) -> Graph:
        """The canonical graph; TFLite and PyTorch files are read as one, and a TFLite file keeps its batch."""
        if self.format != "ONNX" and self.options.bias == "rescaled":
            added = "the integers of a bias as they are" if self.format == "TFLite" else "a bias by the profile"
            raise BadInput(f"--bias rescaled: {self.format} adds {added}; leave --bias out.")
        if self.format == "TFLite":
            return read_tflite(self.model)
        if self.format == "PyTorch":
            return self._read_torch(batch or (1 if self.is_symbolic else None))
        return canonicalize(read_onnx(self.model, batch=batch), bias=self.options.bias)

    def _read_torch(self, batch: int | None) -> Graph:
        """The graph of a PyTorch file; kept, because its code is evaluated anew for each batch."""
        if batch not in self._torch:
            self._torch[batch] = read_torch(self.model, self.options.shapes, batch)
        return self._torch[batch]

    @property
    def wider(self) -> Graph:
        """The graph for a batch of 2 where the batch is open, else again `graph`."""
        return self._read(2) if self.is_symbolic else self.graph

    def _specs(self) -> tuple[InputSpec, ...]:
        own = self.graph
        wider = self._inputs_of(2) if self.is_symbolic else own.tensors
        specs = []
        for name in own.inputs:
            info, shape = own.tensors[name], own.tensors[name].shape
            grows = self.is_symbolic and wider[name].shape != shape
            repeats = not shape or (self.is_symbolic and not grows)
            specs.append(InputSpec(name, info.dtype, shape, grows, repeats))
        check_size(specs)
        return tuple(specs)

    def _inputs_of(self, batch: int) -> Mapping[str, TensorInfo]:
        return read_inputs(self.model, batch=batch) if self.format == "ONNX" else self._read(batch).tensors

    def _check_batch(self) -> None:
        fixed, wanted = self.samples_per_run, self.options.batch
        if wanted is not None and not self.is_symbolic and wanted != fixed:
            raise BadInput(f"--batch {wanted}: the model file fixes its batch to {fixed}; leave --batch out.")


def step_bytes(program: Program, step: Step) -> int:
    """What a step reads and writes, constants apart."""
    used = {*step.inputs, *step.outputs} - program.constants.keys()
    return sum(program.buffers[number].bytes for number in used)


def _calls(start: int, batch: int, runs: int) -> Iterator[Cut]:
    """So many runs in calls that are not too long."""
    ends = [*range(0, runs, LARGEST_CALL), runs]
    yield from (Cut(start + batch * a, batch, b - a) for a, b in pairwise(ends) if a < b)


def model_format(model: Path) -> str:
    """How the content begins decides; whatever is neither of the others is ONNX, whose reader says what is no file."""
    if not model.is_file():
        return "ONNX"
    return "TFLite" if is_tflite(model) else "PyTorch" if is_torch(model) else "ONNX"
