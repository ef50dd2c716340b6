# SPDX-License-Identifier: Apache-2.0
"""Models of one operator with chosen operands, and how they are compared with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from q8emu.run import Runner
from strategies_agreement import Agreement, check, equal, isas, lowered, run_oracle
from strategies_builder import MICROSOFT, Case, ModelBuilder, Tensor
from strategies_numbers import RandomChooser, limits

DTYPES = ("int8", "uint8")
Params = tuple[np.float32, int]


class One(ModelBuilder):
    """A model of one operator with chosen operands."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        super().__init__(RandomChooser(seed), opset)
        self.has_vectors = False

    def given(self, values: np.ndarray, scale: float | np.floating, point: int) -> Tensor:
        """A quantized input of the model."""
        tensor = Tensor(self.fresh("x"), values, np.float32(scale), point)
        self.feeds[tensor.name] = values
        return tensor

    def output(self, name: str, dtype: str) -> None:
        """The output of the model."""
        self.outputs[name] = (dtype, None)  # type: ignore[assignment]

    def through(self, op: str, inputs: Sequence[str], params: Params, dtype: str, **attrs: Any) -> Case:
        """The operator between DequantizeLinear and QuantizeLinear."""
        (real,) = self.node(op, inputs, **attrs)
        return self.quantized_to(real, params, dtype)

    def quantized_to(self, real: str, params: Params, dtype: str) -> Case:
        """A QuantizeLinear at the end."""
        (out,) = self.node("QuantizeLinear", [real, *self.both(*params, dtype)])
        self.output(out, dtype)
        return self.finish()

    def contrib(self, op: str, operands: Sequence[str], params: Params, dtype: str, **attrs: Any) -> Case:
        """A com.microsoft operator, scales and zero points among its operands."""
        (out,) = self.node(op, [*operands, *self.both(*params, dtype)], domain=MICROSOFT, **attrs)
        self.output(out, dtype)
        return self.finish()


def full(case: Case) -> Agreement:
    """Every reading agrees, and the oracle judged everything."""
    agreement = check(case)
    assert agreement.is_full, (case, agreement)
    return agreement


def codes(dtype: str) -> np.ndarray:
    """Every value of an 8-bit dtype."""
    low, high = limits(dtype)
    return np.arange(low, high + 1).astype(dtype)


def a_scale(rng: np.random.Generator, low: float = -8, high: float = 0) -> np.float32:
    """Random, or a power of two."""
    exponent = rng.uniform(low, high)
    return np.float32(2.0 ** (round(exponent) if rng.random() < 0.5 else exponent))


def a_point(rng: np.random.Generator, dtype: str) -> int:
    """Any zero point."""
    low, high = limits(dtype)
    return int(rng.integers(low, high + 1))


def compare_fast(case: Case) -> None:
    """The kernels against ONNX Runtime; the definition, which is slow, on the kernels' behalf elsewhere."""
    _, program = lowered(case)
    taps = [n for n in program.quantized() if n not in program.inputs]
    expected = run_oracle(case, taps)
    for isa in isas():
        found = Runner(program, kernels=isa, threads=1).run(case.feeds)
        for name in taps:
            equal(case, name, isa, found.tensors[name], "ort", expected.tensors[name])
