# SPDX-License-Identifier: Apache-2.0
"""Profiles of hardware held to golden values of the vendors' own C functions, and NVDLA to an independent formula.

The golden values are in golden/vendor/, 100,000 per function; the definition and every kernel meet them.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from golden import vendor

from conftest import ISAS
from q8emu import models
from q8emu.emulator import Emulator, Options
from q8emu.errors import UnsupportedOperator
from q8emu.graph import Graph, Node, QuantParams, TensorInfo
from q8emu.lower import lower
from q8emu.numerics import profile, spec
from q8emu.ops.output_stage import multiplier_arrays, rule_of
from q8emu.readers.tflite import read_tflite
from q8emu.run import Runner
from q8emu.verify import verify
from strategies_steps import Dict, Maker
from tflite_cases import case

KERNELS = ("spec", *ISAS)
NAMES = ("cmsis-nn", "cmsis-nn-single", "gemmini", "nnom", "nvdla")
INT8 = spec.limits("int8")


def requantized(acc: np.ndarray, params: Dict, arrays: dict[str, np.ndarray], kernels: str) -> np.ndarray:
    """Accumulators, each a column with parameters of its own, through the output stage of a product of zeros."""
    operands = [np.zeros((1, 1), np.int8), np.zeros((1, len(acc)), np.int8)]
    fixed: Dict = {"a_zero_point": 0, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0, "y_zero_point": 0}
    params = {**params, **fixed, "qmin": INT8[0], "qmax": INT8[1]}
    arrays = arrays | {"b_zero_point": np.zeros(1, np.int32), "bias": acc.reshape(1, -1)}
    single = Maker(0).single("matmul", operands, [("int8", (1, len(acc)))], params, arrays, (1,))
    return Runner(single.program, kernels=kernels, threads=1).run(single.feeds).outputs["y0"].reshape(-1)


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    """Bit for bit."""
    wrong = np.flatnonzero(found != expected)
    assert not len(wrong), f"{len(wrong)} of {found.size} differ, first {wrong[0]}: {found[wrong[0]]}"


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("name", ["cmsis-nn", "cmsis-nn-single"])
def test_requantize_is_that_of_cmsis_nn(name: str, kernels: str) -> None:
    given, rule = vendor.multiplied(), profile(name).product.rule
    pairs = list(zip(given["multiplier"].tolist(), given["shift"].tolist(), strict=True))
    found = requantized(given["acc"], rule_of(rule, pairs), multiplier_arrays(pairs), kernels)
    expected = vendor.committed(name)["requantize"]
    assert_same(found, expected.clip(*INT8))
    if kernels == "spec":
        values = [rule(a, *pair) for a, pair in zip(given["acc"].tolist(), pairs, strict=True)]
        assert_same(np.array(values).clip(-(2**15), 2**15 - 1), expected)


@pytest.mark.parametrize("kernels", KERNELS)
def test_requantize_is_that_of_gemmini(kernels: str) -> None:
    given = vendor.scaled()
    assert profile("gemmini").scale == "float32"
    found = requantized(given["acc"], {}, {"scale_bits": given["scale"].view(np.uint32)}, kernels)
    assert_same(found, vendor.committed("gemmini")["acc_scale"])


@pytest.mark.parametrize("kernels", KERNELS)
def test_requantize_is_that_of_nnom(kernels: str) -> None:
    given, rule = vendor.shifted(), profile("nnom").product.rule
    pairs = [(1, shift) for shift in given["shift"].tolist()]
    found = requantized(given["acc"], rule_of(rule, pairs), multiplier_arrays(pairs), kernels)
    assert_same(found, vendor.committed("nnom")["requantize"])


def added(name: str, scales: tuple[float, float, float], a: np.ndarray, b: np.ndarray, kernels: str) -> np.ndarray:
    """The operator Add under a profile, zero points 0."""
    quants = [QuantParams("int8", (scale,), (0,)) for scale in scales]
    tensors = {n: TensorInfo(n, "int8", a.shape, q) for n, q in zip("aby", quants, strict=True)}
    node = Node("Add", "add", ("a", "b"), ("y",), {"clamp": INT8}, tuple(quants[:2]), (quants[2],))
    program = lower(Graph(("a", "b"), ("y",), (node,), tensors, {}), profile(name))
    return Runner(program, kernels=kernels, threads=1).run({"a": a, "b": b}).outputs["y"]


@pytest.mark.parametrize("kernels", KERNELS)
def test_add_is_that_of_gemmini(kernels: str) -> None:
    """The residual addition, each branch rounded and saturated for itself."""
    given, expected = vendor.branches(), vendor.committed("gemmini")["resadd"]
    for at in range(0, vendor.COUNT, vendor.RUN):
        part = slice(at, at + vendor.RUN)
        scales = (float(given["a_scale"][at]), float(given["b_scale"][at]), 1.0)
        assert_same(added("gemmini", scales, given["a"][part], given["b"][part], kernels), expected[part])


@pytest.mark.parametrize("kernels", KERNELS)
def test_add_is_that_of_nnom(kernels: str) -> None:
    """Operands of one format."""
    given, expected = vendor.sums(), vendor.committed("nnom")["add"]
    for shift in range(5):
        own = given["shift"] == shift
        found = added("nnom", (2.0**-shift, 2.0**-shift, 1.0), given["a"][own], given["b"][own], kernels)
        assert_same(found, expected[own])


def nvdla(acc: int, scale: int, truncate: int) -> int:
    """The output converter without an offset: sat17, then int8, of the product to the nearest, ties away from zero."""
    exact = Fraction(acc * scale, 2**truncate)
    magnitude = (abs(exact) + Fraction(1, 2)).__floor__()
    return min(max(magnitude if exact >= 0 else -magnitude, -128), 127)


@pytest.mark.parametrize("kernels", KERNELS)
def test_requantize_is_the_formula_of_nvdla(kernels: str, rng: np.random.Generator) -> None:
    """No binary: the SDP's output converter is written down here once more, on exact fractions."""
    scales = np.exp2(rng.uniform(-22, -1, 20_000))
    rescaling = profile("nvdla").product
    from q8emu.numerics.multiplier import quantize_multiplier

    pairs = [quantize_multiplier(float(scale), rescaling.form) for scale in scales]
    assert all(2**14 <= multiplier < 2**15 for multiplier, _ in pairs)
    halves = rng.integers(-140, 140, len(pairs)) * 2 + 1
    acc = [(int(h) << (s - 1)) // m for h, (m, s) in zip(halves, pairs, strict=True)] + rng.integers(-1, 2, len(pairs))
    acc = acc.clip(-(2**31), 2**31 - 1).astype(np.int32)
    found = requantized(acc, rule_of(rescaling.rule, pairs), multiplier_arrays(pairs), kernels)
    expected = [nvdla(a, *pair) for a, pair in zip(acc.tolist(), pairs, strict=True)]
    assert_same(found, np.array(expected, np.int8))


@pytest.mark.parametrize("kernels", ["spec", ISAS[0]])
def test_add_of_two_scales_is_the_formula_of_nvdla(kernels: str, rng: np.random.Generator) -> None:
    """The operand of half the scale is halved, ties away from zero; then the sum is requantized."""
    a, b = rng.integers(-128, 128, (2, 5000)).astype(np.int8)
    found = added("nvdla", (0.5, 0.25, 1.0), a, b, kernels)
    expected = [nvdla(int(p) + nvdla(int(q), 1, 1), 1, 1) for p, q in zip(a, b, strict=True)]
    assert_same(found, np.array(expected, np.int8))


@pytest.mark.parametrize("name", NAMES)
def test_the_packaged_model_runs(name: str) -> None:
    """Every kernel set gives the same probabilities, and they are not all ONNX Runtime's."""
    inputs = {key: array[:2] for key, array in models.default_inputs().items()}
    outputs = {}
    for kernels in ("reference", ISAS[0]):
        emulator = Emulator(models.default_model(), Options(name, kernels))
        outputs[kernels] = [part.run().outputs["probabilities"] for part in emulator.batches(inputs)]
    assert np.array_equal(outputs["reference"], outputs[ISAS[0]])


@pytest.mark.parametrize(("name", "operator"), [("gemmini", "MUL"), ("nvdla", "LOGISTIC"), ("nnom", "TANH")])
def test_operators_without_a_rule_are_refused(name: str, operator: str, rng: np.random.Generator) -> None:
    with pytest.raises(UnsupportedOperator, match=f"'{name}' has no rule for this operator"):
        lower(read_tflite(case(operator, rng).model), profile(name))


def test_a_profile_without_an_oracle_is_held_to_the_definition() -> None:
    """What the oracles say is reported; the definition decides, which holds the kernels alone."""
    inputs = {key: array[:1] for key, array in models.default_inputs().items()}
    report = verify(inputs=inputs, numerics="nnom", reference_limit=1)
    assert (report.deciding, report.verdict, report.exit_code) == (("spec",), "holds", 0)
    assert "ort" in [o.oracle for o in report.oracles]
    assert verify(inputs=inputs, numerics="nnom", against=["ort"]).exit_code == 1
