# SPDX-License-Identifier: Apache-2.0
"""Narrow accumulators and biases: what wraps, what saturates after which product, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import ISAS
from q8emu.canonical import canonicalize
from q8emu.errors import BadQuantization
from q8emu.lower import lower
from q8emu.numerics import PROFILES
from q8emu.program import Program
from q8emu.readers.onnx import read_onnx
from q8emu.run import Runner
from small_models import Model, residual
from strategies_steps import Dict, Maker

PRODUCTS = np.array([[120, 100, -120, 90]], np.int8), np.array([[120], [110], [127], [-128]], np.int8)
"""14400 + 11000 - 15240 - 11520: with the bias, an end of 16 bits is passed on the way and not at the end."""


@pytest.mark.parametrize("kernels", ["spec", *ISAS])
def test_the_order_of_a_sum_that_saturates(kernels: str) -> None:
    """Bias first: 20000 + 14400 saturates to 32767, stays there, then falls by 26760. Wrapped, the sum is exact."""
    params: Dict = {"a_zero_point": 0, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}
    arrays = {"b_zero_point": np.zeros(1, np.int32), "bias": np.array([[20000]], np.int32)}
    expected = {(16, 1): 6007, (16, 0): 18640, (32, 1): 18640, (17, 1): 18640}
    for (bits, overflow), value in expected.items():
        width: Dict = {"accumulator_bits": bits, "overflow": overflow}
        single = Maker(0).single("matmul", list(PRODUCTS), [("int32", (1, 1))], params | width, arrays, (1,))
        assert Runner(single.program, kernels=kernels, threads=1).run(single.feeds).outputs["y0"] == value
    arrays["bias"] += 2**16 - 18640 - 1  # the sum becomes 2^16 - 1
    width = {"accumulator_bits": 16, "overflow": 0}
    single = Maker(0).single("matmul", list(PRODUCTS), [("int32", (1, 1))], params | width, arrays, (1,))
    assert Runner(single.program, kernels=kernels, threads=1).run(single.feeds).outputs["y0"] == -1


def lowered(model: Path, **fields: Any) -> Program:
    """The model under the profile tflite-ref with other values of fields."""
    numerics = replace(PROFILES["tflite-ref"], name="own", fully_connected="requantize", **fields)
    return lower(canonicalize(read_onnx(model)), numerics)


def test_a_wide_accumulator_changes_no_program(tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    plain = [step.params for step in lowered(model).steps]
    assert [step.params for step in lowered(model, overflow="refuse").steps] == plain, "proven: nothing to do"
    assert [step.params for step in lowered(model, accumulator_bits=31).steps] != plain


def test_refusal_is_a_proof_from_the_weights(tmp_path: Path) -> None:
    """3 * 3 * 3 weights of up to 127 against x - 0 in [-128, 127] pass 18 bits, and cannot pass 21."""
    model = residual(tmp_path / "m.onnx")
    lowered(model, overflow="refuse", accumulator_bits=21)
    with pytest.raises(BadQuantization, match=r"Conv 'stem'.*channel \d+ can reach -?\d{6}, beyond 18 bits.*'own'"):
        lowered(model, overflow="refuse", accumulator_bits=18)


def test_the_proven_bound_is_reached(tmp_path: Path) -> None:
    """One width less than the least that is accepted, and an input whose sum does not fit."""
    model = residual(tmp_path / "m.onnx")
    graph = canonicalize(read_onnx(model))
    stem = next(n for n in graph.nodes if n.name == "stem")
    w, bias = (graph.constants[stem.inputs[i]].astype(np.int64) for i in (1, 2))
    reach = np.maximum(w * -128, w * 127).sum((1, 2, 3)) + bias
    lowest = np.minimum(w * -128, w * 127).sum((1, 2, 3)) + bias
    bits = next(b for b in range(16, 33) if reach.max() < 2 ** (b - 1) and lowest.min() >= -(2 ** (b - 1)))
    with pytest.raises(BadQuantization, match="Conv 'stem'"):
        lowered(model, overflow="refuse", accumulator_bits=bits - 1)


def test_a_bias_that_does_not_fit(tmp_path: Path) -> None:
    model = residual(tmp_path / "m.onnx")
    lowered(model, bias_bits=10)
    with pytest.raises(BadQuantization, match=r"Conv 'stem'.*bias of -?\d+ does not fit into 9 bits.*'own'"):
        lowered(model, bias_bits=9)


def test_products_of_two_tensors_known_at_run_time(tmp_path: Path) -> None:
    made = Model()
    a, b = made.quantize("x", "a_q", 0.02), made.quantize("x", "b_q", 0.02)
    made.quantize(made.add("MatMul", [a, b], "product"), "y_q", 0.1)
    made.nodes[-1].output[0] = "y"
    model = made.save(tmp_path / "m.onnx", [4, 4], [4, 4])
    lowered(model, overflow="refuse", accumulator_bits=18)
    with pytest.raises(BadQuantization, match=r"MatMul 'product'.*can reach 65536, beyond 17 bits"):
        lowered(model, overflow="refuse", accumulator_bits=17)
