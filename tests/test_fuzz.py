# SPDX-License-Identifier: Apache-2.0
"""Random legal models: the definition, the reference kernels, every ISA and ONNX Runtime give the same bits.

A thousand examples in the normal run; Q8EMU_FUZZ_EXAMPLES sets another number. Hypothesis prints the failing model's
operators and a blob that repeats it.
"""

from __future__ import annotations

import os
from dataclasses import replace

import onnx
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

import strategies
from strategies_agreement import check, lowered
from strategies_builder import Case

EXAMPLES = int(os.environ.get("Q8EMU_FUZZ_EXAMPLES", "1000"))
ROUND = 1000  # examples of one hypothesis run; it remembers all of them
PER_OPERATOR = max(EXAMPLES // 2 // len(strategies.OPERATORS), 1)
GRAPHS = max(EXAMPLES - PER_OPERATOR * len(strategies.OPERATORS), 1)

relaxed = settings(deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))


def rounds(examples: int) -> list[int]:
    """The examples, cut into runs."""
    full, rest = divmod(examples, ROUND)
    return [ROUND] * full + [rest] * bool(rest)


def explore(cases: st.SearchStrategy[Case], examples: int) -> None:
    """Let hypothesis look for a model on which two readings of the arithmetic differ."""

    @settings(relaxed, max_examples=examples)
    @given(case=cases, threads=st.integers(1, 3))
    def every_reading_agrees(case: Case, threads: int) -> None:
        inputs = [f"{name} {array.dtype}{list(array.shape)}" for name, array in case.feeds.items()]
        note(f"{len(case.model)} bytes of model, inputs {inputs}")
        agreement = check(case, threads)
        event("fully compared" if agreement.is_full else "refused" if agreement.refused else "partly compared")

    every_reading_agrees()


@pytest.mark.parametrize("examples", rounds(PER_OPERATOR))
@pytest.mark.parametrize("operator", strategies.OPERATORS)
def test_single_operators_agree(operator: str, examples: int) -> None:
    """One operator, every attribute and spelling of it."""
    explore(strategies.models((operator,), most=1), examples)


@pytest.mark.parametrize("examples", rounds(GRAPHS))
def test_graphs_agree(examples: int) -> None:
    """Graphs of up to six operators, with residual connections, in mixed spellings."""
    explore(strategies.models(), examples)


def test_opsets_newer_than_the_oracle() -> None:
    """A model of the newest opset that the oracle runs lowers to the same program under every newer one."""
    newest, known = max(strategies.OPSETS), onnx.defs.onnx_opset_version()
    for seed in range(60):
        case = strategies.model(seed, opsets=(newest,))
        expected = lowered(case)[1]
        for opset in range(newest + 1, known + 1):
            proto = onnx.ModelProto.FromString(case.model)
            next(o for o in proto.opset_import if not o.domain).version = opset
            found = lowered(replace(case, model=proto.SerializeToString()))[1]
            assert found.host_nodes == expected.host_nodes
            assert found.digest == expected.digest or expected.host_nodes


def test_most_examples_are_fully_compared() -> None:
    """Of 200 generated models the oracle judges every tensor of at least four in five."""
    agreements = [check(strategies.model(seed)) for seed in range(200)]
    full = sum(agreement.is_full for agreement in agreements)
    assert full >= 160, f"only {full} of 200 models are fully compared"
    assert sum(agreement.elements for agreement in agreements) > 20_000


def test_the_generator_reaches_every_operator_in_both_spellings() -> None:
    """A generator that forgets an operator would hide its bugs."""
    written = {name for seed in range(2500) for name in strategies.model(seed, most=2).operators}
    both = (
        "Add AveragePool Concat Conv Flatten Gemm GlobalAveragePool LeakyRelu MatMul MaxPool Mul Reshape Resize "
        "Sigmoid Slice Softmax Split Squeeze Transpose Unsqueeze"
    ).split()
    qdq_only = "Clip HardSigmoid HardSwish Pad ReduceMean Relu Requantize Sub Tanh".split()
    wanted = {f"{name}/qdq" for name in both + qdq_only} | {f"{name}/qoperator" for name in both}
    wanted |= {"ConvInteger", "DynamicQuantizeLinear", "MatMulInteger"}
    assert not wanted - written
