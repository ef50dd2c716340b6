# SPDX-License-Identifier: Apache-2.0
"""Random legal models: the definition, the reference kernels, every ISA and ONNX Runtime give the same bits.

A thousand examples in the normal run; Q8EMU_FUZZ_EXAMPLES sets another number. Hypothesis prints the failing model's
operators and a blob that repeats it.
"""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

import strategies
from strategies_agreement import Agreement, check
from strategies_builder import Case

EXAMPLES = int(os.environ.get("Q8EMU_FUZZ_EXAMPLES", "1000"))
PER_OPERATOR = max(EXAMPLES // 2 // len(strategies.OPERATORS), 1)
GRAPHS = max(EXAMPLES - PER_OPERATOR * len(strategies.OPERATORS), 1)

relaxed = settings(deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
threads = st.integers(1, 3)


def compared(case: Case, number_of_threads: int) -> Agreement:
    """Check a case and count how much of it the oracle judged."""
    note(f"{len(case.model)} bytes of model, inputs {[f'{n} {a.dtype}{list(a.shape)}' for n, a in case.feeds.items()]}")
    agreement = check(case, number_of_threads)
    event(
        "fully compared" if agreement.is_full else "refused by the oracle" if agreement.refused else "partly compared"
    )
    return agreement


@pytest.mark.parametrize("operator", strategies.OPERATORS)
def test_single_operators_agree(operator: str) -> None:
    """One operator, every attribute and spelling of it."""

    @settings(relaxed, max_examples=PER_OPERATOR)
    @given(case=strategies.models((operator,), most=1), number_of_threads=threads)
    def every_reading_agrees(case: Case, number_of_threads: int) -> None:
        compared(case, number_of_threads)

    every_reading_agrees()


@settings(relaxed, max_examples=GRAPHS)
@given(case=strategies.models(), number_of_threads=threads)
def test_graphs_agree(case: Case, number_of_threads: int) -> None:
    """Graphs of up to six operators, with residual connections, in mixed spellings."""
    compared(case, number_of_threads)


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
