# SPDX-License-Identifier: Apache-2.0
"""The emulator and other runtimes on the same model, inputs and threads, in one process, in turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from q8emu import _core
from q8emu.backends import OracleSession
from q8emu.bench.emulated import Emulated
from q8emu.bench.pairs import alone, in_turns
from q8emu.bench.peers import compare_outputs, numerics_of, open_peer, peers_of
from q8emu.bench.result import REFUSED, AtBatch, Benchmark, Peer, cpu_share
from q8emu.emulator import Options
from q8emu.errors import BadInput
from q8emu.fingerprint import fingerprint
from q8emu.trace import Trace
from q8emu.verify import default_inputs, open_model

LARGEST_SECONDS = 3600.0
PEAK_SECONDS = 0.5  # of which the fastest millisecond counts
BUSY = 0.9  # below this share of a core the machine had other things to do

Progress = Callable[[int, int, str], None]


def bench(
    model: Path | str | None = None,
    inputs: Mapping[str, np.ndarray] | None = None,
    *,
    against: Sequence[str] | None = None,
    batches: Sequence[int] | None = None,
    numerics: str | None = None,
    kernels: str = "auto",
    threads: int = 1,
    bias: str = "auto",
    seconds: float = 3.0,
    at_least: float | None = None,
    inputs_from: str = "given arrays",
    progress: Progress | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> Benchmark:
    """Time the emulator and other runtimes in turns, after comparing what they compute.

    ratio = time of the peer / time of q8emu, the median over pairs of samples

    Args:
        model: path of an .onnx, .tflite or TorchScript file; without it the packaged ResNet8.
        inputs: arrays by input name, repeated until they fill a batch; without them packaged or random ones.
        against: names of oracles; without it those of the file's format, see BY_FORMAT.
        batches: samples per run, where the file leaves the batch open; without it 1.
        numerics: name of a profile or a .toml file; without it the one whose oracle is the first peer that has one.
        kernels: "auto", "reference" or the name of an ISA.
        threads: of both sides; 0 is one per core.
        bias: how a bias whose scale is not x_scale * w_scale is read: "auto", "as-is" or "rescaled".
        seconds: per peer and batch, warm-up apart.
        at_least: a bar for every median ratio, for the exit code.
        inputs_from: how the settings name the inputs.
        progress: called with done, total and what.
        shapes: of the inputs by name, for PyTorch files that do not keep the example they were traced with.

    Raises:
        Q8Error: one sentence why the model, the inputs, a peer or an option cannot be used.
    """
    _check(seconds, kernels, batches)
    options = Options(numerics or "ort", kernels, threads, bias=bias, shapes=shapes or {})
    first = open_model(model, options)
    names = peers_of(first.format, against)
    options = replace(options, numerics=numerics or numerics_of(names))
    if inputs is None:
        inputs, inputs_from = default_inputs(first)
    asked = tuple(batches or (first.samples_per_run,))
    sessions: dict[str, OracleSession] = {}
    peak: float | None = None
    found = []
    for done, batch in enumerate(asked):

        def tell(what: str, done: int = done, batch: int = batch) -> None:
            if progress is not None:
                progress(done, len(asked), f"batch {batch}: {what}")

        own = Emulated(first.model, options, inputs, batch)
        if peak is None:
            tell("peak of the ISA")
            peak = _core.peak_gmacs(own.emulator.runner.isa, PEAK_SECONDS) * own.threads
        found.append(_at_batch(own, names, sessions, seconds, peak, tell))
    emulator = own.emulator
    settings = {
        "model": str(emulator.model),
        "inputs": f"{emulator.count(inputs)}, {inputs_from}, repeated to fill a batch",
        "batch": ", ".join(map(str, asked)),
        "numerics": f"{emulator.numerics.name} ({emulator.numerics.reproduces})",
        "against": ", ".join(names) or "nothing",
        "kernels": kernels,
        "threads": str(own.threads),
        "bias": bias,
        "seconds": f"{seconds:g} per peer and batch",
        "at-least": "no bar" if at_least is None else f"{at_least:g}",
    }
    shown = fingerprint(emulator, own.inputs)
    return Benchmark(settings, shown, tuple(found), at_least, _notes(found, own))


def _at_batch(
    own: Emulated,
    names: Sequence[str],
    sessions: dict[str, OracleSession],
    seconds: float,
    peak: float,
    tell: Callable[[str], None],
) -> AtBatch:
    actual = own.run()
    peers = []
    for name in names:
        tell(name)
        if name not in sessions:
            sessions[name] = open_peer(name, own.emulator, own.threads)
        peers.append(_peer(own, name, sessions[name], actual, seconds))
    samples = tuple(s for peer in peers if peer.pairs is not None for s in peer.pairs.first)
    if not samples:
        tell("q8emu alone")
        samples = alone(own.run, seconds)
    tell("each step")
    return AtBatch(own.batch, own.macs, samples, tuple(peers), own.layers(min(seconds, 1.0)), peak)


def _peer(own: Emulated, name: str, session: OracleSession, actual: Trace, seconds: float) -> Peer:
    """Compare the outputs, then time both in turns."""
    expected = session.run(own.inputs)
    outputs = compare_outputs(own.emulator, name, actual, expected)
    refused = outputs.verdict == REFUSED
    pairs = None if refused else in_turns(own.run, lambda: session.run_plain(own.inputs), seconds)
    return Peer(name, expected.provenance, outputs, pairs)


def _check(seconds: float, kernels: str, batches: Sequence[int] | None) -> None:
    if not 0 < seconds <= LARGEST_SECONDS:
        raise BadInput(f"--seconds {seconds:g}: expected more than 0 and at most {LARGEST_SECONDS:g}.")
    if kernels == "spec":
        raise BadInput("--kernels spec: the definition is slow on purpose; choose auto, reference or an ISA.")
    if any(batch < 1 for batch in batches or ()):
        raise BadInput(f"--batch {','.join(map(str, batches or ()))}: expected numbers of 1 or more.")


def _notes(found: Sequence[AtBatch], own: Emulated) -> tuple[str, ...]:
    notes = []
    share = min(cpu_share(at.own) for at in found)
    if share < BUSY:
        notes.append(
            f"this machine was busy: the calls of q8emu had {share:.2f} of a core, so times are too long; the ratios "
            "are of neighbouring samples"
        )
    if own.threads > 1:
        notes.append("threads of ONNX Runtime spin for a while after a run and take time from what runs next")
    if own.emulator.host_nodes:
        notes.append(f"no times of steps: {len(own.emulator.host_nodes)} float islands run between them")
    return tuple(notes)


__all__ = ["Benchmark", "bench"]
