# SPDX-License-Identifier: Apache-2.0
"""What a benchmark found, as values, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from q8emu.bench.pairs import Pairs, Sample, Spread, spread

SCHEMA = "q8emu.bench/1"

EXACT = "exact"
DIFFERS = "differs"
REFUSED = "refused"


@dataclass(frozen=True)
class Outputs:
    """How the outputs of both sides compare, which is looked at before anything is timed.

    Attributes:
        verdict: "exact"; "differs", where the peer promises other bits, which marks the ratio; or "refused", where the
            bits should be the same, or the outputs cannot be compared: then there is no ratio.
        sentence: what was compared and found.
        differing: how many values differ.
        values: how many were compared.
    """

    verdict: str
    sentence: str
    differing: int = 0
    values: int = 0


@dataclass(frozen=True)
class Peer:
    """One runtime against the emulator, at one batch.

    Attributes:
        name: of the oracle.
        provenance: version and options of the runtime.
        outputs: did both compute the same?
        pairs: the emulator's samples first; None where the outputs refuse a ratio.
    """

    name: str
    provenance: Mapping[str, str]
    outputs: Outputs
    pairs: Pairs | None

    def to_json(self) -> dict[str, Any]:
        """The part of the JSON document."""
        told: dict[str, Any] = {
            "name": self.name,
            "runtime": dict(self.provenance),
            "outputs": asdict(self.outputs),
            "ratio": None,
        }
        if self.pairs is not None:
            told["ratio"] = {
                **spread_json(self.pairs.ratio),
                "of_least": self.pairs.ratio_of_least,
                "rounds": self.pairs.rounds,
            }
            told["q8emu"], told["peer"] = times_json(self.pairs.first), times_json(self.pairs.second)
        return told


@dataclass(frozen=True)
class Layer:
    """One step of the program, at one batch.

    Attributes:
        step: its index.
        kind: of docs/steps.md.
        node: of the model that it belongs to.
        kernel: what runs it.
        macs: multiply-accumulates of one run.
        ns: median time of one run.
        least_ns: the least time.
    """

    step: int
    kind: str
    node: str
    kernel: str
    macs: int
    ns: float
    least_ns: float

    @property
    def gmacs(self) -> float:
        """10^9 multiply-accumulates per second."""
        return self.macs / self.ns if self.ns else 0.0

    def to_json(self, total_ns: float) -> dict[str, Any]:
        """The part of the JSON document."""
        return {
            "step": self.step,
            "kind": self.kind,
            "node": self.node,
            "kernel": self.kernel,
            "macs": self.macs,
            "us": self.ns / 1e3,
            "least_us": self.least_ns / 1e3,
            "gmacs": self.gmacs,
            "share": self.ns / total_ns if total_ns else 0.0,
        }


@dataclass(frozen=True)
class AtBatch:
    """Everything measured at one batch.

    Attributes:
        batch: samples in a run.
        macs: multiply-accumulates of a run.
        own: samples of the emulator, of all pairs together.
        peers: in the order asked for.
        layers: in the order of the program.
        peak_gmacs: of all threads together: threads times the measured peak of one core.
    """

    batch: int
    macs: int
    own: tuple[Sample, ...]
    peers: tuple[Peer, ...]
    layers: tuple[Layer, ...]
    peak_gmacs: float

    @property
    def ns(self) -> float:
        """Median time of a run."""
        return median(s.ns for s in self.own)

    @property
    def gmacs(self) -> float:
        """10^9 multiply-accumulates per second, at the median."""
        return self.macs / self.ns

    @property
    def share_of_peak(self) -> float:
        """Of what the multiply-add instruction of the ISA reaches on registers, 0 to 1; the fastest of both."""
        return self.macs / min(s.least_ns for s in self.own) / self.peak_gmacs

    @property
    def layers_ns(self) -> float:
        """The steps together."""
        return sum(layer.ns for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        """The part of the JSON document."""
        return {
            "batch": self.batch,
            "macs": self.macs,
            "q8emu": times_json(self.own) | {"gmacs": self.gmacs, "share_of_peak": self.share_of_peak},
            "peak_gmacs": self.peak_gmacs,
            "peers": [peer.to_json() for peer in self.peers],
            "layers": [layer.to_json(self.layers_ns) for layer in self.layers],
        }


@dataclass(frozen=True)
class Benchmark:
    """What `bench` found.

    Attributes:
        settings: resolved settings, in the order in which they are shown.
        fingerprint: versions, hashes, CPU and kernels.
        at: one entry per batch, in the order asked for.
        at_least: the bar for the median ratio of every peer at every batch, None without one.
        notes: sentences about the model and the machine.
    """

    settings: Mapping[str, str]
    fingerprint: Mapping[str, str]
    at: tuple[AtBatch, ...]
    at_least: float | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def refused(self) -> tuple[str, ...]:
        """Why there is no ratio, for each one that there is none of."""
        return tuple(p.outputs.sentence for at in self.at for p in at.peers if p.outputs.verdict == REFUSED)

    @property
    def missed(self) -> tuple[str, ...]:
        """The ratios below the bar."""
        if self.at_least is None:
            return ()
        return tuple(
            f"{p.name} at batch {at.batch}: {p.pairs.ratio.median:.3g}"
            for at in self.at
            for p in at.peers
            if p.pairs is not None and p.pairs.ratio.median < self.at_least
        )

    @property
    def exit_code(self) -> int:
        """0; 1 where the outputs differ that should not, or a ratio is below the bar."""
        return 1 if self.refused or self.missed else 0

    def to_json(self) -> dict[str, Any]:
        """The JSON document; times in microseconds per run, ratios above 1 where q8emu is faster."""
        return {
            "schema": SCHEMA,
            "settings": dict(self.settings),
            "fingerprint": dict(self.fingerprint),
            "batches": [at.to_json() for at in self.at],
            "at_least": self.at_least,
            "refused": list(self.refused),
            "missed": list(self.missed),
            "holds": self.exit_code == 0,
            "notes": list(self.notes),
        }


def cpu_share(samples: Sequence[Sample]) -> float:
    """Processor time per elapsed time: the number of cores that this process had, on average."""
    return sum(s.cpu_ns for s in samples) / max(1, sum(s.total_ns for s in samples))


def times_json(samples: Sequence[Sample]) -> dict[str, float]:
    """Microseconds of a run: the middle of the samples' means, and the fastest call."""
    if not samples:
        return {}
    found = spread([s.ns / 1e3 for s in samples])
    least = min(s.least_ns for s in samples) / 1e3
    times = {"q1_us": found.q1, "median_us": found.median, "q3_us": found.q3, "least_us": least}
    return times | {"calls": sum(s.calls for s in samples), "cpu_share": cpu_share(samples)}


def spread_json(found: Spread) -> dict[str, float]:
    """Median and quartiles."""
    return {"q1": found.q1, "median": found.median, "q3": found.q3}
