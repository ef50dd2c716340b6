# SPDX-License-Identifier: Apache-2.0
"""ONNX written from any model that q8emu reads: the same graph read back, the same bits, and ONNX Runtime runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

import q8emu
import strategies
from command_line import Outcome
from q8emu.canonical import canonicalize
from q8emu.emulator import Emulator, Options
from q8emu.errors import ConversionFailed, UnsupportedOperator
from q8emu.export.onnx import FORMATS, Format, to_onnx
from q8emu.graph import Graph
from q8emu.lower import lower
from q8emu.numerics import profile
from q8emu.readers.onnx import read_onnx
from q8emu.readers.tflite import read_tflite
from q8emu.run import Runner
from q8emu.verify import verify
from small_models import residual
from tflite_cases import CASES, case

GOLDEN = Path(__file__).parent.parent / "golden" / "models"
MODELS = 120
IMPOSSIBLE = ("sums over axes", "no mode of ONNX's Resize", "beside alpha", "is of opset")


def outputs(graph: Graph, numerics: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the kernels give."""
    return dict(Runner(lower(graph, profile(numerics)), threads=1).run(feeds).outputs)


def assert_equal(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name, strict=True)


def loads_in_ort(model: bytes) -> bool:
    """Has ONNX Runtime every operator? A quantized AveragePool with dilations fails, for example."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001  its errors have no common class
        return False
    return True


@pytest.mark.parametrize("style", FORMATS)
def test_random_models_come_back(style: Format, seed: int) -> None:
    """QDQ gives an equal graph; QOperator an equal one but for the activations that become nodes of their own."""
    refused: list[str] = []
    for number in range(MODELS):
        one = strategies.model(seed % 2**20 + number)
        graph = canonicalize(read_onnx(one.model))
        try:
            proto = to_onnx(graph, style=style)
        except UnsupportedOperator as reason:
            refused.append(str(reason))
            continue
        again = canonicalize(read_onnx(proto.SerializeToString()))
        if style == "qdq":
            assert again.structure() == graph.structure(), one
        else:
            assert_equal(outputs(again, "ort", one.feeds), outputs(graph, "ort", one.feeds))
        assert loads_in_ort(proto.SerializeToString()) or not loads_in_ort(one.model), one
    assert len(refused) <= MODELS // 8
    assert all(any(part in reason for part in IMPOSSIBLE) for reason in refused), refused


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.onnx")), ids=lambda p: p.stem)
def test_resnet8_changes_its_spelling(path: Path, style: Format, tmp_path: Path) -> None:
    """An equal graph, and the oracle agrees on the new file in every tensor; the batch stays open."""
    target = tmp_path / "converted.onnx"
    done = q8emu.convert(path, target, style=style)
    assert done.compared > 200_000
    assert ("QLinearConv" in done.operators) == (style == "qoperator")
    made = Emulator(target, Options())
    assert made.is_symbolic
    assert made.graph.structure() == Emulator(path, Options()).graph.structure()
    report = verify(target, {"image": np.full((2, 3, 32, 32), 99, np.float32)}, against=["ort"])
    assert report.exit_code == 0


@pytest.mark.parametrize("numerics", ["ort", "tflite", "tflite-ref"])
@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("operator", CASES)
def test_tflite_operators_give_the_same_bits(
    operator: str, style: Format, numerics: str, rng: np.random.Generator
) -> None:
    """Under every profile, also where its rule depends on the kind of the operator."""
    for _ in range(3):
        one = case(operator, rng)
        graph = read_tflite(one.model)
        proto = to_onnx(graph, style=style)
        assert loads_in_ort(proto.SerializeToString())
        again = canonicalize(read_onnx(proto.SerializeToString()))
        assert_equal(outputs(again, numerics, one.feeds), outputs(graph, numerics, one.feeds))


@pytest.mark.parametrize("style", FORMATS)
@pytest.mark.parametrize("name", ["ic/pretrainedResnet_quant", "vww/vww_96_int8", "kws/kws_ref_model", "ad/ad01_int8"])
def test_mlperf_models(name: str, style: Format, data_dir: Path, tmp_path: Path) -> None:
    """The whole network: checked by `convert` under 'ort', here under the profiles of TFLite and against the oracle."""
    source, target = data_dir / "mlperf_tiny" / f"{name}.tflite", tmp_path / "m.onnx"
    if not source.is_file():
        pytest.skip(f"needs mlperf_tiny/{name}.tflite in Q8EMU_DATA")
    q8emu.convert(source, target, style=style)
    for numerics in ("tflite", "tflite-ref"):
        before, after = (q8emu.run(q8emu.load(p, numerics=numerics)) for p in (source, target))
        assert_equal(dict(after.outputs), dict(before.outputs))
    assert verify(target, against=["ort"]).exit_code == 0


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Says what it wrote; never replaces a file unasked; leaves nothing behind."""
    source, target = residual(tmp_path / "m.onnx"), tmp_path / "out.onnx"
    found = Outcome(capsys, "convert", source, target, "--format", "qoperator", "--json").json
    assert (found["style"], found["operators"]["QLinearConv"] > 0, found["compared"] > 0) == ("qoperator", True, True)
    written = target.read_bytes()
    Outcome(capsys, "convert", source, target).assert_sentence("out.onnx' exists", "--force")
    assert target.read_bytes() == written
    outcome = Outcome(capsys, "convert", source, target, "--force")
    assert outcome.code == 0 and "all equal" in outcome.out and "QuantizeLinear" in outcome.out
    assert target.read_bytes() != written
    assert {p.name for p in tmp_path.iterdir()} == {"m.onnx", "out.onnx"}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["out.onnx", "--format", "tflite"], ["'tflite'", "qdq or qoperator"]),
        (["out.pb"], ["out.pb", ".onnx"]),
        (["absent/out.onnx"], ["absent", "does not exist"]),
    ],
)
def test_what_cannot_be_written(
    arguments: list[str], parts: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    source = residual(tmp_path / "m.onnx")
    Outcome(capsys, "convert", source, tmp_path / arguments[0], *arguments[1:]).assert_sentence(*parts)
    assert {p.name for p in tmp_path.iterdir()} == {"m.onnx"}


def test_a_wrong_file_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The check behind every conversion notices one weight."""
    import sys

    import q8emu.convert

    module = sys.modules["q8emu.convert"]

    def damaged(graph: Graph, *, style: Format, wider: Graph | None) -> onnx.ModelProto:
        proto = to_onnx(graph, style=style, wider=wider)
        weights = next(i for i in proto.graph.initializer if len(i.dims) == 4)
        weights.raw_data = bytes(v ^ 64 for v in weights.raw_data)
        return proto

    monkeypatch.setattr(module, "to_onnx", damaged)
    with pytest.raises(ConversionFailed, match="was not written"):
        q8emu.convert(residual(tmp_path / "m.onnx"), tmp_path / "out.onnx")
    assert not (tmp_path / "out.onnx").exists()
