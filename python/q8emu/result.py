# SPDX-License-Identifier: Apache-2.0
"""What a comparison found, as values: per tensor and per oracle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

EXACT = "exact"
EXACT_ON_INTEGER_NODES = "exact on integer nodes"
DIFFERS = "differs"
NO_VERDICT = "no verdict"

HISTOGRAM_END = 256  # signed differences of this many LSB or more share one bar at each end


@dataclass(frozen=True)
class Divergence:
    """One differing element.

    Attributes:
        sample: which input of the whole run, from 0.
        index: coordinates in the tensor of all inputs, axis 0 running over the whole run.
        expected: the oracle's value.
        got: q8emu's value.
    """

    sample: int
    index: tuple[int, ...]
    expected: int | float
    got: int | float


@dataclass(frozen=True)
class TensorResult:
    """How one tensor compares with one oracle.

    Attributes:
        name: in the model file.
        operator: that defines it.
        dtype: of the emulator's tensor.
        shape: for one batch.
        elements: how many were compared.
        differing: how many differ.
        max_difference: of the integers, in LSB; of a float output, in real values.
        histogram: signed difference (got - expected) in LSB to count; the ends collect what lies beyond.
        first: the first differing element.
        local_differing: how many differ when the operator gets the oracle's own inputs.
        oracle_float: the operator that the oracle ran in float to compute it, None for an integer operator.
        promised: has it to be exact? Not where the oracle sums in float, and not behind a float island.
        failure: None, or why the tensors cannot be compared.
        argmax_flips: for a final output [N, classes], how many inputs change their class.
    """

    name: str
    operator: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    differing: int
    max_difference: int | float
    histogram: Mapping[int, int]
    first: Divergence | None
    local_differing: int
    oracle_float: str | None
    promised: bool
    failure: str | None
    argmax_flips: int | None = None

    @property
    def is_inherited(self) -> bool:
        """Does it differ only because its inputs do?"""
        return self.differing > 0 and self.local_differing == 0


@dataclass(frozen=True)
class OracleResult:
    """The comparison with one oracle over all batches."""

    oracle: str
    verdict: str
    sentence: str
    samples: int = 0
    tensors: tuple[TensorResult, ...] = ()
    outputs: tuple[TensorResult, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    float_nodes: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Is the emulator exact wherever exactness is promised?"""
        return self.verdict in (EXACT, EXACT_ON_INTEGER_NODES)

    @property
    def first_divergence(self) -> TensorResult | None:
        """The first tensor in graph order that differs; a final output when no inner tensor does."""
        return next((row for row in (*self.tensors, *self.outputs) if row.differing or row.failure), None)


def no_verdict(oracle: str, sentence: str) -> OracleResult:
    """The result for an oracle that could not be asked."""
    return OracleResult(oracle, NO_VERDICT, sentence)
