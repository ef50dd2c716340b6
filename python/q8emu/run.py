# SPDX-License-Identifier: Apache-2.0
"""A Program and inputs become a Trace: the core runs the integer steps, the host the float islands."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from q8emu.errors import BadInput, Q8Error
from q8emu.hosting import HostNode
from q8emu.program import Port, Program, Step, memory_limit
from q8emu.steps import SPECS
from q8emu.steps.conv2d import accumulate as accumulate_conv
from q8emu.steps.matmul import accumulate as accumulate_matmul
from q8emu.steps.pools import accumulate_mean
from q8emu.trace import Trace

WITH_ACCUMULATORS = ("conv2d", "depthwise_conv2d", "matmul", "mean")


class Runner:
    """A Program, loaded: buffers planned, weights packed, host steps opened.

    Args:
        program: what `lower` returned.
        kernels: "auto" (the best ISA of this CPU), "reference", an ISA's name, or "spec" (the Python definition, slow).
        threads: 0 for one per core.
        accumulators: record the int32 accumulators as well.
        taps: record every quantized tensor; without, buffers are shared and only the outputs come back.

    Raises:
        BadInput: unknown kernels, or an ISA that this CPU lacks.
    """

    def __init__(
        self,
        program: Program,
        *,
        kernels: str = "auto",
        threads: int = 0,
        accumulators: bool = False,
        taps: bool = True,
    ) -> None:
        self.program = program
        self.recorded = program.quantized() if taps else {}
        self.threads = threads or os.cpu_count() or 1
        self.isa = resolve_kernels(kernels)
        self.hosts = {i: HostNode(s.node, s.model) for i, s in enumerate(program.steps) if s.kind == "host"}
        self.tapped = {i: s.node for i, s in enumerate(program.steps) if accumulators and s.kind in WITH_ACCUMULATORS}
        keep = {program.ports[n].buffer for n in (*program.inputs, *program.outputs, *self.recorded)}
        self.core: _Core | _Spec = _Spec(self) if self.isa == "spec" else _Core(self, sorted(keep))

    @property
    def kernels(self) -> list[str]:
        """Per step, what runs it."""
        return self.core.kernels()

    def run(self, inputs: Mapping[str, np.ndarray], substitute: Mapping[str, np.ndarray] | None = None) -> Trace:
        """Run one batch.

        Args:
            inputs: exactly the model's inputs, exact dtypes and shapes.
            substitute: tensors that replace the computed ones right after these were recorded, so that each node is
                judged on inputs that came from elsewhere.

        Raises:
            BadInput: a missing or unknown input, another dtype or shape.
        """
        program = self.program
        check_inputs(program, inputs)
        for name in program.inputs:
            self._write(program.ports[name], inputs[name])
        found: dict[str, np.ndarray] = {}
        stops = self._stops(substitute or {})
        begin = 0
        for stop in sorted({*stops, len(program.steps)}):
            self._steps(begin, stop)
            begin = stop
            for name in stops.get(stop, ()):
                port = program.ports[name]
                found[name] = self._read(port)
                self._write(port, (substitute or {})[name])
        tensors = {n: found[n] if n in found else self._read(p) for n, p in self.recorded.items()}
        outputs = {n: found[n] if n in found else self._read(program.ports[n]) for n in program.outputs}
        accumulators = {node: self.core.accumulators(i) for i, node in self.tapped.items()}
        return Trace("q8emu", tensors, outputs, accumulators)

    def _stops(self, substitute: Mapping[str, np.ndarray]) -> dict[int, list[str]]:
        """After which step each substituted tensor is complete."""
        writer = {b: i + 1 for i, s in enumerate(self.program.steps) for b in s.outputs}
        stops: dict[int, list[str]] = {}
        for name in substitute:
            port = self.program.ports.get(name)
            if port is not None and port.buffer in writer:
                stops.setdefault(writer[port.buffer], []).append(name)
        return stops

    def _steps(self, begin: int, end: int) -> None:
        for i in [i for i in sorted(self.hosts) if begin <= i < end]:
            self.core.run(begin, i)
            self._host(i, self.program.steps[i])
            begin = i + 1
        self.core.run(begin, end)

    def _host(self, index: int, step: Step) -> None:
        results = self.hosts[index].run([self.core.read(b) for b in step.inputs])
        for buffer, array in zip(step.outputs, results, strict=True):
            expected = self.program.buffers[buffer]
            if array.shape != expected.shape or str(array.dtype) != expected.dtype:
                raise BadInput(
                    f"Host step '{step.node}' gave {array.dtype}{list(array.shape)}; expected "
                    f"{expected.dtype}{list(expected.shape)}."
                )
            self.core.write(buffer, np.array(array, order="C"))

    def _write(self, port: Port, array: np.ndarray) -> None:
        stored = port.store(np.asarray(array))
        self.core.write(port.buffer, stored.reshape(self.program.buffers[port.buffer].shape))

    def _read(self, port: Port) -> np.ndarray:
        return port.load(self.core.read(port.buffer))


def check_inputs(program: Program, inputs: Mapping[str, np.ndarray]) -> None:
    """Names, dtypes and shapes must be those of the program.

    Raises:
        BadInput: names what was expected and found.
    """
    if set(inputs) != set(program.inputs):
        raise BadInput(f"The inputs are named {sorted(inputs)}; the model's are {sorted(program.inputs)}.")
    for name in program.inputs:
        info, array = program.ports[name].tensor, inputs[name]
        if str(array.dtype) != info.dtype or array.shape != info.shape:
            raise BadInput(
                f"Input '{name}' is {array.dtype}{list(array.shape)}; expected {info.dtype}{list(info.shape)}."
            )


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


class _Core:
    """The C++ executor."""

    def __init__(self, runner: Runner, keep: Sequence[int]) -> None:
        from q8emu import _core

        program = runner.program
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
                isa=runner.isa,
                threads=runner.threads,
                keep=list(keep),
                keep_accumulators=sorted(runner.tapped),
                memory_limit=2 * memory_limit(),  # packed weights included
            )
        except _core.Error as error:
            raise Q8Error(str(error)) from error
        self.run = self.executor.run
        self.read = self.executor.read
        self.write = self.executor.write
        self.accumulators = self.executor.accumulators
        self.kernels = self.executor.kernels


class _Spec:
    """The Python definition, step by step."""

    def __init__(self, runner: Runner) -> None:
        self.program, self.tapped = runner.program, runner.tapped
        self.values: dict[int, np.ndarray] = dict(self.program.constants)
        self.recorded: dict[int, np.ndarray] = {}

    def run(self, begin: int, end: int) -> None:
        for index in range(begin, end):
            step = self.program.steps[index]
            inputs = [self.values[b] for b in step.inputs]
            outs = [self.program.buffers[b] for b in step.outputs]
            for buffer, value in zip(step.outputs, SPECS[step.kind](step, inputs, outs), strict=True):
                self.values[buffer] = value
            if index in self.tapped:
                self.recorded[index] = _accumulate(step, inputs, outs[0].shape, outs[0])

    def read(self, buffer: int) -> np.ndarray:
        return self.values[buffer].copy()

    def write(self, buffer: int, array: np.ndarray) -> None:
        self.values[buffer] = array.copy()

    def accumulators(self, step: int) -> np.ndarray:
        return self.recorded[step]

    def kernels(self) -> list[str]:
        return ["host" if s.kind == "host" else "spec" for s in self.program.steps]


def _accumulate(step: Step, inputs: Sequence[np.ndarray], shape: Sequence[int], out: object) -> np.ndarray:
    if step.kind == "matmul":
        return accumulate_matmul(step, inputs)
    if step.kind == "mean":
        return accumulate_mean(step, inputs)
    return accumulate_conv(step, inputs, out)  # type: ignore[arg-type]
