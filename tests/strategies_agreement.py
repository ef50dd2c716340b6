# SPDX-License-Identifier: Apache-2.0
"""One model, every reading of its arithmetic: the definition, the reference kernels, every ISA, and ONNX Runtime."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from q8emu.backends.onnxruntime import ORT
from q8emu.canonical import canonicalize
from q8emu.errors import BackendUnavailable
from q8emu.graph import Graph
from q8emu.lower import lower
from q8emu.numerics import profile
from q8emu.program import Program
from q8emu.readers.onnx import read_onnx
from q8emu.run import Runner
from q8emu.trace import Trace
from strategies_builder import Case

SUMMING = frozenset({"AveragePool", "Conv", "Gemm", "GlobalAveragePool", "MatMul", "ReduceMean", "Softmax"})
"""Operators whose float form sums in an order of its own: no exactness is promised where an oracle runs that form."""


@dataclass(frozen=True)
class Agreement:
    """What was compared with the oracle.

    Attributes:
        elements: how many values, all of them equal.
        excused: tensors that the oracle computed in float, or not at all (it merges neighbouring QuantizeLinear), and
            what depends on one of these.
        refused: why the oracle does not run the model, or cannot be observed undisturbed.
    """

    elements: int
    excused: tuple[str, ...] = ()
    refused: str = ""

    @property
    def is_full(self) -> bool:
        """Was every tensor compared?"""
        return not self.excused and not self.refused


@cache
def isas() -> tuple[str, ...]:
    """Every set of kernels that this CPU runs, the reference included."""
    from q8emu import _core

    return tuple(_core.isas())


def lowered(case: Case) -> tuple[Graph, Program]:
    """The canonical graph and the program of a case."""
    graph = canonicalize(read_onnx(case.model))
    return graph, lower(graph, profile("ort"))


def check(case: Case, threads: int = 1) -> Agreement:
    """Run every reading; an AssertionError names the first value that differs."""
    graph, program = lowered(case)
    spec = Runner(program, kernels="spec", accumulators=True).run(case.feeds)
    for isa in isas():
        found = Runner(program, kernels=isa, threads=threads, accumulators=True).run(case.feeds)
        same(case, isa, found, "spec", spec)
    return against_oracle(case, graph, program, spec)


def same(case: Case, one: str, found: Trace, other: str, expected: Trace) -> None:
    """Two traces of one program are equal, accumulators included."""
    for what in ("accumulators", "tensors", "outputs"):
        pair: tuple[Mapping[str, np.ndarray], ...] = getattr(found, what), getattr(expected, what)
        assert list(pair[0]) == list(pair[1]), f"{case!r}: {what} of {one} and {other} have different names"
        for name in pair[0]:
            equal(case, f"{what[:-1]} '{name}'", one, pair[0][name], other, pair[1][name])


def equal(case: Case, where: str, one: str, found: np.ndarray, other: str, expected: np.ndarray) -> None:
    """Two arrays are equal bit for bit (one NaN is as good as another)."""
    if other == "ort" and found.shape == () and expected.shape == (1,):
        expected = expected.reshape(())  # what its QLinearAdd and QLinearMul make of two scalars
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), (
        f"{case!r}: {where} is {found.dtype}{list(found.shape)} for {one}, "
        f"{expected.dtype}{list(expected.shape)} for {other}"
    )
    differs = found != expected
    if found.dtype.kind == "f":
        differs = (found.view(np.uint32) != expected.view(np.uint32)) & ~(np.isnan(found) & np.isnan(expected))
    if np.any(differs):
        at = tuple(int(i) for i in np.argwhere(differs)[0])
        raise AssertionError(
            f"{case!r}: {where} {found.dtype}{list(found.shape)} differs in {int(np.sum(differs))} of {found.size} "
            f"elements, first at {list(at)}: {one} {found[at]!r}, {other} {expected[at]!r}"
        )


def against_oracle(case: Case, graph: Graph, program: Program, trace: Trace) -> Agreement:
    """Compare a trace with the oracle `ort`, except where that computes sums in float."""
    taps = [name for name in program.quantized() if name not in program.inputs]
    try:
        expected = run_oracle(case, taps)
    except BackendUnavailable as reason:
        return Agreement(0, refused=str(reason))
    if expected.undisturbed is not None:
        return Agreement(0, refused=expected.undisturbed)
    hidden = dict.fromkeys((name for name in taps if name not in expected.tensors), "merged with its neighbour")
    excused = depends_on_float(graph, expected.float_nodes, hidden)
    elements = 0
    for name in taps:
        if name not in excused:
            equal(case, f"tensor '{name}'", "spec", trace.tensors[name], "ort", expected.tensors[name])
            elements += trace.tensors[name].size
    for name in program.outputs:
        if name not in excused:
            equal(case, f"output '{name}'", "spec", trace.outputs[name], "ort", expected.outputs[name])
            elements += trace.outputs[name].size
    return Agreement(elements, tuple(excused))


def run_oracle(case: Case, taps: list[str]) -> Trace:
    """The oracle's trace: fused, integer kernels on, one thread."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(case.model)
        return ORT.open(path, taps).run(case.feeds)


def depends_on_float(graph: Graph, float_nodes: Mapping[str, str], hidden: Mapping[str, str]) -> dict[str, str]:
    """Tensors for which the oracle is no norm, with the reason."""
    found: dict[str, str] = {}
    for node in graph.nodes:
        inherited = next((found[n] for n in node.inputs if n in found), None)
        for name in filter(None, node.outputs):
            own = float_nodes.get(name)
            if own in SUMMING and not _is_boundary(node.op):
                found[name] = str(own)
            elif name in hidden or inherited or node.op == "Host":
                found[name] = hidden.get(name) or inherited or str(node.attrs["op_type"])
    return found


def _is_boundary(op: str) -> bool:
    return op in ("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "Requantize")
