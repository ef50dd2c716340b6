# SPDX-License-Identifier: Apache-2.0
"""The report of a verification as a value: settings, fingerprint, every tensor, the verdict of every oracle."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from q8emu.result import DIFFERS, NO_VERDICT, Divergence, OracleResult, TensorResult

SCHEMA = "q8emu.verify/1"

RULE = (
    "The exit code follows the oracle that the numerics profile promises and every oracle named with --against; the "
    "others are reported and do not decide. A profile that no runtime computes is held to 'spec': the kernels to "
    "q8emu's own definition, and to nothing else."
)


@dataclass(frozen=True)
class Report:
    """What `verify` found.

    Attributes:
        settings: resolved settings, in the order in which they are shown.
        fingerprint: versions, hashes, CPU and kernels.
        samples: number of inputs.
        open_batch: does the model file leave the batch open? Then axis 0 is shown as N where it is the batch.
        batch: inputs per run.
        host_nodes: nodes that ran in float outside the core, mapped to their operator.
        notes: sentences about the model.
        oracles: one result for each, in the order asked for.
        deciding: names of the oracles that decide the exit code.
    """

    settings: Mapping[str, str]
    fingerprint: Mapping[str, str]
    samples: int
    open_batch: bool
    batch: int
    oracles: tuple[OracleResult, ...]
    deciding: tuple[str, ...]
    host_nodes: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Is q8emu exact, as far as promised, against every oracle that decides?"""
        return bool(self.deciding) and all(o.holds for o in self.oracles if o.oracle in self.deciding)

    @property
    def exit_code(self) -> int:
        """0 holds, 1 differs, 2 an oracle that decides could not be asked."""
        verdicts = [o.verdict for o in self.oracles if o.oracle in self.deciding]
        if DIFFERS in verdicts:
            return 1
        return 0 if self.holds else 2

    @property
    def reason(self) -> str:
        """Why an oracle that decides gave no verdict."""
        silent = [o.sentence for o in self.oracles if o.oracle in self.deciding and o.verdict == NO_VERDICT]
        return "; ".join(silent) or "no oracle decides"

    @property
    def verdict(self) -> str:
        """The last line: what the exit code says."""
        return {0: "holds", 1: DIFFERS, 2: NO_VERDICT}[self.exit_code]

    def shape(self, row: TensorResult) -> tuple[str, ...]:
        """The shape of a tensor of one run, N for an open batch."""
        is_batch = self.open_batch and bool(row.shape) and row.shape[0] == self.batch
        return tuple("N" if is_batch and axis == 0 else str(n) for axis, n in enumerate(row.shape))

    def rows(self) -> list[tuple[TensorResult, dict[str, TensorResult]]]:
        """Every inner tensor in graph order, then the final outputs that are none; each with all oracles' results."""
        found: dict[str, tuple[TensorResult, dict[str, TensorResult]]] = {}
        for oracle in self.oracles:
            for row in (*oracle.tensors, *oracle.outputs):
                found.setdefault(row.name, (row, {}))[1].setdefault(oracle.oracle, row)
        return list(found.values())

    def to_json(self) -> dict[str, Any]:
        """Plain values for json.dumps; the schema carries a version."""
        return {
            "schema": SCHEMA,
            "verdict": self.verdict,
            "holds": self.holds,
            "exit_code": self.exit_code,
            "rule": RULE,
            "deciding": list(self.deciding),
            "settings": dict(self.settings),
            "fingerprint": dict(self.fingerprint),
            "samples": self.samples,
            "host_nodes": [{"node": name, "operator": op} for name, op in self.host_nodes.items()],
            "notes": list(self.notes),
            "tensors": [self._row(row, results) for row, results in self.rows()],
            "oracles": [_oracle(oracle) for oracle in self.oracles],
        }

    def _row(self, row: TensorResult, results: Mapping[str, TensorResult]) -> dict[str, Any]:
        return {
            "tensor": row.name,
            "operator": row.operator,
            "dtype": row.dtype,
            "shape": [n if n == "N" else int(n) for n in self.shape(row)],
            "oracles": {name: tensor_json(result) for name, result in results.items()},
        }


def tensor_json(row: TensorResult) -> dict[str, Any]:
    """What was counted for one tensor, as plain values."""
    return {
        "elements": row.elements,
        "differing": row.differing,
        "max_lsb" if "int" in row.dtype else "max_difference": _number(row.max_difference),
        "histogram": {str(lsb): count for lsb, count in row.histogram.items()},
        "first": _first(row.first),
        "local_differing": row.local_differing,
        "inherited": row.is_inherited,
        "float": row.oracle_float,
        "promised": row.promised,
        "failure": row.failure,
        "argmax_flips": row.argmax_flips,
    }


def _first(first: Divergence | None) -> dict[str, Any] | None:
    if first is None:
        return None
    return asdict(first) | {"expected": _number(first.expected), "got": _number(first.got), "index": list(first.index)}


def _number(value: int | float) -> int | float | str:
    """JSON has no NaN and no infinity."""
    return value if isinstance(value, int) or math.isfinite(value) else str(value)


def _oracle(oracle: OracleResult) -> dict[str, Any]:
    first = oracle.first_divergence
    return {
        "oracle": oracle.oracle,
        "verdict": oracle.verdict,
        "sentence": oracle.sentence,
        "samples": oracle.samples,
        "first_divergence": None if first is None else first.name,
        "float_nodes": dict(oracle.float_nodes),
        "hidden": list(oracle.hidden),
        "provenance": dict(oracle.provenance),
    }
