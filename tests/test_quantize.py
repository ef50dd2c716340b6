# SPDX-License-Identifier: Apache-2.0
"""Quantizing float models: what is written, that it is exact, that it repeats, that nothing is lost when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

import q8emu
from float_models import CLASSES, residual, samples
from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput, ConversionFailed, UnsupportedOperator
from q8emu.ptq import quantize_onnx as home
from q8emu.ptq.calibrate import range_of
from q8emu.ptq.float_model import FloatModel, open_float
from q8emu.ptq.quantize_onnx import Quantized, Settings, calibrated, quantize_onnx, quantized
from q8emu.verify import compare

DEFAULT = Settings()
BITS = (4, 5, 6, 7)


def list_of(*values: Any) -> list[tuple[Any, ...]]:
    """Every combination."""
    return list(product(*values))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FloatModel:
    """The small residual network with an open batch."""
    return open_float(residual(tmp_path_factory.mktemp("float") / "m.onnx"))


@pytest.fixture(scope="module")
def ranges(model: FloatModel) -> str:
    """Its ranges by minmax."""
    return calibrated(model, samples(), DEFAULT)


def written(model: FloatModel, folder: Path, settings: Settings, name: str = "q.onnx") -> tuple[Quantized, Path]:
    """Quantize on the small samples."""
    return quantize_onnx(model, folder / name, samples(), settings), folder / name


# What is written


@pytest.mark.parametrize(
    ("dtype", "style", "per_channel"), list_of(("int8", "uint8"), ("qdq", "qoperator"), (False, True))
)
def test_every_recipe_is_exact_and_says_what_it_wrote(
    model: FloatModel, tmp_path: Path, dtype: str, style: str, per_channel: bool
) -> None:
    done, path = written(model, tmp_path, Settings(dtype, style, per_channel))
    assert done.verified.startswith("ort: exact.")
    kind = "int8 per channel" if per_channel else f"{dtype} per tensor"
    assert done.weights == {kind: 3}
    assert set(done.activations) == {dtype}
    assert (done.host, done.samples, done.bytes[1]) == (0, 24, path.stat().st_size)
    stored = {numpy_helper.to_array(t).dtype.name for t in onnx.load(path).graph.initializer if "w_quantized" in t.name}
    assert stored == {kind.split()[0]}
    onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(("dtype", "per_channel"), list_of(("int8", "uint8"), (False, True)))
def test_both_spellings_hold_the_same_parameters(
    model: FloatModel, tmp_path: Path, dtype: str, per_channel: bool
) -> None:
    """The scale of Softmax and the dtype of the weights are what the quantizer would choose differently."""
    traces = []
    for style in ("qdq", "qoperator"):
        _, path = written(model, tmp_path, Settings(dtype, style, per_channel), f"{style}.onnx")
        traces.append(q8emu.run(path, samples(8, 4)))
    assert np.array_equal(traces[0].outputs["y"], traces[1].outputs["y"])
    kept = [list(t.tensors.values()) for t in traces]
    assert len(kept[0]) == len(kept[1])
    assert all(np.array_equal(a, b) for a, b in zip(*kept, strict=True))


def test_the_quantized_model_is_near_the_float_one(model: FloatModel, tmp_path: Path) -> None:
    _, path = written(model, tmp_path, Settings(per_channel=True))
    session = onnxruntime.InferenceSession(model.path, providers=["CPUExecutionProvider"])
    given = samples(16, 9)
    (expected,) = session.run(None, given)
    found = q8emu.run(path, given).outputs["y"]
    assert expected.shape == found.shape == (16, CLASSES)
    assert np.abs(expected - found).max() < 0.1


def test_a_fixed_batch_and_a_normalization(tmp_path: Path) -> None:
    """The batch of the file is kept; BatchNormalization is folded before its weights are quantized."""
    opened = open_float(residual(tmp_path / "f.onnx", (2, 3, 8, 8), normalized=True))
    assert "BatchNormalization" not in {node.op_type for node in opened.proto.graph.node}
    done, path = written(opened, tmp_path, DEFAULT)
    assert "1 of 1 BatchNormalization" in done.notes[0]
    assert done.verified.startswith("ort: exact.")
    assert Emulator(path, Options()).specs[0].shape == (2, 3, 8, 8)
    with pytest.raises(BadInput, match="multiple of 2"):
        quantize_onnx(opened, tmp_path / "r.onnx", samples(5), DEFAULT)


def test_reduced_range_is_seven_bits(model: FloatModel, tmp_path: Path) -> None:
    done, _ = written(model, tmp_path, Settings(reduce_range=True, per_channel=True))
    assert (done.codes[0] >= -64, done.codes[1] <= 64) == (True, True)
    assert done.codes != (0, 0)


# Ranges


def test_minmax_takes_the_extremes_and_the_others_less(model: FloatModel, ranges: str) -> None:
    extremes = range_of(ranges)
    x = samples()["x"]
    assert extremes["x"] == (x.min(), x.max())
    assert extremes["first_relu"][0] == 0
    for method in ("entropy", "percentile"):
        other = range_of(calibrated(model, samples(), Settings(method=method)))
        assert set(other) == set(extremes)
        assert all(low >= extremes[n][0] and high <= extremes[n][1] for n, (low, high) in other.items())
        if method == "entropy":
            assert other["x"][1] < 20, "the outlier is cut"
    narrow = range_of(calibrated(model, samples(), Settings(method="percentile", percentile=99.0)))
    assert narrow["x"][1] < 5 < 20 == extremes["x"][1], "one outlier of 20 in 4,608 values is outside"


def test_the_methods_give_different_models_and_each_is_exact(model: FloatModel, tmp_path: Path) -> None:
    made = {}
    for method in ("minmax", "entropy", "percentile"):
        settings = Settings(method=method, percentile=99.0 if method == "percentile" else None)
        done, path = written(model, tmp_path, settings, f"{method}.onnx")
        assert done.verified.startswith("ort: exact.")
        made[method] = path.read_bytes()
    assert len(set(made.values())) == 3


# Fewer bits


def narrow_tensors(trace: Any) -> dict[str, np.ndarray]:
    """What the integer Clips make."""
    return {name: codes for name, codes in trace.tensors.items() if name.endswith("_Clip_Output")}


@pytest.mark.parametrize(("bits", "dtype"), list_of(BITS, ("int8", "uint8")))
def test_the_codes_of_a_narrow_model_have_so_many_bits(
    model: FloatModel, ranges: str, tmp_path: Path, bits: int, dtype: str
) -> None:
    """Exact against ONNX Runtime; every inner tensor within the B-bit range, both ends reached; weights too."""
    path = tmp_path / "q.onnx"
    settings = Settings(dtype, per_channel=True, weight_bits=bits, activation_bits=bits)
    path.write_bytes(quantized(model, ranges, settings))
    given = samples(32, 11)
    emulator = Emulator(path, Options())
    report = compare(emulator, given, against=["ort"])
    assert report.oracles[0].verdict == "exact", report.oracles[0].sentence
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dtype == "int8" else (0, 2**bits - 1)
    trace = q8emu.run(path, given)
    found = narrow_tensors(trace)
    assert {name.removesuffix("_Clip_Output") for name in found} == {"first_relu", "second", "sum_relu", "pool", "flat"}
    assert all(codes.dtype == dtype and codes.min() >= low and codes.max() <= high for codes in found.values())
    assert (found["first_relu_Clip_Output"].min(), found["sum_relu_Clip_Output"].max()) == (low, high)
    for name in ("x_QuantizeLinear_Output", "dense_QuantizeLinear_Output"):
        assert np.ptp(trace.tensors[name].astype(int)) > 2**bits, "the host's tensors keep 8 bits"
    for node in (n for n in emulator.graph.nodes if n.op in ("Conv", "Gemm")):
        codes = emulator.graph.constants[node.inputs[1]]
        assert np.abs(codes.astype(int)).max() == 2 ** (bits - 1) - 1


@pytest.mark.parametrize("bits", BITS)
def test_scales_are_those_of_the_range_in_so_many_bits(model: FloatModel, ranges: str, bits: int) -> None:
    """s = (high - low) / (2^B - 1) for activations, max|w| / (2^(B-1) - 1) for weights; codes by half_even."""
    made = quantized(model, ranges, Settings(weight_bits=bits, activation_bits=bits))
    arrays = {t.name: numpy_helper.to_array(t) for t in onnx.load_from_string(made).graph.initializer}
    for name, (low, high) in range_of(ranges).items():
        if name in ("first_relu", "second", "sum_relu", "pool"):
            assert arrays[f"{name}_scale"] == pytest.approx((high - low) / (2**bits - 1), rel=1e-6)
    weights = model.graph.constants["second.w"]
    scale = np.float32(np.abs(weights).max() / np.float32(2 ** (bits - 1) - 1))
    assert arrays["second.w_scale"] == scale
    assert np.array_equal(arrays["second.w_quantized"], np.rint(weights / scale).astype(np.int8))


def test_eight_bits_are_the_plain_model(model: FloatModel, ranges: str) -> None:
    plain = quantized(model, ranges, DEFAULT)
    assert quantized(model, ranges, replace(DEFAULT, weight_bits=8, activation_bits=8)) == plain
    assert quantized(model, ranges, DEFAULT, {"first": 8}) == plain
    assert quantized(model, ranges, DEFAULT, {"first": 4}) != plain


def test_one_layer_alone_is_narrow(model: FloatModel, ranges: str) -> None:
    arrays = {
        t.name: numpy_helper.to_array(t)
        for t in onnx.load_from_string(quantized(model, ranges, DEFAULT, {"second": 4})).graph.initializer
    }
    peaks = {
        name: int(np.abs(arrays[f"{name}.w_quantized"].astype(int)).max()) for name in ("first", "second", "dense")
    }
    assert peaks == {"first": 127, "second": 7, "dense": 127}


# It repeats, and fails without a trace


def test_the_same_samples_give_the_same_bytes(model: FloatModel, tmp_path: Path) -> None:
    for settings in (DEFAULT, Settings("uint8", "qoperator", per_channel=True, method="entropy")):
        first, _ = written(model, tmp_path, settings, f"{settings.dtype}_1.onnx")
        second, _ = written(model, tmp_path, settings, f"{settings.dtype}_2.onnx")
        assert first.sha256 == second.sha256


def test_a_model_that_is_not_exact_is_not_written(
    model: FloatModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old file stays, and nothing else is left."""
    old = tmp_path / "q.onnx"
    old.write_bytes(b"old")

    def spoiled(emulator: Emulator, inputs: Any, **options: Any) -> Any:
        report = compare(emulator, inputs, **options)
        return replace(
            report, oracles=tuple(replace(o, verdict="differs", sentence="1 differs") for o in report.oracles)
        )

    monkeypatch.setattr(home, "compare", spoiled)
    with pytest.raises(ConversionFailed, match="not written: 1 differs"):
        quantize_onnx(model, old, samples(), DEFAULT, force=True)
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("q.onnx", b"old")]


def test_force_replaces_a_file(model: FloatModel, tmp_path: Path) -> None:
    _, path = written(model, tmp_path, DEFAULT)
    before = path.read_bytes()
    with pytest.raises(BadInput, match="exists"):
        written(model, tmp_path, Settings("uint8"))
    assert path.read_bytes() == before
    quantize_onnx(model, path, samples(), Settings("uint8"), force=True)
    assert path.read_bytes() != before


# What is refused


def bad_settings() -> Iterator[tuple[Settings, str]]:
    """Settings and a part of the sentence."""
    yield Settings("int16"), "--dtype int16: expected int8, uint8"
    yield Settings(style="qlinear"), "--format qlinear: expected qdq, qoperator"
    yield Settings(method="kl"), "--method kl: expected entropy, minmax, percentile"
    yield Settings(percentile=99.0), "--percentile is for --method percentile"
    yield Settings(method="percentile", percentile=50.0), "more than 50 and at most 100"
    yield Settings(weight_bits=3), "--weight-bits 3: expected 4 to 8"
    yield Settings(activation_bits=9), "--activation-bits 9: expected 4 to 8"
    yield Settings(style="qoperator", weight_bits=4), "need --format qdq"
    yield Settings(reduce_range=True, weight_bits=6), "--weight-bits 7"


@pytest.mark.parametrize(("settings", "part"), list(bad_settings()), ids=lambda v: v if isinstance(v, str) else "")
def test_settings_that_are_not_on_offer(model: FloatModel, tmp_path: Path, settings: Settings, part: str) -> None:
    with pytest.raises(BadInput, match=part):
        written(model, tmp_path, settings)
    assert not list(tmp_path.iterdir())


def test_calibration_data_that_do_not_fit(model: FloatModel, tmp_path: Path) -> None:
    x = samples()["x"]
    wrong = x.copy()
    wrong[1, 1, 1, 1:3] = np.nan, np.inf
    for given, part in (
        ({"x": x[:, :2]}, "must be float32"),
        ({"x": x.astype(np.float64)}, "casts nothing"),
        ({"image": x}, "found 'image'"),
        ({"x": wrong}, "2 values that are NaN or infinite"),
        ({"x": x[:0]}, "must be float32"),
    ):
        with pytest.raises(BadInput, match=part):
            quantize_onnx(model, tmp_path / "q.onnx", given, DEFAULT)
    assert not list(tmp_path.iterdir())


def test_models_that_cannot_be_quantized(model: FloatModel, tmp_path: Path) -> None:
    _, done = written(model, tmp_path, DEFAULT)
    with pytest.raises(UnsupportedOperator, match="quantized already"):
        open_float(done)
    with pytest.raises(UnsupportedOperator, match="opset 12"):
        open_float(residual(tmp_path / "old.onnx", opset=12))
    proto = onnx.load(model.path)
    relu = next(node for node in proto.graph.node if node.op_type == "Relu")
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.append(onnx.helper.make_node(relu.op_type, ["x"], ["y"], "only"))
    del proto.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(proto, tmp_path / "none.onnx")
    with pytest.raises(UnsupportedOperator, match="nothing to quantize"):
        open_float(tmp_path / "none.onnx")
