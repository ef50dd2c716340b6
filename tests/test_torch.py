# SPDX-License-Identifier: Apache-2.0
"""PyTorch profiles held to PyTorch's engines: random single operators and the ResNet8, every tensor bit for bit.

The normal run takes 12 modules per operator and engine and 50 images; Q8EMU_FUZZ_EXAMPLES=N gives each operator N
modules, Q8EMU_IMAGES=10000 takes the whole CIFAR-10 test set.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Literal

import numpy as np
import pytest

import q8emu
from conformance_torch import SCALES, engine_of, torch_requantizations
from q8emu.backends import BACKENDS
from q8emu.backends.cpu import this_cpu
from q8emu.backends.torch import under
from q8emu.emulator import Emulator, Options
from q8emu.errors import BackendUnavailable, BadInput, UnsupportedOperator
from q8emu.numerics import PROFILES, profile
from q8emu.report import Report
from q8emu.run import Runner
from q8emu.verify import verify
from torch_cases import CASES, Case, Operand, case, module, traced

EXAMPLES = int(os.environ.get("Q8EMU_FUZZ_EXAMPLES", "12"))
IMAGES = int(os.environ.get("Q8EMU_IMAGES", "50"))
SPEC_EXAMPLES = 3  # the Python definition is slow: it takes part in the first modules of each operator
NAMES = [name for name, record in PROFILES.items() if record.oracle.startswith("torch-")]

Import = Callable[[str, str], ModuleType]


def available(numerics: str) -> str:
    """The profile, where PyTorch computes as it here; skips on other CPUs."""
    reason = BACKENDS[profile(numerics).oracle].why_unavailable()
    if reason is not None:
        pytest.skip(reason)
    return numerics


def fbgemm() -> str:
    """The profile of the engine fbgemm on this CPU."""
    return available("torch-fbgemm" if "avx512f" in this_cpu().flags else "torch-fbgemm-avx2")


@pytest.fixture(autouse=True)
def _torch(package: Import) -> None:
    """Every test here needs PyTorch."""
    package("torch", "torch")


@pytest.mark.parametrize("operator", CASES)
@pytest.mark.parametrize("numerics", NAMES)
def test_single_operators_agree(numerics: str, operator: str, seed: int, tmp_path: Path) -> None:
    """The definition, the reference kernels, every ISA and PyTorch; the case is repeated from its seed."""
    from q8emu import _core

    oracle = BACKENDS[profile(available(numerics)).oracle]
    engine = engine_of(oracle.name)
    for number in range(EXAMPLES):
        one = case(operator, np.random.default_rng([seed, number]), engine)
        path = one.save(tmp_path / "model.pt", engine)
        emulator = Emulator(path, Options(numerics, batch=len(one.feeds["x"])))
        taps = [name for name in emulator.program.quantized() if name not in emulator.graph.outputs]
        trace = oracle.open(path, taps).run(one.feeds)
        assert trace.undisturbed is None
        expected = dict(trace.tensors) | dict(trace.outputs)
        (part,) = emulator.batches(one.feeds)
        for kernels in [*_core.isas(), *(["spec"] if number < SPEC_EXAMPLES else [])]:
            found = Runner(part.program, kernels=kernels, threads=1 + number % 3).run(one.feeds)
            for name, array in expected.items():
                got = found.outputs[name] if name in found.outputs else found.tensors[name]
                assert (got.dtype, got.shape) == (array.dtype, array.shape)
                wrong = np.argwhere(got != array)
                assert not len(wrong), (
                    f"{operator}, seed {seed} number {number}, {kernels}: {len(wrong)} of {got.size} of '{name}' "
                    f"differ, first at {wrong[0]}: expected {array[tuple(wrong[0])]}, got {got[tuple(wrong[0])]}"
                )


def test_a_quantized_result_is_a_tensor_too(seed: int, tmp_path: Path) -> None:
    """A module need not end in a dequantization."""
    path = case("linear", np.random.default_rng(seed), "fbgemm").save(tmp_path / "model.pt", "fbgemm")
    report = verify(path, numerics=fbgemm(), against=[fbgemm()])
    assert report.exit_code == 0, report.oracles[0].sentence
    assert "output" in {row.name for row in report.oracles[0].tensors}


@pytest.mark.parametrize("operator", ["conv2d", "linear"])
@pytest.mark.parametrize("scales", SCALES)
def test_a_float_bias_beside_ties(operator: str, scales: str, rng: np.random.Generator) -> None:
    """fbgemm fuses the bias under one scale into the accumulator, with one rounding."""
    found = torch_requantizations(fbgemm(), fbgemm(), operator, scales, rng, 2**18)
    assert found.differing == 0, found.first


def test_every_sum_of_two_values(tmp_path: Path) -> None:
    """With a pair whose sum is a tie but for how fbgemm dequantizes."""
    import torch

    a, b = Operand(0.010359492152929306, 27), Operand(0.03691533952951431, 255)
    codes = np.arange(256, dtype=np.float32)
    grids = np.meshgrid((codes - a.point) * np.float32(a.scale), (codes - b.point) * np.float32(b.scale))
    feeds = {name: grid[None, None] for name, grid in zip("xy", grids, strict=True)}
    op = torch.ops.quantized.add
    made = module([a, b], lambda self, x, y: op(x, y, 0.04779304191470146, 0))
    path = Case("add", made, feeds).save(tmp_path / "model.pt", "fbgemm")
    report = verify(path, feeds, numerics=fbgemm(), against=[fbgemm()])
    assert report.exit_code == 0, report.oracles[0].sentence


def grouped(
    folder: Path, rng: np.random.Generator, group: int, per: int, units: int, engine: str = "fbgemm"
) -> tuple[Path, np.ndarray]:
    """A convolution of 3x3 taps whose pairs saturate, and its input."""
    import torch

    from q8emu.backends.torch import under

    values = torch.from_numpy(rng.integers(100, 128, (units, per, 3, 3), dtype=np.int8))
    x = rng.integers(200, 256, (2, group * per, 4, 5)).astype(np.float32)
    op = torch.ops.quantized.conv2d
    with under(engine, 1):
        weight = torch._make_per_tensor_quantized_tensor(values, 2.0**-7, 0)
        packed = torch.ops.quantized.conv2d_prepack(weight, None, [1, 1], [1, 1], [1, 1], group)
    made = module([Operand(1.0, 0)], lambda self, q: op(q, self.packed, 64.0, 0), packed=packed)
    (folder / "model.pt").write_bytes(traced(made, [x], engine))
    return folder / "model.pt", x


def result(model: Path, numerics: str, x: np.ndarray) -> np.ndarray:
    """What the emulator gives."""
    return Emulator(model, Options(numerics, threads=1, batch=2)).run({"x": x}).outputs["output"]


@pytest.mark.parametrize(
    ("group", "per", "units"), [(16, 1, 32), (8, 1, 8), (8, 2, 16), (4, 4, 16), (2, 8, 16), (1, 16, 16)]
)
def test_kernels_of_their_own(group: int, per: int, units: int, tmp_path: Path, rng: np.random.Generator) -> None:
    """The one for depthwise saturates on every CPU, also with two outputs a channel; that for groups with AVX2."""
    model, x = grouped(tmp_path, rng, group, per, units)
    narrow, wide = (result(model, numerics, x) for numerics in ("torch-fbgemm-avx2", "torch-fbgemm"))
    assert np.array_equal(narrow, wide) == (per == 1)
    oracle = BACKENDS[profile(fbgemm()).oracle]
    expected = oracle.open(model, ()).run({"x": x}).outputs["output"]
    assert np.array_equal(expected, wide if oracle.name == "torch-fbgemm" else narrow)


@pytest.mark.parametrize(
    ("numerics", "group", "per", "together"),
    [
        ("torch-fbgemm", 9, 2, 8),
        ("torch-fbgemm", 6, 4, 4),
        ("torch-fbgemm-avx2", 5, 2, 4),
        ("torch-fbgemm-avx2", 3, 4, 2),
    ],
)
def test_groups_that_fbgemm_computes_outside_its_arrays(
    numerics: str, group: int, per: int, together: int, tmp_path: Path, rng: np.random.Generator
) -> None:
    """PyTorch's process may die of them, so it is not asked here."""
    model, x = grouped(tmp_path, rng, group, per, group * per, "qnnpack")
    with pytest.raises(UnsupportedOperator, match=f"{group} groups of {per} channels .* takes {together} groups"):
        result(model, numerics, x)
    fewer, x = grouped(tmp_path, rng, together - 1, per, (together - 1) * per, "qnnpack")
    assert result(fewer, numerics, x).size


def test_sums_left_over_by_vectors(tmp_path: Path) -> None:
    """63 elements, no whole group; the sum is a tie but for how it is quantized."""
    import torch

    a, b = Operand(0.005633682478219271, 242), Operand(0.3284394443035126, 159)
    feeds = {"x": np.full((1, 1, 1, 63), -0.8394187, np.float32), "y": np.full((1, 1, 1, 63), 3.2843945, np.float32)}
    op = torch.ops.quantized.add
    made = module([a, b], lambda self, x, y: op(x, y, 0.37615033984184265, 117))
    path = Case("add", made, feeds).save(tmp_path / "model.pt", "fbgemm")
    report = verify(path, feeds, numerics=fbgemm(), against=[fbgemm()])
    assert report.exit_code == 0, report.oracles[0].sentence


# The ResNet8


@pytest.fixture(scope="session")
def calibration() -> np.ndarray:
    """Images to calibrate on: of the CIFAR-10 training set where it is at hand, else the packaged ones."""
    from golden.resnet8.quantize import calibration_images

    from q8emu import models

    data = os.environ.get("Q8EMU_DATA")
    folder = Path(data) / "cifar10" / "cifar-10-batches-bin" if data else Path("nowhere")
    if (folder / "data_batch_1.bin").is_file():
        return np.asarray(calibration_images(folder), np.float32)
    return np.asarray(next(iter(models.default_inputs().values())), np.float32)


@pytest.fixture(scope="session", params=NAMES)
def resnet8(
    request: pytest.FixtureRequest,
    package: Import,
    calibration: np.ndarray,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """The name of a profile, and the TorchScript file for its engine."""
    package("torch", "torch")
    from torch_resnet8 import write

    engine = engine_of(available(request.param))
    return request.param, write(tmp_path_factory.mktemp("torch") / f"{engine}.pt", engine, calibration)


def assert_exact(report: Report) -> None:
    """Zero differing elements in every quantized tensor and every output."""
    (oracle,) = report.oracles
    assert oracle.verdict == "exact", oracle.sentence
    assert oracle.samples == report.samples
    assert len(oracle.tensors) == 18
    assert all(row.elements > 0 and row.differing == 0 for row in (*oracle.tensors, *oracle.outputs))
    assert report.exit_code == 0


def test_resnet8_agrees_on_synthetic_images(resnet8: tuple[str, Path]) -> None:
    """Every quantized tensor; the length of the batch is open."""
    from q8emu import models

    numerics, path = resnet8
    (images,) = models.default_inputs().values()
    emulator = Emulator(path, Options(numerics))
    assert emulator.is_symbolic and not emulator.host_nodes
    assert_exact(verify(path, {"x": images}, numerics=numerics, against=[numerics]))


def test_resnet8_agrees_on_images(resnet8: tuple[str, Path], cifar10_test: tuple[np.ndarray, np.ndarray]) -> None:
    """Every quantized tensor on CIFAR-10 test images; Q8EMU_IMAGES=10000 takes all."""
    numerics, path = resnet8
    images = cifar10_test[0][:IMAGES].astype(np.float32)
    assert_exact(verify(path, {"x": images}, numerics=numerics, against=[numerics]))


def test_a_module_in_python_is_traced(calibration: np.ndarray) -> None:
    import torch

    from torch_resnet8 import quantized

    module = quantized("fbgemm", calibration[:8])
    emulator = q8emu.load(module, numerics="torch-fbgemm", example=(torch.from_numpy(calibration[:1]),))
    assert {"stem", "stack3_shortcut", "dense", "add_relu"} <= set(emulator.program.quantized())
    with pytest.raises(BadInput, match="has to be traced"):
        q8emu.load(module, numerics="torch-fbgemm")


@pytest.mark.parametrize("name", ["torch-onednn", "torch-x86"])
def test_what_is_measured_of_the_engines_without_a_profile(name: str, calibration: np.ndarray, tmp_path: Path) -> None:
    """Not promised; on this model, the profile torch-fbgemm differs by 1 LSB in fewer than 1 of 1,000 elements."""
    from q8emu import models
    from torch_resnet8 import write

    available("torch-fbgemm")  # on CPUs without VNNI oneDNN saturates, too
    path = write(tmp_path / "model.pt", name.removeprefix("torch-"), calibration[:64])
    (images,) = models.default_inputs().values()
    emulator = Emulator(path, Options("torch-fbgemm"))
    taps = [tensor for tensor in emulator.program.quantized() if tensor not in emulator.graph.outputs]
    expected = BACKENDS[name].open(path, taps).run({"x": images}).tensors
    (part,) = emulator.batches({"x": images})
    local = part.run(dict(expected)).tensors
    apart = [np.abs(local[tensor].astype(int) - expected[tensor]) for tensor in taps]
    assert max(int(a.max()) for a in apart) <= 1
    assert sum(int(a.sum()) for a in apart) * 1000 < sum(a.size for a in apart)


# The oracle


def test_an_oracle_that_runs_the_file_has_to_be_named(resnet8: tuple[str, Path]) -> None:
    numerics, path = resnet8
    report = verify(path, numerics=numerics)
    assert {o.verdict for o in report.oracles} == {"no verdict"}
    assert f"--against {numerics}" in next(o.sentence for o in report.oracles if o.oracle == numerics)
    assert report.exit_code == 2


def test_the_outputs_are_those_of_the_module_that_nobody_looks_into(resnet8: tuple[str, Path]) -> None:
    """Loaded here, independently."""
    import torch

    from q8emu import models

    numerics, path = resnet8
    (images,) = models.default_inputs().values()
    trace = BACKENDS[numerics].open(path, ["dense", "nowhere"]).run({"x": images})
    with under(engine_of(numerics), 1), torch.no_grad():
        expected = torch.jit.load(str(path))(torch.from_numpy(images)).numpy()
    assert trace.undisturbed is None and set(trace.tensors) == {"dense"}
    assert trace.provenance["version"] == BACKENDS[numerics].version()
    assert np.array_equal(trace.outputs["output"], expected)


def test_a_file_that_torch_refuses_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    path.write_bytes(b"PK\x03\x04not an archive")
    with pytest.raises(BackendUnavailable, match="oracle 'torch-qnnpack'") as problem:
        BACKENDS["torch-qnnpack"].open(path, [])
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("style", ["qdq", "qoperator"])
def test_its_onnx_gives_the_same_bits(
    style: Literal["qdq", "qoperator"], resnet8: tuple[str, Path], tmp_path: Path
) -> None:
    """Every quantized tensor, under the profile of the engine."""
    from q8emu import models

    numerics, path = resnet8
    q8emu.convert(path, tmp_path / "model.onnx", style=style)
    (images,) = models.default_inputs().values()
    traces = []
    for model in (path, tmp_path / "model.onnx"):
        (part,) = Emulator(model, Options(numerics)).batches({"x": images})
        traces.append(part.run())
    assert len(traces[0].tensors) == 18 and set(traces[0].tensors) <= set(traces[1].tensors)
    assert all(np.array_equal(array, traces[1].tensors[name]) for name, array in traces[0].tensors.items())
    assert np.array_equal(traces[0].outputs["output"], traces[1].outputs["output"])
