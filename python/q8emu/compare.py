# SPDX-License-Identifier: Apache-2.0
"""Compare what q8emu computed with what an oracle computed, bit for bit, batch by batch, without any tolerance.

A tensor can differ for two reasons: its own operator computes something else, or it inherits a difference from its
inputs. The "local" trace tells them apart: the emulator's values when every operator gets the oracle's own inputs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from q8emu.program import Port, Program
from q8emu.result import (
    DIFFERS,
    EXACT,
    EXACT_ON_INTEGER_NODES,
    HISTOGRAM_END,
    NO_VERDICT,
    Divergence,
    OracleResult,
    TensorResult,
    no_verdict,
)
from q8emu.trace import Trace

# A float sum has another order and other roundings than the integer one; functions of one value are tables and exact.
_FLOAT_SUMS = frozenset(
    "AveragePool Conv ConvTranspose Gemm GlobalAveragePool LayerNormalization LogSoftmax LpNormalization MatMul "
    "ReduceMean ReduceSum Softmax".split()
)
# Steps that are the float operator, its order of additions included; the other steps of these operators are not.
_REPRODUCED: Mapping[str, frozenset[str]] = {
    "Add": frozenset({"float_binary", "lut"}),
    "AveragePool": frozenset({"average_pool as float", "float_mean"}),
    "GlobalAveragePool": frozenset({"float_mean"}),
    "Mul": frozenset({"float_binary", "lut"}),
    "ReduceMean": frozenset({"float_mean"}),
    "Softmax": frozenset({"float_softmax"}),
}
_BOUNDARY = frozenset({"Host", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


class Comparison:
    """Collects the differences between the emulator and one oracle over batches; keeps counts, not tensors."""

    def __init__(
        self,
        program: Program,
        oracle: str,
        names: Iterable[str] | None = None,
        hidden: Iterable[str] = (),
        *,
        excuses_float: bool = True,
    ) -> None:
        """Compare the tensors in `names`, by default every quantized tensor that a node of the program computes.

        Tensors in `hidden` do not exist where the oracle runs; they are named, and not compared. With `excuses_float`
        the profile's integer sums stand for what the oracle sums in float, so that those tensors may differ.
        """
        self._program, self._oracle, self._hidden = program, oracle, tuple(hidden)
        self._excuses_float = excuses_float
        computed = [name for name in program.quantized() if name not in program.inputs]
        kinds: dict[str, set[str]] = {}
        for step in program.steps:
            kinds.setdefault(step.node, set()).add(f"{step.kind} as float" if step.params.get("form") else step.kind)
        self._kinds = kinds
        shown = [name for name in (computed if names is None else names) if name not in self._hidden]
        self._tensors = {name: _Tally(program.ports[name]) for name in shown}
        self._outputs = {name: _Tally(program.ports[name], is_output=True) for name in program.outputs}
        self._samples = 0
        self._trace: Trace | None = None
        self._disturbed: str | None = None
        self._extra: list[str] = []

    def update(
        self,
        actual: Trace,
        expected: Trace,
        local: Trace | Callable[[], Trace] | None = None,
        *,
        samples: int | None = None,
    ) -> None:
        """Add one batch.

        Args:
            actual: the emulator's trace.
            expected: the oracle's trace of the same batch.
            local: the emulator's trace given the oracle's own tensors, or how to get it; it is only asked for when
                something differs. Without it every difference counts as the operator's own.
            samples: number of inputs in the batch; by default the length of axis 0 of the first output.
        """
        self._trace = expected
        self._disturbed = self._disturbed or expected.undisturbed
        self._extra += [n for n in expected.tensors if n not in self._tensors and n not in self._extra]
        batch = samples if samples is not None else _length(next(iter(expected.outputs.values()), np.zeros(1)))
        differing = [
            tally
            for tallies, got, want in (
                (self._tensors, actual.tensors, expected.tensors),
                (self._outputs, actual.outputs, expected.outputs),
            )
            for name, tally in tallies.items()
            if tally.add(got.get(name), want.get(name), self._samples, batch, self._oracle)
        ]
        if differing:
            self._add_local(local() if callable(local) else local or actual, expected)
        self._samples += batch

    def _add_local(self, local: Trace, expected: Trace) -> None:
        for name, tally in self._tensors.items():
            tally.add_local(local.tensors.get(name), expected.tensors.get(name))
        for name, tally in self._outputs.items():
            tally.add_local(local.outputs.get(name), expected.outputs.get(name))

    def result(self) -> OracleResult:
        """The verdict over everything added so far."""
        if self._trace is None:
            return no_verdict(self._oracle, "no batch was compared")
        floats = self._trace.float_nodes
        tensors = tuple(self._row(name, tally, floats.get(name)) for name, tally in self._tensors.items())
        outputs = tuple(self._row(name, tally, floats.get(name)) for name, tally in self._outputs.items())
        named = {row.name: row.oracle_float for row in (*tensors, *outputs) if row.oracle_float}
        verdict, sentence = self._judge((*tensors, *(row for row in outputs if row.name not in self._tensors)))
        if self._hidden:
            names = ", ".join(f"'{name}'" for name in self._hidden)
            sentence += f"; not compared, because {self._oracle} computes across them in one piece: {names}"
        return OracleResult(
            self._oracle,
            verdict,
            sentence,
            self._samples,
            tensors,
            outputs,
            self._trace.provenance,
            named,
            self._hidden,
        )

    def _row(self, name: str, tally: _Tally, float_operator: str | None) -> TensorResult:
        port = self._program.ports[name]
        behind_island = port.op in _BOUNDARY and float_operator is not None
        in_float = self._excuses_float and self._sums_in_float(port, float_operator)
        excused = behind_island or port.op == "Host" or in_float
        return tally.result(name, None if behind_island else float_operator, promised=not excused)

    def _sums_in_float(self, port: Port, operator: str | None) -> bool:
        """Did the oracle compute it in a float form that the emulator's step does not reproduce?"""
        unordered = self._trace.unordered if self._trace is not None else frozenset()
        if operator is not None and operator in _REPRODUCED and operator not in unordered:
            return not _REPRODUCED[operator] & self._kinds.get(port.node, set())
        return operator in _FLOAT_SUMS

    def _judge(self, rows: tuple[TensorResult, ...]) -> tuple[str, str]:
        if self._disturbed:
            return NO_VERDICT, f"{self._oracle} cannot be observed undisturbed: {self._disturbed}"
        failures = [row for row in rows if row.failure]
        if self._extra or failures:
            reason = failures[0].failure if failures else f"{self._oracle} recorded tensors that q8emu does not know"
            more = [*(row.name for row in failures[1:]), *self._extra]
            return DIFFERS, f"{reason}{'; also ' + ', '.join(more) if more else ''}"
        differing = [row for row in rows if row.differing]
        if not differing:
            elements = sum(row.elements for row in rows)
            return EXACT, (
                f"all {elements:,} elements of {_tensors(len(rows))} are bit for bit those of {self._oracle}, "
                f"over {_inputs(self._samples)}"
            )
        return self._judge_differing(rows, differing)

    def _judge_differing(self, rows: tuple[TensorResult, ...], differing: list[TensorResult]) -> tuple[str, str]:
        broken = [row for row in rows if row.promised and row.local_differing]
        sources = [row for row in rows if not row.promised and row.local_differing]
        counted = f"{len(differing)} of {_tensors(len(rows))} differ{'s' if len(differing) == 1 else ''}"
        if sources and not broken:
            whose = ", ".join(f"{n} {op}" for op, n in sorted(Counter(_cause(row) for row in sources).items()))
            return EXACT_ON_INTEGER_NODES, (
                f"{counted}; the differences come from what {self._oracle} computes in float ({whose}); given its own "
                "inputs every integer node is bit-exact"
            )
        row = (broken or differing)[0]
        count = row.local_differing or row.differing
        return DIFFERS, (
            f"{counted}; '{row.name}' ({row.operator}) differs in {count:,} of {row.elements:,} elements although its "
            f"inputs are those of {self._oracle}"
        )


def _cause(row: TensorResult) -> str:
    return row.oracle_float or "float island"


def _tensors(count: int) -> str:
    return "1 tensor" if count == 1 else f"{count:,} tensors"


def _inputs(count: int) -> str:
    return "1 input" if count == 1 else f"{count:,} inputs"


def _length(array: np.ndarray) -> int:
    return int(array.shape[0]) if array.ndim else 1


class _Tally:
    """Counts for one tensor."""

    def __init__(self, port: Port, *, is_output: bool = False) -> None:
        self.port, self.is_output = port, is_output
        self.elements = self.differing = self.local_differing = self.start = 0
        self.max_difference: int | float = 0
        self.histogram: Counter[int] = Counter()
        self.first: Divergence | None = None
        self.failure: str | None = None
        self.flips: int | None = None

    def add(self, got: np.ndarray | None, want: np.ndarray | None, sample: int, batch: int, oracle: str) -> bool:
        """Add one batch that begins at input `sample`; does it differ?"""
        self.failure = self.failure or self._mismatch(got, want, oracle)
        if self.failure or got is None or want is None:
            return False
        got, want = np.atleast_1d(got), np.atleast_1d(want)
        mask = _differs(got, want)
        count = int(np.count_nonzero(mask))
        self.elements += got.size
        self.differing += count
        if count:
            self._describe(got, want, mask, sample, batch)
        if self.is_output and got.ndim == 2 and got.shape[1] > 1:
            self.flips = (self.flips or 0) + int(np.count_nonzero(got.argmax(1) != want.argmax(1)))
        self.start += got.shape[0]
        return count > 0

    def add_local(self, got: np.ndarray | None, want: np.ndarray | None) -> None:
        """Add one batch of the emulator's values given the oracle's own inputs."""
        if got is None or want is None or got.shape != want.shape or got.dtype != want.dtype:
            return
        self.local_differing += int(np.count_nonzero(_differs(got, want)))

    def _mismatch(self, got: np.ndarray | None, want: np.ndarray | None, oracle: str) -> str | None:
        where = f"'{self.port.tensor.name}' ({self.port.op})"
        if got is None or want is None:
            return f"{where} is missing in the trace of {'q8emu' if got is None else oracle}"
        if got.dtype != want.dtype or got.shape != want.shape:
            return (
                f"{where} is {want.dtype}{list(want.shape)} in the trace of {oracle} and "
                f"{got.dtype}{list(got.shape)} in that of q8emu"
            )
        return None

    def _describe(self, got: np.ndarray, want: np.ndarray, mask: np.ndarray, sample: int, batch: int) -> None:
        a, b = got[mask], want[mask]
        if got.dtype.kind == "f":
            apart = np.abs(a.astype(np.float64) - b.astype(np.float64))
            worst = float(np.where(np.isnan(apart), np.inf, apart).max())
            self.max_difference = max(float(self.max_difference), worst)
        else:
            lsb = a.astype(np.int64) - b.astype(np.int64)
            self.max_difference = max(int(self.max_difference), int(np.abs(lsb).max()))
            values, counts = np.unique(np.clip(lsb, -HISTOGRAM_END, HISTOGRAM_END), return_counts=True)
            self.histogram.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
        if self.first is None:
            index = tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))
            within = index[0] if got.shape[0] == batch else 0
            place = (index[0] + self.start, *index[1:])
            self.first = Divergence(sample + within, place, want[index].item(), got[index].item())

    def result(self, name: str, oracle_float: str | None, *, promised: bool) -> TensorResult:
        """What was counted so far."""
        tensor = self.port.tensor
        return TensorResult(
            name,
            self.port.op,
            tensor.dtype,
            tensor.shape,
            self.elements,
            self.differing,
            self.max_difference,
            dict(sorted(self.histogram.items())),
            self.first,
            self.local_differing,
            oracle_float,
            promised,
            self.failure,
            self.flips,
        )


def _differs(got: np.ndarray, want: np.ndarray) -> np.ndarray:
    """Where the bits differ; one NaN is as good as another."""
    if got.dtype.kind != "f":
        return np.asarray(got != want)
    bits = np.dtype(f"u{got.dtype.itemsize}")
    unequal = np.ascontiguousarray(got).view(bits) != np.ascontiguousarray(want).view(bits)
    return np.asarray(unequal & ~(np.isnan(got) & np.isnan(want)))
