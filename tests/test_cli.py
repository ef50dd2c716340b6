# SPDX-License-Identifier: Apache-2.0
"""The command line: light to start, exit codes, one sentence for every problem, the JSON that scripts read."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from command_line import Outcome
from q8emu import cli
from q8emu.backends.cpu import this_cpu
from small_models import CHANNELS, Model, dynamic_product, integer_conv, residual

SPEC = ("--kernels", "spec")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The residual network with an open batch."""
    return residual(tmp_path_factory.mktemp("models") / "m.onnx")


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convolution and a float Erf behind it; the batch is fixed to 2."""
    made = Model()
    y = made.quantize(made.conv(made.quantize("x", "x_q", 0.02), "conv", 3), "conv_q", 0.02)
    made.add("Erf", [y], "y")
    return made.save(tmp_path_factory.mktemp("hosted") / "m.onnx", [2, 3, 8, 8], [2, CHANNELS, 8, 8])


def fresh(*code: str) -> subprocess.CompletedProcess[str]:
    """A Python of its own."""
    return subprocess.run([sys.executable, "-c", "\n".join(code)], capture_output=True, text=True, check=False)


def test_the_command_line_starts_without_heavy_imports() -> None:
    """So that --help answers at once."""
    heavy = ("numpy", "onnx", "onnxruntime", "rich.console")
    found = fresh("import sys", "import q8emu.cli", f"print([m for m in {heavy} if m in sys.modules])")
    assert found.stdout == "[]\n", found.stderr


COMMANDS = tuple(",bench,convert,data,data check,data fetch,draw,inspect,models,models fetch,run,verify".split(","))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_there_for_every_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And costs nothing."""
    outcome = Outcome(capsys, *command.split(), "--help")
    assert (outcome.code, outcome.err) == (0, "")
    assert "Usage: q8emu" in outcome.out


def test_the_help_of_verify_states_who_decides(capsys: pytest.CaptureFixture[str]) -> None:
    """The rule behind the exit code."""
    words = " ".join(Outcome(capsys, "verify", "--help").out.split())
    assert "The exit code follows the oracle that the numerics profile promises" in words
    for option in ("--inputs", "--random", "--seed", "--cifar10", "--numerics", "--against", "--json", "--kernels"):
        assert option in words


def test_a_holding_comparison_exits_0_and_shows_everything(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Settings first, then the table in graph order, then the verdicts; no colours in a pipe."""
    outcome = Outcome(capsys, "verify", model, *SPEC, "--random", 3, "--seed", 5)
    assert outcome.code == 0, outcome.out + outcome.err
    assert "\x1b" not in outcome.out
    marks = ["settings", "random, seed 5", "fingerprint", "model sha256", "oracle ort", "tensors in graph order"]
    marks += ["float islands: 0", "verdicts", "The exit code follows", "verdict: holds (decided by ort)"]
    places = [outcome.out.index(mark) for mark in marks]
    assert places == sorted(places)
    rows = [outcome.out.index(f"\n{name} ") for name in ("x_q", "stem_q", "branch_q", "sum_q", "pool_q", "y")]
    assert rows == sorted(rows)


def test_verify_json_has_the_whole_schema(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And stdout holds nothing else."""
    outcome = Outcome(capsys, "verify", model, *SPEC, "--random", 3, "--json")
    found = outcome.json
    assert (outcome.code, found["exit_code"], found["holds"], found["verdict"]) == (0, 0, True, "holds")
    assert found["schema"] == "q8emu.verify/1"
    assert found["deciding"] == ["ort"]
    assert found["samples"] == 3
    assert set(found) >= {"rule", "settings", "fingerprint", "host_nodes", "notes", "tensors", "oracles"}
    assert found["fingerprint"]["model sha256"] == hashlib.sha256(model.read_bytes()).hexdigest()
    assert set(found["fingerprint"]) >= {"q8emu", "kernels", "python", "cpu", "input sha256", "program sha256"}
    assert [o["oracle"] for o in found["oracles"]] == ["ort", "ort-default", "ort-unfused", "onnx-reference"]
    stem = next(row for row in found["tensors"] if row["tensor"] == "stem_q")
    assert (stem["operator"], stem["dtype"], stem["shape"]) == ("Conv", "int8", ["N", CHANNELS, 8, 8])
    assert stem["oracles"]["ort"]["elements"] == 3 * CHANNELS * 64
    assert stem["oracles"]["ort"]["differing"] == 0
    assert stem["oracles"]["ort-unfused"]["float"] == "Conv"


def test_against_takes_repeats_and_lists_and_all_named_decide(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order in which they are named."""
    arguments = ["verify", model, *SPEC, "--random", 1, "--json", "--against", "onnx-reference,ort-unfused"]
    found = Outcome(capsys, *arguments, "--against", "ort").json
    assert found["deciding"] == ["onnx-reference", "ort-unfused", "ort"]


def test_the_slow_oracle_sees_the_first_inputs_only(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the report says so."""
    arguments = ["verify", model, *SPEC, "--random", 7, "--reference-limit", 2, "--batch", 3]
    found = Outcome(capsys, *arguments, "--json", "--against", "ort,onnx-reference").json
    assert {o["oracle"]: o["samples"] for o in found["oracles"]} == {"ort": 7, "onnx-reference": 2}
    assert "first 2 inputs" in found["settings"]["limit"]


def test_the_batch_does_not_change_a_bit(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seven inputs by ones, threes and all at once."""
    written = []
    for batch in (1, 3, 7):
        out = tmp_path / f"{batch}.npz"
        assert (
            Outcome(capsys, "run", model, *SPEC, "--random", 7, "--batch", batch, "-o", out, "--all-tensors").code == 0
        )
        with np.load(out) as file:
            written.append({name: file[name] for name in file.files})
    for other in written[1:]:
        assert list(other) == list(written[0])
        assert all(np.array_equal(other[name], written[0][name]) for name in other)


def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the emulator's Add wrong in one place."""
    from q8emu.emulator import Batch

    run = Batch.run

    def wrong(self: Batch, substitute: Any = None) -> Any:
        trace = run(self, substitute)
        trace.tensors["sum_q"][-1, 1, 2, 3] ^= 1
        return trace

    monkeypatch.setattr(Batch, "run", wrong)


def test_a_difference_exits_1_and_is_located(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The tensor, the input, the coordinates, both values."""
    broken(monkeypatch)
    outcome = Outcome(capsys, "verify", model, *SPEC, "--random", 4, "--batch", 4, "--against", "ort")
    assert outcome.code == 1
    assert "first divergence from ort" in outcome.out
    assert "tensor 'sum_q' (Add), input 3, at [3, 1, 2, 3]:" in outcome.out
    assert "verdict: differs (decided by ort)" in outcome.out


def test_inherited_differences_are_told_from_own_ones(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wrong bias in the first convolution: given the oracle's own inputs, everything behind it is right."""
    from q8emu.lower import lower
    from q8emu.program import Program

    def wrong(*arguments: Any, **options: Any) -> Program:
        program = lower(*arguments, **options)
        steps = [
            replace(step, arrays={**step.arrays, "bias": step.arrays["bias"] + 2000})
            if (step.node, step.kind) == ("stem", "conv2d")
            else step
            for step in program.steps
        ]
        return replace(program, steps=tuple(steps))

    monkeypatch.setattr(import_module("q8emu.emulator"), "lower", wrong)
    outcome = Outcome(capsys, "verify", model, *SPEC, "--random", 2, "--against", "ort", "--json")
    assert outcome.code == 1
    found = {row["tensor"]: row["oracles"]["ort"] for row in outcome.json["tensors"]}
    assert found["stem_q"]["local_differing"] == found["stem_q"]["differing"] > 0
    for name in ("branch_q", "sum_q"):
        assert found[name]["differing"] > 0, name
        assert (found[name]["local_differing"], found[name]["inherited"]) == (0, True), name
    assert outcome.json["oracles"][0]["first_divergence"] == "stem_q"
    assert "'stem_q' (Conv)" in outcome.json["oracles"][0]["sentence"]


def test_an_oracle_that_fails_gives_no_verdict(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 if it decides; the others are still reported."""
    from q8emu.backends.onnxruntime import OnnxRuntime

    monkeypatch.setattr(OnnxRuntime, "why_unavailable", lambda self: f"oracle '{self.name}' is not here")
    outcome = Outcome(capsys, "verify", model, *SPEC, "--random", 1, "--json")
    assert (outcome.code, outcome.json["verdict"]) == (2, "no verdict")
    ort = outcome.json["oracles"][0]
    assert (ort["verdict"], ort["sentence"]) == ("no verdict", "oracle 'ort' is not here")
    assert outcome.json["oracles"][3]["verdict"] != "no verdict"


def test_host_nodes_are_named_and_refused_on_request(hosted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never a silent way out."""
    outcome = Outcome(capsys, "verify", hosted, *SPEC, "--random", 4, "--json")
    assert outcome.code == 0, outcome.out
    assert outcome.json["host_nodes"] == [{"node": "y", "operator": "Erf"}]
    for command in (["verify", *SPEC, "--random", 2], ["run", *SPEC, "--random", 2], ["inspect"]):
        Outcome(capsys, command[0], hosted, *command[1:], "--no-host").assert_sentence("Erf 'y'", "--no-host")


def test_weights_with_scales_along_another_axis_are_a_host_step(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """ONNX Runtime fuses such a Conv all the same, with the scales as those of the outputs; the file says otherwise."""
    made = Model()
    made.conv(made.quantize("x", "xq", 0.02), "c", CHANNELS)
    weights = next(node for node in made.nodes if node.output[0] == "c_wdq")
    weights.input[1] = made.constant("scales", np.array([0.004, 0.001, 0.002, 0.008], np.float32))
    weights.input[2] = made.constant("points", np.zeros(CHANNELS, np.int8))
    weights.attribute.append(onnx.helper.make_attribute("axis", 1))
    made.add("Identity", [made.quantize("c", "cq", 0.05)], "y")
    path = made.save(tmp_path / "m.onnx", [2, CHANNELS, 8, 8], [2, CHANNELS, 8, 8])
    found = Outcome(capsys, "verify", path, "--against", "ort-unfused", "--random", 4, "--json").json
    assert found["host_nodes"][0]["operator"] == "Conv"
    assert any("axis 1" in note and "host step" in note for note in found["notes"])
    assert found["oracles"][0]["verdict"] == "exact"


def test_a_fixed_batch_takes_multiples_only(hosted: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Four inputs are two runs; three are none."""
    found = Outcome(capsys, "verify", hosted, *SPEC, "--random", 4, "--json").json
    assert found["samples"] == 4
    assert found["tensors"][0]["shape"][0] == 2
    Outcome(capsys, "verify", hosted, "--random", 3).assert_sentence("--random 3", "multiple")
    Outcome(capsys, "verify", hosted, "--batch", 4).assert_sentence("--batch 4", "fixes its batch to 2")
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 3, 8, 8), np.float32))
    Outcome(capsys, "verify", hosted, *SPEC, "--inputs", tmp_path / "x.npz").assert_sentence(
        "3 samples", "multiple of 2"
    )


def test_run_writes_what_was_asked_for(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Outputs always, tensors by name, accumulators by node; settings go to stderr."""
    out = tmp_path / "out.npz"
    outcome = Outcome(
        capsys, "run", model, *SPEC, "--random", 3, "-o", out, "--tensor", "sum_q,stem_q", "--accumulators"
    )
    assert outcome.code == 0, outcome.err
    assert "random, seed 0" in outcome.err
    with np.load(out) as file:
        assert set(file.files) >= {"y", "sum_q", "stem_q", "accumulator:stem"}
        assert (file["sum_q"].dtype, file["sum_q"].shape) == (np.int8, (3, CHANNELS, 8, 8))
        accumulator, stem = file["accumulator:stem"], file["stem_q"]
        assert (accumulator.dtype, accumulator.shape) == (np.int32, stem.shape)
        expected = np.clip(np.rint(accumulator.astype(np.float32) * np.float32(0.02 * 0.004 / 0.02)), -128, 127)
        assert np.count_nonzero(expected != stem) < 5, "in the layout of the tensor (a few ties may go either way)"
    found = Outcome(capsys, "run", model, *SPEC, "--random", 1, "-o", out, "--json").json
    assert found["written"] == {"y": f"float32[1, {CHANNELS}, 1, 1]"}
    Outcome(capsys, "run", model, *SPEC, "-o", out, "--tensor", "stem").assert_sentence("'stem'", "'stem_q'")
    Outcome(capsys, "run", model, *SPEC, "-o", tmp_path / "no" / "o.npz").assert_sentence("cannot write")


def test_inspect_lists_nodes_with_their_parameters(hosted: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As text and as JSON."""
    text = Outcome(capsys, "inspect", hosted)
    assert text.code == 0
    assert "scale 0.02 zero_point 0" in text.out
    assert "host, float" in text.out
    found = Outcome(capsys, "inspect", hosted, "--json").json
    assert found["schema"] == "q8emu.inspect/1"
    assert found["coverage"]["host"] == 1
    conv = next(node for node in found["nodes"] if node["operator"] == "Conv")
    assert (conv["runs"], "conv2d" in conv["steps"]) == ("integer", True)
    assert conv["inputs"][0]["quantization"]["zero_point"] == [0]
    assert conv["outputs"][0]["tensor"] == "conv_q"
    assert len(found["program_sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--numerics", "orr"], ["'orr'", "ort"]),
        (["--against", "ort-fused"], ["'ort-fused'", "ort-unfused"]),
        (["--kernels", "avx9"], ["'avx9'"]),
        (["--bias", "maybe"], ["'maybe'", "rescaled"]),
        (["--inputs", "nowhere.npz"], ["'nowhere.npz'", ".npz"]),
        (["--random", "1", "--cifar10", "1"], ["--random and --cifar10"]),
        (["--random", "0"], ["--random 0"]),
        (["--cifar10", "1"], ["[N, 3, 32, 32]", "float32[N, 3, 8, 8]"]),
    ],
)
def test_a_bad_option_is_one_sentence(
    arguments: list[str], parts: list[str], model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, and what would be right."""
    if "avx9" in arguments:
        pytest.importorskip("q8emu._core", reason="the extension is not built")
    Outcome(capsys, "verify", model, *arguments).assert_sentence(*parts)


@pytest.mark.parametrize("arguments", [["verify", "--nonsense"], ["nonsense"], ["verify", "--random", "many"]])
def test_usage_problems_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """On stderr, without a traceback."""
    outcome = Outcome(capsys, *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert "Traceback" not in outcome.err


def test_bad_model_files_are_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Absent, random bytes, a folder."""
    (tmp_path / "bytes.onnx").write_bytes(os.urandom(100))
    for name in ("absent.onnx", "bytes.onnx", ""):
        for command in ("verify", "run", "inspect"):
            Outcome(capsys, command, tmp_path / name).assert_sentence()


X = np.zeros((2, 3, 8, 8), np.float32)


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"z": X}, ["'x' float32[N, 3, 8, 8]", "'z'"]),
        ({"x": X, "z": X}, ["'x' float32[N, 3, 8, 8]", "'z'"]),
        ({"x": X.astype(np.float64)}, ["must be float32[N, 3, 8, 8]", "float64[2, 3, 8, 8]"]),
        ({"x": X.astype(">f4")}, [">f4"]),
        ({"x": X[:, :1]}, ["float32[2, 1, 8, 8]"]),
        ({"x": X[0]}, ["float32[3, 8, 8]"]),
        ({"x": X[:0]}, ["float32[0, 3, 8, 8]"]),
        ({"x": np.array([None])}, ["objects"]),
    ],
)
def test_wrong_npz_content_is_one_sentence(
    arrays: dict[str, np.ndarray], parts: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Names, dtypes, shapes: what is expected and what was found."""
    np.savez(tmp_path / "x.npz", allow_pickle=True, **arrays)
    Outcome(capsys, "verify", model, *SPEC, "--inputs", tmp_path / "x.npz").assert_sentence(*parts)


def header_of(shape: tuple[int, ...]) -> bytes:
    """An npy header that claims a shape, without the data."""
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue()


def test_damaged_npz_files_are_one_sentence(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is allocated for what a header only claims."""
    good = io.BytesIO()
    np.savez(good, x=X)
    cases = {"bytes": os.urandom(64), "cut": good.getvalue()[:700], "empty": b""}
    for name, content in (
        ("claim", header_of((2**30, 3, 8, 8))),
        ("noheader", b"hello"),
        ("negative", header_of((-2, 3, 8, 8))),
    ):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("x.npy", content)
        cases[name] = stream.getvalue()
    for name, content in cases.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        Outcome(capsys, "verify", model, "--inputs", path).assert_sentence(f"{name}.npz")


def test_problems_nobody_expected_are_still_a_sentence(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the way to the traceback."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(import_module("q8emu.verify"), "open_model", fail)
    Outcome(capsys, "verify", model).assert_sentence("ZeroDivisionError", "oops", "report", cli.TRACEBACK)
    monkeypatch.setenv(cli.TRACEBACK, "1")
    assert "Traceback" in Outcome(capsys, "verify", model).err


def test_an_interrupt_exits_130(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a shell expects."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(import_module("q8emu.verify"), "open_model", interrupt)
    outcome = Outcome(capsys, "verify", model)
    assert (outcome.code, outcome.err.count("Traceback")) == (130, 0)


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry point of the q8emu command."""
    monkeypatch.setattr(sys, "argv", ["q8emu", "verify", "--nonsense"])
    with pytest.raises(SystemExit) as found:
        cli.main()
    assert found.value.code == 2


def test_a_model_without_inputs_named_gets_random_ones(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the report says which."""
    found = Outcome(capsys, "verify", model, *SPEC, "--json", "--against", "ort").json
    assert found["settings"]["inputs"] == "8, random, seed 0"


def test_quantized_inputs_and_outputs_of_the_model_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An int8 graph input is given, not computed, so there is nothing to compare; an int8 output is a row once."""
    path = integer_conv(tmp_path / "m.onnx")
    outcome = Outcome(capsys, "verify", path, *SPEC, "--random", 3, "--json")
    assert outcome.code == 0, outcome.out
    assert [row["tensor"] for row in outcome.json["tensors"]] == ["y"]
    assert {oracle["verdict"] for oracle in outcome.json["oracles"]} == {"exact"}


def test_a_fusion_that_hides_tensors_is_left_alone_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """ONNX Runtime computes a dynamically quantized product in one piece; a tap inside would break it up."""
    path = dynamic_product(tmp_path / "m.onnx")
    found = Outcome(capsys, "verify", path, *SPEC, "--random", 3, "--json").json
    ort, unfused = found["oracles"][0], found["oracles"][2]
    assert ort["provenance"]["operators"] == "1 DynamicQuantizeMatMul"
    assert set(ort["hidden"]) == {"x_q", "x_zp", "acc"}
    assert "not compared" in ort["sentence"]
    exact = not this_cpu().saturates_pairs  # or its product of uint8 by int8 would saturate, as the report says
    assert (unfused["hidden"], unfused["verdict"]) == ([], "exact" if exact else "no verdict")
    assert exact or "saturates pairs of u8×s8" in unfused["sentence"]


def test_the_packaged_model_holds(capsys: pytest.CaptureFixture[str]) -> None:
    """The main job: q8emu verify, with nothing else."""
    pytest.importorskip("q8emu._core", reason="the extension is not built")
    outcome = Outcome(capsys, "verify", "--json")
    assert outcome.code == 0, outcome.err
    ort = outcome.json["oracles"][0]
    assert (ort["oracle"], ort["verdict"]) == ("ort", "exact")
    assert outcome.json["settings"]["inputs"].endswith("packaged with q8emu")


def test_small_models_are_legal_onnx(model: Path, hosted: Path) -> None:
    """Or the tests above test nothing."""
    for path in (model, hosted):
        onnx.checker.check_model(onnx.load(path), full_check=True)
