# SPDX-License-Identifier: Apache-2.0
"""Profiles of ONNX Runtime on other processors, held to golden values from its binaries under an emulated processor.

Q8EMU_QEMU=PATH, a qemu-x86_64 of version 7.2 or later, runs ONNX Runtime on an emulated Haswell once more.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from golden import archive, cases, processors
from onnx import TensorProto, helper, numpy_helper

from conftest import ISAS
from q8emu import models
from q8emu.backends import BACKENDS
from q8emu.canonical import canonicalize
from q8emu.emulator import Emulator, Options
from q8emu.errors import UnsupportedOperator
from q8emu.lower import lower
from q8emu.numerics import profile
from q8emu.readers.onnx import read_onnx
from q8emu.run import Runner
from q8emu.verify import verify

PROFILES = {"ort-arm": "cortex-a76", "ort-x64-avx2": "haswell"}
REFUSED: dict[str, set[str]] = {"ort-arm": {"ReduceMean"}, "ort-x64-avx2": set()}
"""Golden cases that a profile has no rule for."""
SMALL = 20_000
"""Elements up to which the spec, which is slow, runs a case as well."""
CASES = processors.ROOT / "golden/cases"


@cache
def committed(processor: str) -> dict[str, np.ndarray]:
    """The golden values of a processor."""
    return archive.read_npz(processors.path_of(processor).read_bytes())


def emulated(model: bytes, feeds: dict[str, np.ndarray], name: str, kernels: str) -> dict[str, np.ndarray]:
    """The outputs under a profile."""
    program = lower(canonicalize(read_onnx(model)), profile(name))
    return dict(Runner(program, kernels=kernels, threads=1).run(feeds).outputs)


def assert_same(found: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Bit for bit."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), what
    assert found.tobytes() == expected.tobytes(), f"{what}: {int((found != expected).sum())} of {found.size} differ"


@pytest.mark.parametrize("kernels", ["spec", *ISAS])
@pytest.mark.parametrize("name", PROFILES)
def test_large_products_are_those_of_the_processor(name: str, kernels: str) -> None:
    """uint8 by int8: convolutions dense, in groups and depthwise, and matrix products."""
    values, refused, reasons = committed(PROFILES[name]), [], {True}
    for number in range(processors.PRODUCTS if kernels != "spec" else 60):
        model, x = processors.model(number)
        try:
            found = emulated(model, {"x": x}, name, kernels)["y"]
        except UnsupportedOperator as problem:
            refused.append(number)
            reasons.add("weights of -128 at two taps in a row" in str(problem))
            continue
        assert_same(found, values[f"product.{number}/y"], f"product {number}")
    assert len(refused) < 30
    assert reasons == {True}
    assert (17 in refused) == (name == "ort-arm")  # there, one value of the processor's wraps in 16 bits


@pytest.mark.parametrize("operator", cases.CASES)
@pytest.mark.parametrize("name", PROFILES)
def test_the_golden_cases_are_those_of_the_processor(name: str, operator: str) -> None:
    """What the processor computes as x86-64 with VNNI does, and what it computes otherwise."""
    path = CASES / f"{operator}.onnx"
    if operator in REFUSED[name]:
        with pytest.raises(UnsupportedOperator, match=name):
            lower(canonicalize(read_onnx(path)), profile(name))
        return
    golden, other = archive.read_npz(path.with_suffix(".npz").read_bytes()), committed(PROFILES[name])
    feeds = {key.removeprefix("in."): array for key, array in golden.items() if key.startswith("in.")}
    small = sum(array.size for array in feeds.values()) < SMALL
    for kernels in (*ISAS, *(["spec"] if small else [])):
        for output, array in emulated(path.read_bytes(), feeds, name, kernels).items():
            assert_same(array, other.get(f"{operator}/{output}", golden[f"out.{output}"]), f"{operator} {output}")


@pytest.mark.parametrize("name", PROFILES)
def test_the_packaged_model_runs(name: str) -> None:
    """As under the profile ort where nothing saturates: its activations and weights are int8."""
    inputs = {key: array[:1] for key, array in models.default_inputs().items()}
    emulator = Emulator(models.default_model(), Options(name))
    (found,) = [part.run().outputs["probabilities"] for part in emulator.batches(inputs)]
    assert found.shape == (1, 10)


def test_pairs_saturate() -> None:
    """The profile ort, whose products are exact, differs; and pads take part with the zero point."""
    differing = 0
    for number, model, x in _products(40):
        found = emulated(model, {"x": x}, "ort", ISAS[0])["y"]
        differing += int((found != committed("haswell")[f"product.{number}/y"]).sum())
    assert differing > 100


def test_conv_integer_does_not_saturate() -> None:
    """ONNX Runtime gives its matrix product the weights first, where they become uint8; MatMulInteger saturates."""
    x, w = np.full((1, 2, 1, 1), 255, np.uint8), np.full((1, 2, 1, 1), 127, np.int8)
    for operator, weights, expected in (("ConvInteger", w, 2 * 255 * 127), ("MatMulInteger", w.reshape(2, 1), 32767)):
        array = x if operator == "ConvInteger" else x.reshape(1, 2)
        graph = helper.make_graph(
            [helper.make_node(operator, ["x", "w"], ["y"], "product")],
            "product",
            [helper.make_tensor_value_info("x", TensorProto.UINT8, array.shape)],
            [helper.make_tensor_value_info("y", TensorProto.INT32, None)],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        found = emulated(model.SerializeToString(), {"x": array}, "ort-x64-avx2", "reference")["y"]
        assert found.reshape(-1).tolist() == [expected], operator


def test_this_processor_itself_is_the_oracle_where_it_can_be(tmp_path: Path) -> None:
    """A uint8 model whose products saturate, every tensor; elsewhere a sentence says which CPU is needed."""
    reason = BACKENDS["ort-x64-avx2"].why_unavailable()
    if reason is not None:
        assert "AVX2 and without VNNI" in reason
        return
    for number, model, x in _products(40):
        path = tmp_path / f"{number}.onnx"
        path.write_bytes(model)
        report = verify(path, {"x": x}, numerics="ort-x64-avx2", against=["ort-x64-avx2"])
        assert report.oracles[0].verdict == "exact", report.oracles[0].sentence


def _products(count: int) -> Iterator[tuple[int, bytes, np.ndarray]]:
    for number in range(count):
        yield number, *processors.model(number)


def test_an_emulated_haswell_computes_the_golden_values(tmp_path: Path) -> None:
    """ONNX Runtime itself, on a processor without VNNI."""
    qemu = os.environ.get("Q8EMU_QEMU")
    if not qemu:
        pytest.skip("needs an emulator of x86-64: set Q8EMU_QEMU to a qemu-x86_64, 7.2 or later")
    script, folder, out = processors.__file__, tmp_path / "models", tmp_path / "haswell.npz"
    processors.build(folder)
    command = [qemu, "-cpu", "Haswell", sys.executable, script, "run", str(folder), str(out)]
    subprocess.run(command, check=True, capture_output=True)
    found, expected = processors.keep(folder, out), committed("haswell")
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        assert_same(found[name], array, name)
