# SPDX-License-Identifier: Apache-2.0
"""The comparison on traces made by hand: counts, histogram, first divergence, causes, verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from q8emu.compare import Comparison
from q8emu.graph import TensorInfo
from q8emu.program import Buffer, Port, Program, Step
from q8emu.report import Report
from q8emu.result import DIFFERS, EXACT, EXACT_ON_INTEGER_NODES, NO_VERDICT, no_verdict
from q8emu.trace import Trace

BATCH = 2


def a_program() -> Program:
    """Input x → a (Conv) → b (Add) → q (QuantizeLinear behind a host node) → y (DequantizeLinear, output)."""
    rows = [
        ("x", "", "", "int8", (BATCH, 3)),
        ("a", "conv", "Conv", "int8", (BATCH, 3)),
        ("b", "add", "Add", "int8", (BATCH, 3)),
        ("q", "quantize", "QuantizeLinear", "int8", (BATCH, 3)),
        ("y", "dequantize", "DequantizeLinear", "float32", (BATCH, 3)),
    ]
    ports = {
        name: Port(TensorInfo(name, dtype, shape), at, (0, 1), node, op)
        for at, (name, node, op, dtype, shape) in enumerate(rows)
    }
    kinds = {"conv": "conv2d", "add": "add_fma", "quantize": "quantize", "dequantize": "dequantize"}
    steps = tuple(Step(kind, node, (0,), (1,)) for node, kind in kinds.items())
    return Program("ort", (Buffer("int8", (BATCH, 3)),), {}, steps, ports, ("x",), ("y",))


def a_trace(
    source: str = "q8emu", floats: Mapping[str, str] | None = None, undisturbed: str | None = None, **changes: Any
) -> Trace:
    """All zeros, except for `changes`: name to {index: value}, or None to leave the tensor out."""
    tensors: dict[str, np.ndarray] = {name: np.zeros((BATCH, 3), np.int8) for name in ("a", "b", "q")}
    outputs: dict[str, np.ndarray] = {"y": np.zeros((BATCH, 3), np.float32)}
    for name, change in changes.items():
        group = outputs if name in outputs else tensors
        if change is None:
            del group[name]
            continue
        for index, value in change.items():
            group[name][index] = value
    return Trace(source, tensors, outputs, float_nodes=floats or {}, undisturbed=undisturbed)


def oracle(floats: Mapping[str, str] | None = None, undisturbed: str | None = None, **changes: Any) -> Trace:
    """An oracle's trace."""
    return a_trace("ort", floats, undisturbed, **changes)


def test_equal_traces_are_exact() -> None:
    """Every element of every tensor counts."""
    comparison = Comparison(a_program(), "ort")
    for _ in range(3):
        comparison.update(a_trace(), oracle())
    result = comparison.result()
    assert result.verdict == EXACT
    assert result.holds
    assert result.samples == 3 * BATCH
    assert [row.name for row in result.tensors] == ["a", "b", "q"], "graph order, without the input"
    assert [row.elements for row in (*result.tensors, *result.outputs)] == [3 * BATCH * 3] * 4
    assert result.first_divergence is None


def test_counts_histogram_and_first_divergence_run_over_batches() -> None:
    """The second batch differs: input 3 of the run, coordinates over the whole run."""
    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(), oracle())
    comparison.update(a_trace(a={(1, 2): 5, (1, 1): -1}), oracle(a={(1, 2): 2}), a_trace(a={(1, 2): 5, (1, 1): -1}))
    comparison.update(a_trace(a={(0, 0): 1}), oracle(), a_trace(a={(0, 0): 1}))
    result = comparison.result()
    row = result.tensors[0]
    assert (row.differing, row.max_difference) == (3, 3)
    assert row.histogram == {-1: 1, 1: 1, 3: 1}
    assert row.first is not None
    assert (row.first.sample, row.first.index, row.first.expected, row.first.got) == (3, (3, 1), 0, -1)
    assert result.first_divergence == row
    assert result.verdict == DIFFERS
    assert "'a' (Conv) differs in 3 of 18 elements" in result.sentence


def test_extreme_differences_do_not_wrap() -> None:
    """127 - -128 is 255, not -1."""
    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(a={(0, 0): 127}), oracle(a={(0, 0): -128}))
    assert comparison.result().tensors[0].max_difference == 255
    assert comparison.result().tensors[0].histogram == {255: 1}


def test_inherited_differences_are_told_from_own_ones() -> None:
    """The oracle ran the Conv in float; the Add only inherits."""
    comparison = Comparison(a_program(), "ort-default")
    actual = a_trace(a={(0, 0): 1}, b={(0, 0): 1}, y={(0, 0): 1.0})
    comparison.update(actual, oracle({"a": "Conv"}), a_trace(a={(0, 0): 1}))
    result = comparison.result()
    assert result.verdict == EXACT_ON_INTEGER_NODES
    assert result.holds
    a, b, _ = result.tensors
    assert (a.oracle_float, a.is_inherited, a.promised) == ("Conv", False, False)
    assert (b.oracle_float, b.is_inherited, b.promised) == (None, True, True)
    assert result.outputs[0].is_inherited


def test_an_integer_node_that_differs_by_itself_is_never_excused() -> None:
    """A float Conv before it does not excuse the Add."""
    comparison = Comparison(a_program(), "ort-default")
    actual = a_trace(a={(0, 0): 1}, b={(0, 0): 1})
    comparison.update(actual, oracle({"a": "Conv"}), a_trace(a={(0, 0): 1}, b={(0, 0): 1}))
    result = comparison.result()
    assert result.verdict == DIFFERS
    assert "'b' (Add)" in result.sentence


@pytest.mark.parametrize(
    ("tensor", "operator", "verdict"),
    [
        ("a", "Conv", EXACT_ON_INTEGER_NODES),
        ("b", "Add", EXACT_ON_INTEGER_NODES),  # add_fma is not the float Add
        ("b", "Sub", DIFFERS),  # no other form of Sub exists
        ("a", "Sigmoid", DIFFERS),  # functions of one value are tables, and exact
        ("a", None, DIFFERS),
        ("q", "Softmax", EXACT_ON_INTEGER_NODES),  # a boundary behind a float island
        ("q", None, DIFFERS),  # a boundary right behind an input
    ],
)
def test_only_what_is_summed_in_float_is_excused(tensor: str, operator: str | None, verdict: str) -> None:
    """One element differs by itself in one tensor."""
    changes: dict[str, Any] = {tensor: {(0, 0): 1}}
    comparison = Comparison(a_program(), "ort-default")
    floats = {} if operator is None else {tensor: operator}
    comparison.update(a_trace(**changes), oracle(floats), a_trace(**changes))
    assert comparison.result().verdict == verdict


def test_the_boundary_is_no_float_node_of_an_integer_operator() -> None:
    """A QuantizeLinear behind a host Softmax is not listed."""
    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(), oracle({"q": "Softmax", "a": "Conv"}))
    assert comparison.result().float_nodes == {"a": "Conv"}


def test_without_a_local_trace_differences_count_as_own() -> None:
    """Nothing is excused that was not looked at."""
    comparison = Comparison(a_program(), "ort-default")
    comparison.update(a_trace(a={(0, 0): 1}, b={(0, 0): 1}), oracle({"a": "Conv"}))
    assert comparison.result().verdict == DIFFERS


def test_the_local_trace_is_only_asked_for_when_something_differs() -> None:
    """It costs a run."""
    asked = []

    def local() -> Trace:
        asked.append(1)
        return a_trace()

    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(), oracle(), local)
    assert not asked
    comparison.update(a_trace(b={(0, 0): 1}), oracle(), local)
    assert len(asked) == 1


def test_missing_and_extra_tensors_are_failures() -> None:
    """Names match exactly, in both directions."""
    missing = Comparison(a_program(), "ort")
    missing.update(a_trace(), oracle(b=None))
    assert missing.result().verdict == DIFFERS
    assert "'b' (Add) is missing in the trace of ort" in missing.result().sentence
    own = Comparison(a_program(), "ort")
    own.update(a_trace(b=None), oracle())
    assert "'b' (Add) is missing in the trace of q8emu" in own.result().sentence
    extra = Comparison(a_program(), "ort", ["a", "b"])
    extra.update(a_trace(), oracle())
    assert extra.result().verdict == DIFFERS
    assert "q" in extra.result().sentence
    output = Comparison(a_program(), "ort")
    output.update(a_trace(), oracle(y=None), samples=BATCH)
    assert output.result().verdict == DIFFERS


def test_a_failure_in_one_batch_stays() -> None:
    """A later good batch does not cover it."""
    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(), oracle(b=None))
    comparison.update(a_trace(), oracle())
    assert comparison.result().verdict == DIFFERS


def test_dtype_and_shape_must_agree() -> None:
    """Equal values of another dtype or shape are no equality."""
    for other in (np.zeros((BATCH, 3), np.uint8), np.zeros((BATCH, 3, 1), np.int8), np.zeros((1, 3), np.int8)):
        trace = oracle()
        trace = Trace("ort", {**trace.tensors, "a": other}, trace.outputs)
        comparison = Comparison(a_program(), "ort")
        comparison.update(a_trace(), trace)
        assert comparison.result().verdict == DIFFERS
        assert f"{other.dtype}{list(other.shape)}" in comparison.result().sentence


def test_a_disturbed_oracle_gets_no_verdict() -> None:
    """Not even when everything is equal, and one disturbed batch is enough."""
    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(), oracle(undisturbed="looking changes its output"))
    comparison.update(a_trace(), oracle())
    result = comparison.result()
    assert result.verdict == NO_VERDICT
    assert not result.holds
    assert "looking changes its output" in result.sentence


def test_floats_are_compared_by_bits() -> None:
    """Zero and minus zero differ, NaN equals NaN, infinity is infinitely far."""
    nan, inf = float("nan"), float("inf")
    same = Comparison(a_program(), "ort")
    same.update(a_trace(y={(0, 0): nan}), oracle(y={(0, 0): -nan}))
    assert same.result().verdict == EXACT
    zero = Comparison(a_program(), "ort")
    zero.update(a_trace(y={(0, 0): -0.0}), oracle())
    assert zero.result().outputs[0].differing == 1
    far = Comparison(a_program(), "ort")
    far.update(a_trace(y={(0, 0): inf, (0, 1): nan}), oracle())
    assert (far.result().outputs[0].differing, far.result().outputs[0].max_difference) == (2, inf)


def test_argmax_flips_are_counted() -> None:
    """One of two inputs changes its class."""
    comparison = Comparison(a_program(), "ort")
    comparison.update(a_trace(y={(0, 1): 1.0, (1, 0): 0.5}), oracle())
    row = comparison.result().outputs[0]
    assert (row.argmax_flips, row.max_difference) == (1, 1.0)


def a_report(*verdicts: str, deciding: tuple[str, ...] = ("ort",)) -> Report:
    """A report with one oracle per verdict."""
    names = ("ort", "ort-default", "onnx-reference")
    made = []
    for name, verdict in zip(names, verdicts, strict=False):
        comparison = Comparison(a_program(), name)
        changes: dict[str, Any] = {} if verdict == EXACT else {"a": {(0, 0): 1}}
        comparison.update(a_trace(**changes), oracle(), a_trace(**changes))
        made.append(no_verdict(name, "absent") if verdict == NO_VERDICT else comparison.result())
    return Report({}, {}, BATCH, True, BATCH, tuple(made), deciding)


@pytest.mark.parametrize(
    ("verdicts", "deciding", "code"),
    [
        ((EXACT, DIFFERS), ("ort",), 0),
        ((EXACT, DIFFERS), ("ort", "ort-default"), 1),
        ((DIFFERS, EXACT), ("ort",), 1),
        ((NO_VERDICT, EXACT), ("ort",), 2),
        ((NO_VERDICT, DIFFERS), ("ort", "ort-default"), 1),
        ((EXACT, NO_VERDICT), ("ort", "ort-default"), 2),
        ((EXACT, NO_VERDICT), ("ort",), 0),
    ],
)
def test_the_exit_code_follows_the_oracles_that_decide(
    verdicts: tuple[str, ...], deciding: tuple[str, ...], code: int
) -> None:
    """Others are reported only."""
    report = a_report(*verdicts, deciding=deciding)
    assert report.exit_code == code
    assert report.holds == (code == 0)


def test_the_json_names_rows_in_graph_order_with_an_open_batch() -> None:
    """N stands for the batch."""
    found = a_report(EXACT, DIFFERS).to_json()
    assert found["schema"] == "q8emu.verify/1"
    assert [row["tensor"] for row in found["tensors"]] == ["a", "b", "q", "y"]
    assert found["tensors"][0]["shape"] == ["N", 3]
    first = found["tensors"][0]["oracles"]["ort-default"]
    assert (first["differing"], first["max_lsb"], first["histogram"]) == (1, 1, {"1": 1})
    assert first["first"] == {"sample": 0, "index": [0, 0], "expected": 0, "got": 1}
    assert found["oracles"][1]["first_divergence"] == "a"
