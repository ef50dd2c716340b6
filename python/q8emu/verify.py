# SPDX-License-Identifier: Apache-2.0
"""Emulate a model and compare every quantized tensor and every final output with the named oracles, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np

from q8emu.backends import BACKENDS, GraphBackend, OracleSession, backend
from q8emu.compare import Comparison
from q8emu.emulator import Batch, Emulator, Options
from q8emu.errors import BackendUnavailable
from q8emu.fingerprint import fingerprint
from q8emu.graph import INTERNAL
from q8emu.inputs import random_inputs
from q8emu.program import Port, dtype_name
from q8emu.report import Report
from q8emu.result import OracleResult, no_verdict
from q8emu.run import Runner
from q8emu.trace import Trace

SPEC = "spec"
SLOW_ORACLES = ("onnx-reference", SPEC)
_ON_REQUEST = ("ort-x64-avx2",)  # another arithmetic: asked for its own profile, or by name
_EXECUTING = tuple(name for name, oracle in BACKENDS.items() if oracle.format == "PyTorch")
DEFAULT_SAMPLES, DEFAULT_SEED = 8, 0
DEFAULT_BYTES = 64 * 2**20  # fewer samples where 8 would be larger

Progress = Callable[[int, int, str], None]


def verify(
    model: Path | str | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    numerics: str = "ort",
    against: Sequence[str] | None = None,
    kernels: str = "auto",
    threads: int = 0,
    batch: int | None = None,
    no_host: bool = False,
    bias: str = "auto",
    reference_limit: int = 16,
    oracle_threads: int = 1,
    inputs_from: str = "given arrays",
    progress: Progress | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Report:
    """Emulate a model and compare it with oracles.

    Args:
        model: path of an .onnx, .tflite or TorchScript file; without it the packaged ResNet8.
        inputs: arrays by input name; without them the packaged input, or 8 random ones with seed 0 for another model.
        numerics: name of the profile.
        against: names of oracles, all of which decide; without it those that run such a file are asked, and the
            profile's own decides.
        kernels: "auto", "reference", "spec" or the name of an ISA.
        threads: of the emulator; 0 is one per core.
        batch: inputs per run where the file leaves the batch open.
        no_host: refuse models with float islands?
        bias: how a bias whose scale is not x_scale * w_scale is read: "auto", "as-is" or "rescaled".
        reference_limit: the slow oracles see the first inputs only, this many.
        oracle_threads: threads of the oracles.
        inputs_from: how the report names the inputs.
        progress: called with done, total and what.
        shapes: of the inputs by name, for PyTorch files that do not keep the example they were traced with.

    Raises:
        Q8Error: one sentence why the model, the inputs or an option cannot be used.
    """
    emulator = open_model(model, Options(numerics, kernels, threads, batch, bias, no_host, shapes=shapes or {}))
    if inputs is None:
        inputs, inputs_from = default_inputs(emulator)
    return compare(
        emulator,
        inputs,
        against=against,
        reference_limit=reference_limit,
        oracle_threads=oracle_threads,
        inputs_from=inputs_from,
        progress=progress,
    )


def open_model(model: Path | str | None, options: Options) -> Emulator:
    """Open a model file, or the packaged one."""
    if model is not None:
        return Emulator(Path(model), options)
    from q8emu import models

    return Emulator(models.default_model(), options)


def default_inputs(emulator: Emulator) -> tuple[Mapping[str, np.ndarray], str]:
    """What a model gets when no inputs are named, and how to call it."""
    from q8emu import models

    if emulator.model == models.default_model():
        return models.default_inputs(), "packaged with q8emu"
    size = sum(prod(spec.shape) * np.dtype(spec.dtype).itemsize for spec in emulator.specs)
    samples = max(1, min(DEFAULT_SAMPLES, DEFAULT_BYTES // max(size, 1))) * emulator.samples_per_run
    return random_inputs(emulator.graph, emulator.specs, samples, DEFAULT_SEED), f"random, seed {DEFAULT_SEED}"


def compare(
    emulator: Emulator,
    inputs: Mapping[str, np.ndarray],
    *,
    against: Sequence[str] | None = None,
    reference_limit: int = 16,
    oracle_threads: int = 1,
    inputs_from: str = "given arrays",
    progress: Progress | None = None,
) -> Report:
    """Compare an opened model with oracles; the arguments are those of `verify`."""
    own = (emulator.numerics.oracle or SPEC,)
    fitting = [n for n, b in BACKENDS.items() if b.format == emulator.format and n not in _ON_REQUEST]
    asked = against if against is not None else [*own, *sorted(fitting, key=SLOW_ORACLES.__contains__)]
    names = tuple(dict.fromkeys(asked))
    for name in names:
        backend(name)
    has_slow = bool(set(names) & set(SLOW_ORACLES))
    duel = _Duel(emulator, names, oracle_threads)
    if against is None:
        duel.leave_out(_EXECUTING)
    total = emulator.count(inputs)
    done, first_batch = 0, 0
    for part in emulator.batches(inputs, first=reference_limit if has_slow else None):
        if progress is not None:
            progress(done, total, "comparing")
        is_seen_by_all = done == 0 or done + part.samples <= reference_limit
        duel.compare(part, names if is_seen_by_all else [n for n in names if n not in SLOW_ORACLES])
        done, first_batch = done + part.samples, first_batch or part.samples
    return Report(
        settings=_settings(emulator, names, inputs_from, total, reference_limit, oracle_threads),
        fingerprint=fingerprint(emulator, inputs),
        samples=total,
        open_batch=emulator.is_symbolic,
        batch=first_batch,
        oracles=duel.results(),
        deciding=names if against is not None else own,
        host_nodes=emulator.host_nodes,
        notes=tuple(dict.fromkeys((*emulator.graph.notes, *emulator.program.notes))),
    )


class _Duel:
    """The emulator against several oracles, batch by batch; an oracle that fails once is out."""

    def __init__(self, emulator: Emulator, names: Sequence[str], threads: int) -> None:
        self._emulator, self._names, self._threads = emulator, names, threads
        own = BACKENDS.get(emulator.numerics.oracle)
        # Another arithmetic differs from a float sum by more than the order of the sum.
        self._excuses_float = own is not None and own.format == "ONNX"
        self._sessions: dict[str, OracleSession] = {}
        self._comparisons: dict[str, Comparison] = {}
        self._out: dict[str, str] = {
            name: f"oracle '{name}' runs {BACKENDS[name].format} files; this is a {emulator.format} file"
            for name in names
            if BACKENDS[name].format not in (emulator.format, "graph")
        }
        if emulator.options.kernels == SPEC:
            self._out[SPEC] = (
                "oracle 'spec' is what --kernels spec runs; it says nothing about itself, choose other kernels"
            )

    def leave_out(self, oracles: Sequence[str]) -> None:
        """Do not ask these oracles, which have to be named."""
        for name in set(oracles) & set(self._names) - set(self._out):
            self._out[name] = (
                f"oracle '{name}' runs the code of the file inside the runtime; name it (--against {name}) for files "
                "that you trust"
            )

    def compare(self, part: Batch, names: Sequence[str]) -> None:
        """One batch against some of the oracles."""
        taps = [
            name
            for name in part.program.quantized()
            if name not in part.program.inputs and not name.startswith(INTERNAL)
        ]
        actual = part.run()
        for name in names:
            if name in self._out:
                continue
            try:
                expected = self._run(name, part, taps)
            except BackendUnavailable as problem:
                self._out[name] = str(problem)
                continue
            local = _local(part, expected)
            self._comparisons[name].update(actual, expected, local, samples=part.samples)

    def _run(self, name: str, part: Batch, taps: Sequence[str]) -> Trace:
        """What the oracle computes; the first time it is opened."""
        if name == SPEC:  # the emulator's own program under the definition
            if name not in self._comparisons:
                self._comparisons[name] = Comparison(part.program, name, taps, ())
            return Runner(part.program, kernels=SPEC, threads=1).run(part.inputs)
        if name not in self._sessions:
            session = self._sessions[name] = self._open(name, taps)
            self._comparisons[name] = Comparison(
                part.program, name, taps, session.hidden, excuses_float=self._excuses_float
            )
        return self._sessions[name].run(part.inputs)

    def _open(self, name: str, taps: Sequence[str]) -> OracleSession:
        oracle = BACKENDS[name]
        if isinstance(oracle, GraphBackend):
            return oracle.open_graph(self._emulator.graph, taps)
        return oracle.open(self._emulator.model, taps, threads=self._threads)

    def results(self) -> tuple[OracleResult, ...]:
        """One result per oracle, in the order asked for."""
        return tuple(
            no_verdict(name, self._out[name]) if name in self._out else self._comparisons[name].result()
            for name in self._names
        )


def _local(part: Batch, expected: Trace) -> Callable[[], Trace]:
    """How to run the batch with every node reading the oracle's own tensors."""

    def run() -> Trace:
        ports = part.program.ports
        return part.run({name: array for name, array in expected.tensors.items() if _fits(ports[name], array)})

    return run


def _fits(port: Port, array: np.ndarray) -> bool:
    return dtype_name(array.dtype) == port.tensor.dtype and array.shape == port.tensor.shape


def _settings(
    emulator: Emulator, names: Sequence[str], inputs_from: str, total: int, limit: int, oracle_threads: int
) -> dict[str, str]:
    options = emulator.options
    size = (
        f"up to {options.batch or 32} per run"
        if emulator.is_symbolic
        else f"{emulator.samples_per_run}, fixed by the file"
    )
    slow = [name for name in names if name in SLOW_ORACLES and total > limit]
    told = {
        "model": str(emulator.model),
        "inputs": f"{total:,}, {inputs_from}",
        "batch": size,
        "numerics": f"{emulator.numerics.name} ({emulator.numerics.reproduces})",
        "against": ", ".join(f"{name} ({BACKENDS[name].describe})" for name in names),
        "kernels": options.kernels,
        "threads": f"{emulator.runner.threads}; oracles {oracle_threads}",
        "bias": options.bias,
        "no-host": "yes" if options.no_host else "no",
    }
    if slow:
        told["limit"] = f"{', '.join(slow)} sees the first {limit} inputs only (--reference-limit)"
    return told
