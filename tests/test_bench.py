# SPDX-License-Identifier: Apache-2.0
"""The benchmark: statistics on made numbers, counts of multiply-accumulates, refusals, exit codes, the picture.

Nothing here asserts a time: a busy machine is not a failure.
"""

from __future__ import annotations

import gc
import itertools
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bench_report
import bench_table
import q8emu
from bench_rows import ROWS, Found
from command_line import Outcome
from q8emu.backends import BACKENDS
from q8emu.backends.onnxruntime import OrtSession
from q8emu.bench import bench, pairs
from q8emu.bench.emulated import filled
from q8emu.bench.macs import macs_of, total_macs
from q8emu.bench.pairs import Pairs, Sample, in_turns, spread
from q8emu.bench.peers import numerics_of, peers_of
from q8emu.bench.plot import plot, shorten, ticks
from q8emu.bench.result import AtBatch, Benchmark, Layer, Outputs, Peer, cpu_share
from q8emu.emulator import Emulator, Options
from q8emu.errors import BadInput
from small_models import Model, dynamic_product, residual

SECONDS = 0.01
QUICK = ("--seconds", SECONDS)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small network with an open batch."""
    return residual(tmp_path_factory.mktemp("models") / "m.onnx")


@pytest.fixture(scope="module")
def found(model: Path) -> Benchmark:
    """A benchmark of it, at two batches."""
    return bench(model, against=["ort", "ort-default"], batches=[1, 3], seconds=SECONDS, at_least=0.0)


def samples(*ns: int) -> tuple[Sample, ...]:
    """One call each."""
    return tuple(Sample(1, n, n, n) for n in ns)


# Statistics


def test_quartiles_of_made_numbers() -> None:
    assert spread([7.0]) == pairs.Spread(7.0, 7.0, 7.0)
    assert spread([1.0, 3.0]) == pairs.Spread(1.5, 2.0, 2.5)
    assert spread([9.0, 1.0, 5.0, 3.0, 7.0]) == pairs.Spread(3.0, 5.0, 7.0)


def test_the_ratio_is_the_median_of_the_pairs() -> None:
    """Not the ratio of medians: one slow pair slows both of its halves."""
    made = Pairs(samples(100, 1000, 110), samples(200, 2000, 440))
    assert made.ratios == (2.0, 2.0, 4.0)
    assert made.ratio == pairs.Spread(2.0, 2.0, 3.0)
    assert made.ratio_of_least == 2.0
    assert made.rounds == 3


def test_a_sample_counts_every_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a made clock: calls of 10, 20, 30 ns, one reading before and one after each."""
    clock = itertools.accumulate(itertools.chain.from_iterable((5, 10 * i) for i in range(1, 4)))
    monkeypatch.setattr(pairs, "perf_counter_ns", lambda: next(clock))
    sample = pairs.take_sample(lambda: None, 3)
    assert (sample.calls, sample.total_ns, sample.least_ns, sample.ns) == (3, 60, 10, 20.0)


def test_both_run_in_turns_and_the_order_alternates(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    monkeypatch.setattr(pairs, "warm_up", lambda run: 1)
    made = in_turns(lambda: order.append("A"), lambda: order.append("B"), 0.0)
    assert made.rounds == pairs.LEAST_ROUNDS == 5
    assert "".join(order) == "ABBAABBAAB"


def test_the_collector_is_off_meanwhile_and_on_again() -> None:
    seen: list[bool] = []
    assert gc.isenabled()
    in_turns(lambda: seen.append(gc.isenabled()), lambda: None, 0.0)
    assert not any(seen)
    assert gc.isenabled()


def test_a_sample_has_enough_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as take five milliseconds at the fastest call of the warm-up."""
    monkeypatch.setattr(pairs, "take_sample", lambda run, calls: Sample(1, 40_000, 40_000, 0))
    assert pairs.warm_up(lambda: None) == 125


def test_the_share_of_a_core() -> None:
    assert cpu_share([Sample(1, 100, 100, 50), Sample(2, 300, 100, 50)]) == 0.25


# Multiply-accumulates


def test_the_packaged_resnet8_has_the_known_count() -> None:
    emulator = q8emu.load()
    for batch in (1, 4):
        assert total_macs(emulator.program_for(batch)) == batch * 12_501_632


def test_counts_by_kind(tmp_path: Path, model: Path) -> None:
    """Padded taps count; additions and pools do not; a matmul has a K for each output."""
    program = q8emu.load(model).program
    counts = {step.node: macs_of(program, step) for step in program.steps if macs_of(program, step)}
    assert counts == {"stem": 8 * 8 * 4 * 27, "branch": 8 * 8 * 4 * 36}
    assert total_macs(q8emu.load(dynamic_product(tmp_path / "d.onnx")).program) == 16 * 4


def test_a_depthwise_convolution_has_one_product_per_tap(root: Path) -> None:
    program = q8emu.load(root / "golden" / "cases" / "Conv.onnx").program
    steps = [step for step in program.steps if step.kind == "depthwise_conv2d"]
    assert steps
    for step in steps:
        y, w = program.buffers[step.outputs[0]].shape, program.buffers[step.inputs[1]].shape
        assert macs_of(program, step) == np.prod(y) * w[1] * w[2]


# What a benchmark holds


def test_a_batch_is_filled_from_the_inputs(model: Path) -> None:
    specs = Emulator(model, Options()).specs
    x = np.arange(2 * 3 * 64, dtype=np.float32).reshape(2, 3, 8, 8)
    assert np.array_equal(filled({"x": x}, specs, 5)["x"], x[[0, 1, 0, 1, 0]])
    assert np.array_equal(filled({"x": x}, specs, 1)["x"], x[:1])


def test_outputs_of_both_sides_are_compared_first(found: Benchmark) -> None:
    assert [at.batch for at in found.at] == [1, 3]
    for at in found.at:
        assert [peer.name for peer in at.peers] == ["ort", "ort-default"]
        assert at.peers[0].outputs == Outputs("exact", f"'y': identical, {4 * at.batch} values", 0, 4 * at.batch)
        assert all(peer.pairs is not None and peer.pairs.rounds >= 5 for peer in at.peers)
        assert at.macs == at.batch * 8 * 8 * 4 * (27 + 36)
        assert sum(layer.macs for layer in at.layers) == at.macs
        assert {"conv2d", "add_fma"} <= {layer.kind for layer in at.layers}
        assert at.peak_gmacs > 0
    assert found.exit_code == 0


def test_a_plain_run_gives_the_outputs_of_a_tapped_one(model: Path) -> None:
    x = {"x": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    for name in ("ort", "ort-default", "ort-unfused"):
        session = BACKENDS[name].open(model, ["stem_q"])
        assert session.run_plain(x)["y"].tobytes() == session.run(x).outputs["y"].tobytes()


def test_a_wrong_answer_is_not_timed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oracle of the profile has to agree; another runtime is marked."""
    honest = OrtSession.run

    def wrong(self: OrtSession, inputs: Mapping[str, np.ndarray]) -> Any:
        trace = honest(self, inputs)
        return replace(trace, outputs={name: array + 1 for name, array in trace.outputs.items()})

    monkeypatch.setattr(OrtSession, "run", wrong)
    refused, marked = bench(model, against=["ort", "ort-unfused"], seconds=SECONDS).at[0].peers
    assert refused.pairs is None
    assert (refused.outputs.verdict, refused.outputs.differing, refused.outputs.values) == ("refused", 4, 4)
    assert "'ort' promises the bits of ort, and they differ: 'y': 4 of 4 values differ" in refused.outputs.sentence
    assert marked.pairs is not None
    assert marked.outputs.verdict == "differs"
    assert "does not promise the bits of ort-unfused" in marked.outputs.sentence
    assert bench(model, against=["ort"], seconds=SECONDS).exit_code == 1


def test_outputs_of_another_shape_are_not_timed(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = OrtSession.run
    monkeypatch.setattr(
        OrtSession, "run", lambda self, x: replace(honest(self, x), outputs={"y": np.zeros((1, 2), np.float32)})
    )
    (peer,) = bench(model, against=["ort-default"], seconds=SECONDS).at[0].peers
    assert peer.outputs.verdict == "refused"
    assert "[1, 2]" in peer.outputs.sentence


def test_the_numerics_follow_the_peers() -> None:
    assert numerics_of(["litert-xnnpack", "litert"]) == "xnnpack"
    assert numerics_of(["litert"]) == "tflite"
    assert numerics_of(["torch-fbgemm"]) == "torch-fbgemm"
    assert numerics_of([]) == "ort"


def test_peers_run_the_format_of_the_file() -> None:
    assert peers_of("ONNX", None) == ("ort", "ort-default")
    assert peers_of("PyTorch", ["torch", "torch-x86"]) == ("torch-x86",)
    for model_format, names, words in (
        ("ONNX", ["litert"], "runs TFLite files; this is a ONNX file"),
        ("ONNX", ["spec"], "is not a runtime"),
        ("ONNX", ["orr"], "did you mean 'ort'"),
        ("PyTorch", None, "that you trust"),
    ):
        with pytest.raises(BadInput, match=words):
            peers_of(model_format, names)


def test_tflite_files(data_dir: Path, package: Any) -> None:
    package("ai_edge_litert.interpreter", "litert")
    tiny = bench(data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet_quant.tflite", seconds=SECONDS)
    assert tiny.at[0].macs == 12_501_632
    exact, other = tiny.at[0].peers
    assert (exact.name, exact.outputs.verdict) == ("litert-xnnpack", "exact")
    assert other.name == "litert"
    assert tiny.settings["numerics"].startswith("xnnpack ")


# The command


def test_the_json_document(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = Outcome(capsys, "bench", model, "--batch", "1,2", "--against", "ort", "--json", *QUICK).json
    assert told["schema"] == "q8emu.bench/1"
    assert {"q8emu", "kernels", "cpu", "model sha256", "input sha256", "program sha256"} <= set(told["fingerprint"])
    assert told["holds"] is True
    assert [at["batch"] for at in told["batches"]] == [1, 2]
    for at in told["batches"]:
        (peer,) = at["peers"]
        assert {"q1", "median", "q3", "of_least", "rounds"} == set(peer["ratio"])
        assert peer["ratio"]["q1"] <= peer["ratio"]["median"] <= peer["ratio"]["q3"]
        times = {"q1_us", "median_us", "q3_us", "least_us", "calls", "cpu_share"}
        assert times == set(peer["q8emu"]) == set(peer["peer"])
        assert times | {"gmacs", "share_of_peak"} == set(at["q8emu"])
        layers = {"step", "kind", "node", "kernel", "macs", "us", "least_us", "gmacs", "share"}
        assert all(set(layer) == layers for layer in at["layers"])
        assert abs(sum(layer["share"] for layer in at["layers"]) - 1) < 1e-9


def test_the_text_and_the_picture(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "p.svg"
    done = Outcome(
        capsys, "bench", model, "--against", "ort", "--layers", "--plot", picture, "--isa", "reference", *QUICK
    )
    assert done.code == 0, done.err
    assert "conv2d_reference" in done.out
    assert "outputs of ort at batch 1: exact" in done.out
    assert "all steps" in done.out
    assert ET.parse(picture).getroot().tag.endswith("svg")


def test_a_bar_decides_the_exit_code(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ("bench", model, "--against", "ort", *QUICK)
    assert Outcome(capsys, *arguments, "--at-least", 0).code == 0
    missed = Outcome(capsys, *arguments, "--at-least", 1e9)
    assert missed.code == 1
    assert "below the bar of 1e+09: ort at batch 1" in missed.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--batch", "0"), "numbers of 1 or more"),
        (("--batch", "1,x"), "numbers of 1 or more"),
        (("--seconds", "0"), "--seconds 0"),
        (("--isa", "spec"), "the definition is slow on purpose"),
        (("--isa", "sse9"), "There are no 'sse9' kernels"),
        (("--against", "litert"), "it runs TFLite files"),
        (("--plot", "nowhere/p.svg"), "--plot: cannot write"),
    ],
)
def test_bad_options(model: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    Outcome(capsys, "bench", model, *arguments).assert_sentence(words)


def test_a_file_that_fixes_its_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = Model()
    made.quantize(made.conv(made.quantize("x", "x_q", 0.02), "conv", 3), "conv_q", 0.02)
    made.nodes[-1].output[0] = "y"
    path = made.save(tmp_path / "fixed.onnx", [2, 3, 8, 8], [2, 4, 8, 8])
    Outcome(capsys, "bench", path, "--batch", "1", *QUICK).assert_sentence(
        "--batch 1: the model file fixes its batch to 2"
    )
    done = Outcome(capsys, "bench", path, "--against", "ort", "--json", *QUICK)
    assert [at["batch"] for at in done.json["batches"]] == [2]


# The picture


def layer(step: int, ns: float, node: str = "n") -> Layer:
    return Layer(step, "conv2d", node, "conv2d_avx2", 1000, ns, int(ns))


def test_the_picture_is_well_formed_whatever_the_names(found: Benchmark) -> None:
    """Names come from files: markup, control characters, and no end of letters."""
    nasty = tuple(layer(i, 100.0 + i, name) for i, name in enumerate(["<a&\"b'>", "\x00\x1b[31m", "ß" * 500, "]]>"]))
    first = found.at[0]
    refused = Peer("<peer>", {}, Outputs("refused", "no"), None)
    at = AtBatch(1, 4000, first.own, (*first.peers, refused), nasty, 10.0)
    made = replace(found, at=(at,), settings=dict(found.settings) | {"model": "/a/<&>.onnx"})
    root = ET.fromstring(plot(made))
    words = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    assert "q8emu bench: <&>.onnx" in words
    assert "<a&\"b'>" in words
    assert all(len(text) < 160 for text in words)
    assert any("refused" in text for text in words)


def test_the_picture_has_a_dot_per_ratio_and_a_bar_per_long_step(found: Benchmark) -> None:
    many = tuple(layer(i, 1e6 if i % 2 else 1.0) for i in range(100))
    root = ET.fromstring(plot(replace(found, at=(replace(found.at[0], layers=many),))))
    tags = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert tags.count("circle") == 2
    assert tags.count("rect") == 1 + 40
    text = " ".join(element.text or "" for element in root.iter())
    assert "60 shorter steps" in text


def test_ticks_and_names() -> None:
    assert ticks(0.9, 1.2) == [1.0]
    assert ticks(1.5, 12) == [1.0, 2.0, 5.0, 10.0]
    assert ticks(0.9, 2.2) == [1.0, 1.5, 2.0]
    assert shorten("a" * 40, 11) == "aaaaa…aaaaa"
    assert shorten("abc", 3) == "abc"


# The table


def test_rows_have_names_of_their_own_and_bars() -> None:
    assert len({row.what for row in ROWS}) == len(ROWS)
    assert all(row.bar > 0 for row in ROWS)
    assert all(row.holds(row.bar) for row in ROWS)


def test_a_row_in_markdown() -> None:
    ratio, size = (next(row for row in ROWS if row.unit == unit) for unit in ("×", "MB"))
    made = bench_table.record(ratio, Found(ratio.bar / 2, "1 to 2", "told")) | {"counts": False}
    assert bench_report.cells(made)[1:4] == (f"≥ {ratio.bar:g} ×", f"{ratio.bar / 2:g} ×", "no; the bar is for VNNI")
    assert bench_report.cells(made | {"counts": True})[3] == "**no**"
    kept = bench_table.record(size, Found(10.0))
    assert bench_report.cells(kept)[1:4] == ("≤ 64 MB", "10 MB", "yes")


def test_the_committed_table_is_the_list() -> None:
    table = bench_report.read()
    assert table["schema"] == bench_report.SCHEMA
    assert [row["what"] for row in table["rows"]] == [row.what for row in ROWS]
    assert [row["bar"] for row in table["rows"]] == [row.bar for row in ROWS]
