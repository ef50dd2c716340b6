# SPDX-License-Identifier: Apache-2.0
"""Profiles that no runtime computes: a hardware guide's pseudocode, what it means, powers of two; and rules of Add."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import q8emu
from conftest import ISAS
from q8emu import models
from q8emu.errors import BadQuantization
from q8emu.numerics import PROFILES
from q8emu.numerics.multiplier import quantize_multiplier, requantize
from q8emu.numerics.numerics import Numerics
from q8emu.numerics.rounding import ROUNDINGS
from q8emu.numerics.toml import contradictions, decisions
from q8emu.profile import find_profile
from strategies_requantize import accumulators, run

REQUANTIZATIONS = int(os.environ.get("Q8EMU_REQUANTIZATIONS", "10000"))


def test_the_literal_pseudocode_and_what_it_means() -> None:
    """-5 * 0.75 = -3.75: the nearest integer is -4; the literal form subtracts a half and then floors: -5."""
    for acc in (-5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5):
        value = Fraction(acc * 3, 4)
        literal, meant = (find_profile(n).product.by(0.75)(acc) for n in ("hwguide", "half-away"))
        assert abs(value - meant) <= Fraction(1, 2)
        assert literal == meant - (value < 0 and value.denominator != 2)
    assert find_profile("hwguide").product.by(0.75)(-5) == -5
    assert find_profile("half-away").product.by(0.75)(-5) == -4
    inputs = {name: array[:1] for name, array in models.default_inputs().items()}
    one, two = (
        q8emu.run(q8emu.load(numerics=n), inputs).tensors["stack1_conv2_QuantizeLinear_Output"]
        for n in ("hwguide", "half-away")
    )
    difference = np.unique(two.astype(int) - one)
    assert difference.tolist() == [0, 1], "layers before it have a Relu, which hides the difference"


def test_float_sums_excuse_nothing_under_another_arithmetic() -> None:
    """That an oracle computes in float does not explain a wrong rounding."""
    report = q8emu.verify(numerics="hwguide", against=["ort-unfused"])
    assert report.exit_code == 1
    assert report.oracles[0].verdict == "differs"
    assert q8emu.verify(against=["ort-unfused"]).exit_code == 0


@pytest.mark.parametrize("name", ["half-away", "hwguide", "pow2", "pow2-half-even"])
def test_requantizations(name: str, rng: np.random.Generator) -> None:
    """Kernels against the definition; Q8EMU_REQUANTIZATIONS makes it longer."""
    how, left = find_profile(name).product, REQUANTIZATIONS
    while left > 0:
        acc, zero_point = accumulators(rng, 200, 33), int(rng.integers(-128, 128))
        factors = np.exp2(rng.uniform(-20, 0, 33))
        powers = np.exp2(np.round(np.log2(factors)))
        is_power = (rng.random(33) < 0.3) | (how.form.bits == 0)
        pairs = [quantize_multiplier(float(f), how.form) for f in np.where(is_power, powers, factors)]
        expected = [
            [requantize(a, how.rule, *pair, zero_point, (-128, 127)) for a, pair in zip(row, pairs, strict=True)]
            for row in acc.tolist()
        ]
        for isa in ISAS:
            np.testing.assert_array_equal(run(isa, acc, how.rule, pairs, zero_point), expected)
        left -= acc.size


def power_of_two_model(path: Path, *, scale: float = 2.0**-7) -> Path:
    """A residual block whose scales are powers of two: Conv, Add, global average of 16 values."""
    rng = np.random.default_rng(3)
    nodes, constants = [], []

    def constant(name: str, value: np.ndarray | np.generic) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def pair(name: str, quantized: str, factor: float) -> str:
        operands = [constant(f"{quantized}_s", np.float32(factor)), constant(f"{quantized}_z", np.int8(0))]
        nodes.append(helper.make_node("QuantizeLinear", [name, *operands], [quantized]))
        nodes.append(helper.make_node("DequantizeLinear", [quantized, *operands], [f"{quantized}_d"]))
        return f"{quantized}_d"

    x = pair("x", "x_q", 2.0**-5)
    w = constant("w", rng.integers(-127, 128, (4, 4, 3, 3)).astype(np.int8))
    operands = [w, constant("w_s", np.float32(scale)), constant("w_z", np.int8(0))]
    nodes.append(helper.make_node("DequantizeLinear", operands, ["w_d"]))
    nodes.append(helper.make_node("Conv", [x, "w_d"], ["conv"], name="conv", pads=[1, 1, 1, 1]))
    conv = pair("conv", "conv_q", 2.0**-2)
    nodes.append(helper.make_node("Add", [conv, x], ["sum"], name="sum"))
    total = pair("sum", "sum_q", 2.0**-1)
    nodes.append(helper.make_node("GlobalAveragePool", [total], ["pool"], name="pool"))
    pair("pool", "pool_q", 2.0**-3)
    nodes[-1].output[0] = "y"
    info = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in (("x", [1, 4, 4, 4]), ("y", [1, 4, 1, 1]))
    ]
    graph = helper.make_graph(nodes, "powers", info[:1], info[1:], constants)
    path.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString()
    )
    return path


@pytest.mark.parametrize("profile", ["pow2", "pow2-half-even"])
def test_power_of_two_scales(profile: str, tmp_path: Path) -> None:
    """Shifts, written out with fractions from the accumulators on; each rounding rule under every kernel set."""
    model = power_of_two_model(tmp_path / "m.onnx")
    inputs = {"x": np.random.default_rng(1).normal(0, 1.5, (3, 4, 4, 4)).astype(np.float32)}
    rounded = ROUNDINGS[PROFILES[profile].rounding]
    for kernels in ("spec", *ISAS):
        trace = q8emu.run(q8emu.load(model, numerics=profile, kernels=kernels, accumulators=True), inputs)
        got = {name: array.astype(np.int64) for name, array in trace.tensors.items()}
        conv = [min(max(rounded(a, 10), -128), 127) for a in trace.accumulators["conv"].reshape(-1).tolist()]
        assert sorted(got["conv_q"].reshape(-1).tolist()) == sorted(conv)
        total = [rounded(int(v), 4) for v in (got["conv_q"] * 8 + got["x_q"]).reshape(-1)]
        assert got["sum_q"].reshape(-1).tolist() == np.clip(total, -128, 127).tolist()
        pooled = [rounded(int(v), 2) for v in got["sum_q"].sum((2, 3)).reshape(-1)]
        assert got["pool_q"].reshape(-1).tolist() == np.clip(pooled, -128, 127).tolist()


def test_scales_that_are_no_powers_of_two(tmp_path: Path) -> None:
    """Refused; or, with snap, the nearest shift."""
    model = power_of_two_model(tmp_path / "m.onnx", scale=0.009)
    inputs = {"x": np.ones((1, 4, 4, 4), np.float32)}
    with pytest.raises(BadQuantization, match=r"Conv 'conv'.*0.001125; expected a power of two \(snap = \"nearest\""):
        q8emu.run(q8emu.load(model, numerics="pow2"), inputs)
    chip = tmp_path / "chip.toml"
    chip.write_text('base = "pow2"\nsnap = "nearest"\n')
    snapped = q8emu.run(q8emu.load(model, numerics=str(chip)), inputs)
    exact = q8emu.run(q8emu.load(power_of_two_model(tmp_path / "p.onnx"), numerics="pow2"), inputs)
    assert all(np.array_equal(snapped.tensors[n], exact.tensors[n]) for n in exact.tensors)


@pytest.mark.parametrize("rule", ["common_scale", "left_shift", "float"])
def test_the_add_rules_with_fractions(rule: str, tmp_path: Path) -> None:
    """Scales 1/4 and 1/32 to 1/2: each operand by itself, the exact sum once, or in float32 half to even."""
    model, chip = power_of_two_model(tmp_path / "m.onnx"), tmp_path / "chip.toml"
    chip.write_text(f'base = "pow2"\nadd = "{rule}"\n')
    inputs = {"x": np.random.default_rng(2).normal(0, 1.5, (3, 4, 4, 4)).astype(np.float32)}
    for kernels in ("spec", *ISAS):
        got = q8emu.run(q8emu.load(model, numerics=str(chip), kernels=kernels), inputs).tensors
        a, b = (got[name].astype(np.int64).reshape(-1).tolist() for name in ("conv_q", "x_q"))
        up, even = ROUNDINGS["half_up"], ROUNDINGS["half_even"]
        made = {
            "common_scale": [up(p, 1) + up(q, 4) for p, q in zip(a, b, strict=True)],
            "left_shift": [up(8 * p + q, 4) for p, q in zip(a, b, strict=True)],
            "float": [even(8 * p + q, 4) for p, q in zip(a, b, strict=True)],
        }
        assert got["sum_q"].reshape(-1).tolist() == np.clip(made[rule], -128, 127).tolist()


def test_the_records_of_the_guide_do_not_contradict_themselves() -> None:
    for name in ("half-away", "hwguide", "ort", "pow2", "pow2-half-even", "tflite-ref"):
        assert not list(contradictions(PROFILES[name]))
    known = {f.name for f in dataclasses.fields(Numerics)}
    assert set(decisions()) < known
