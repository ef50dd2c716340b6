# SPDX-License-Identifier: Apache-2.0
"""A Program and inputs become a Trace: the core runs the integer steps, the host the float islands."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate

import numpy as np

from q8emu.cores import Core, Definition, Transfer
from q8emu.errors import BadInput
from q8emu.hosting import HostNode
from q8emu.program import Buffer, Port, Program, Step, dtype_name
from q8emu.trace import Trace

WITH_ACCUMULATORS = ("conv2d", "depthwise_conv2d", "matmul", "mean")

HUGE_PAGE = 2**21

Key = tuple[str, str]  # "tensors", "outputs" or "accumulators", and a name


class Runner:
    """A Program, loaded: buffers planned, weights packed, host steps opened.

    Args:
        program: what `lower` returned.
        kernels: "auto" (the best ISA of this CPU), "reference", an ISA's name, or "spec" (the Python definition, slow).
        threads: 0 for one per core.
        accumulators: record the int32 accumulators as well.

    Raises:
        BadInput: unknown kernels, or an ISA that this CPU lacks.
    """

    def __init__(
        self, program: Program, *, kernels: str = "auto", threads: int = 0, accumulators: bool = False
    ) -> None:
        self.program = program
        self.recorded = tuple(program.quantized())
        self.written = frozenset(buffer for step in program.steps for buffer in step.outputs)
        self._arrays: tuple[tuple[str, ...], dict[Key, Buffer]] | None = None
        self.threads = threads or os.cpu_count() or 1
        self.isa = resolve_kernels(kernels)
        self.hosts = {i: HostNode(s.node, s.model) for i, s in enumerate(program.steps) if s.kind == "host"}
        self.tapped = {i: s.node for i, s in enumerate(program.steps) if accumulators and s.kind in WITH_ACCUMULATORS}
        spec = self.isa == "spec"
        self.core = Definition(program) if spec else Core(program, self.isa, self.threads, self.tapped)

    @property
    def kernels(self) -> list[str]:
        """Per step, what runs it."""
        return self.core.kernels()

    def run(
        self,
        inputs: Mapping[str, np.ndarray],
        substitute: Mapping[str, np.ndarray] | None = None,
        *,
        runs: int = 1,
        tensors: Collection[str] | None = None,
    ) -> Trace:
        """Run the program once, or on one part of the inputs after another.

        Args:
            inputs: exactly the model's inputs, exact dtypes; axis 0 is `runs` times that of the program's shape. An
                array of the program's own shape is given to every run.
            substitute: tensors that replace the computed ones right after these were recorded, so that each node is
                judged on inputs that came from elsewhere; as long as the inputs.
            runs: how many times.
            tensors: names of the quantized tensors to record; without it all of them.

        Returns:
            Tensors, outputs and accumulators of all runs, one after another along axis 0.

        Raises:
            BadInput: a missing or unknown input, another dtype or shape.
        """
        check_inputs(self.program, inputs, runs)
        names = self.recorded if tensors is None else [n for n in self.recorded if n in tensors]
        whole, _ = new_trace([(self, runs)], names)
        self.run_into(whole, inputs, substitute or {}, runs)
        return whole if runs > 1 else self._one(whole)

    def _one(self, trace: Trace) -> Trace:
        """The arrays of one run, of which a scalar has no axis."""

        def shaped(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: array.reshape(self.program.ports[name].tensor.shape) for name, array in arrays.items()}

        return Trace(trace.source, shaped(trace.tensors), shaped(trace.outputs), trace.accumulators)

    def arrays(self, names: Collection[str]) -> dict[Key, Buffer]:
        """What one run leaves behind: the tensors named, the outputs, the accumulators; the last answer is kept."""
        if self._arrays is None or self._arrays[0] != tuple(names):
            self._arrays = tuple(names), self._arrays_of(names)
        return self._arrays[1]

    def _arrays_of(self, names: Collection[str]) -> dict[Key, Buffer]:
        ports, steps, buffers = self.program.ports, self.program.steps, self.program.buffers
        kinds = {"tensors": names, "outputs": self.program.outputs}
        found = {
            (kind, name): Buffer(ports[name].tensor.dtype, ports[name].tensor.shape)
            for kind, of in kinds.items()
            for name in of
        }
        shapes = {node: buffers[steps[i].outputs[0]].shape for i, node in self.tapped.items()}
        return found | {("accumulators", node): Buffer("int32", shape) for node, shape in shapes.items()}

    def run_into(
        self, trace: Trace, inputs: Mapping[str, np.ndarray], substitute: Mapping[str, np.ndarray], runs: int
    ) -> None:
        """Fill the arrays of a trace for so many runs; everything has been checked."""
        if self.hosts and runs > 1:  # the host takes one run at a time
            for i in range(runs):
                given = {n: a for n, a in inputs.items() if a.shape == self.program.ports[n].tensor.shape}
                given |= _parts({n: a for n, a in inputs.items() if n not in given}, i, runs)
                self.run_into(_part(trace, i, runs), given, _parts(substitute, i, runs), 1)
            return
        transfers = self._transfers(trace, inputs, substitute)
        begin = 0
        for stop in (*sorted(self.hosts), len(self.program.steps)):
            self.core.run(begin, stop, runs, transfers)
            if stop in self.hosts:
                self._host(stop, self.program.steps[stop])
            begin = stop + 1

    def step_times(self, inputs: Mapping[str, np.ndarray], runs: int = 1) -> tuple[int, ...]:
        """Nanoseconds of each step, added over runs and threads; at the end those of copying inputs and outputs.

        Args:
            inputs: as for `run`.
            runs: how many times.

        Raises:
            BadInput: the inputs are not the model's, or not all steps are run by the core.
        """
        if self.hosts or not isinstance(self.core, Core):
            raise BadInput("Times of steps are for models without float islands, run by kernels and not by 'spec'.")
        check_inputs(self.program, inputs, runs)
        whole, _ = new_trace([(self, runs)], ())
        return self.core.timed(runs, self._transfers(whole, inputs, {}))

    def _transfers(
        self, trace: Trace, inputs: Mapping[str, np.ndarray], substitute: Mapping[str, np.ndarray]
    ) -> list[Transfer]:
        """What goes into the program's buffers and comes out of them, in graph order."""
        program = self.program
        made: list[Transfer] = []

        def add(direction: str, port: Port, array: np.ndarray) -> None:
            made.append((direction, port.buffer, port.tensor.shape, port.perm, array))

        for name in program.inputs:
            add("in", program.ports[name], np.ascontiguousarray(inputs[name]))
        used = trace.tensors.keys() | trace.outputs.keys() | substitute.keys()
        for name in filter(used.__contains__, program.ports):
            port = program.ports[name]
            if name in trace.tensors:
                add("out", port, trace.tensors[name])
            if name in trace.outputs:
                add("out", port, trace.outputs[name])
            if name in substitute and port.buffer in self.written:
                add("in", port, np.ascontiguousarray(substitute[name]))
        for index, node in self.tapped.items():
            shape = program.buffers[program.steps[index].outputs[0]].shape
            made.append(("accumulators", index, shape, tuple(range(len(shape))), trace.accumulators[node]))
        return made

    def _host(self, index: int, step: Step) -> None:
        results = self.hosts[index].run([self.core.read(b) for b in step.inputs])
        for buffer, array in zip(step.outputs, results, strict=True):
            expected = self.program.buffers[buffer]
            if array.shape != expected.shape or dtype_name(array.dtype) != expected.dtype:
                raise BadInput(
                    f"Host step '{step.node}' gave {array.dtype}{list(array.shape)}; expected "
                    f"{expected.dtype}{list(expected.shape)}."
                )
            self.core.write(buffer, np.array(array, order="C"))


def new_trace(parts: Sequence[tuple[Runner, int]], names: Collection[str]) -> tuple[Trace, list[Trace]]:
    """Arrays for the runs of several runners, one after another along axis 0, and the views that each of them fills."""
    found = [runner.arrays(names) for runner, _ in parts]
    if len(parts) == 1 and parts[0][1] == 1 and all(own.shape for own in found[0].values()):
        take = _empty(sum(_aligned(own.bytes) for own in found[0].values()))
        trace = _trace({key: take(own) for key, own in found[0].items()})
        return trace, [trace]
    lengths = {
        key: [runs * rows(arrays[key].shape) for (_, runs), arrays in zip(parts, found, strict=True)]
        for key in found[0]
    }
    shapes = {key: Buffer(own.dtype, (sum(lengths[key]), *own.shape[1:])) for key, own in found[0].items()}
    take = _empty(sum(_aligned(buffer.bytes) for buffer in shapes.values()))
    whole = {key: take(buffer) for key, buffer in shapes.items()}
    starts = {key: [0, *accumulate(lengths[key])] for key in whole}
    views = [
        {key: array[starts[key][i] : starts[key][i + 1]] for key, array in whole.items()} for i in range(len(parts))
    ]
    return _trace(whole), [_trace(view) for view in views]


def _trace(arrays: Mapping[Key, np.ndarray]) -> Trace:
    def of(kind: str) -> dict[str, np.ndarray]:
        return {name: array for (own, name), array in arrays.items() if own == kind}

    return Trace("q8emu", of("tensors"), of("outputs"), of("accumulators"))


def _empty(total: int) -> Callable[[Buffer], np.ndarray]:
    """Makes arrays of so many bytes together; large ones are parts of one piece of memory in huge pages.

    A page of 4 KiB that is touched for the first time costs a microsecond: as much as computing what is put there.
    """
    if total < 2 * HUGE_PAGE:
        return lambda buffer: np.empty(buffer.shape, buffer.dtype)
    block = np.empty(total // HUGE_PAGE * HUGE_PAGE + 2 * HUGE_PAGE, np.uint8)
    place = -block.__array_interface__["data"][0] % HUGE_PAGE

    def take(buffer: Buffer) -> np.ndarray:
        nonlocal place
        begin, place = place, place + _aligned(buffer.bytes)
        return block[begin : begin + buffer.bytes].view(buffer.dtype).reshape(buffer.shape)

    return take


def _aligned(size: int) -> int:
    return -(-size // 64) * 64


def rows(shape: Sequence[int]) -> int:
    """The length of a tensor along axis 0; a scalar is one row."""
    return shape[0] if shape else 1


def _parts(arrays: Mapping[str, np.ndarray], number: int, runs: int) -> dict[str, np.ndarray]:
    """What one of several runs gets, as views."""
    return {name: np.split(array, runs)[number] for name, array in arrays.items()}


def _part(trace: Trace, number: int, runs: int) -> Trace:
    tensors, outputs, accumulators = (
        _parts(arrays, number, runs) for arrays in (trace.tensors, trace.outputs, trace.accumulators)
    )
    return Trace(trace.source, tensors, outputs, accumulators)


def check_inputs(program: Program, inputs: Mapping[str, np.ndarray], runs: int = 1) -> None:
    """Names, dtypes and shapes must be those of the program.

    Raises:
        BadInput: names what was expected and found.
    """
    if set(inputs) != set(program.inputs):
        raise BadInput(f"The inputs are named {sorted(inputs)}; the model's are {sorted(program.inputs)}.")
    for name in program.inputs:
        info, array = program.ports[name].tensor, inputs[name]
        shape = info.shape if runs == 1 else (runs * rows(info.shape), *info.shape[1:])
        if dtype_name(array.dtype) != info.dtype or array.shape not in (shape, info.shape):
            raise BadInput(f"Input '{name}' is {array.dtype}{list(array.shape)}; expected {info.dtype}{list(shape)}.")


def resolve_kernels(kernels: str) -> str:
    """The ISA that a choice of kernels means on this CPU.

    Raises:
        BadInput: unknown, or not supported here; lists what is.
    """
    if kernels == "spec":
        return "spec"
    from q8emu import _core

    available = _core.isas()
    if kernels == "auto":
        return _core.active_isa()
    if kernels not in available:
        raise BadInput(f"There are no '{kernels}' kernels on this CPU; available: auto, {', '.join(available)}, spec.")
    return kernels
