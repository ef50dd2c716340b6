# SPDX-License-Identifier: Apache-2.0
"""Pictures of models: what is on them, that they are the same each time, and what happens without Graphviz or pydot."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import q8emu
from command_line import Outcome
from q8emu.draw.dot import cut, quoted, text
from q8emu.draw.labels import KINDS
from q8emu.models import default_model
from small_models import CHANNELS, Model, residual
from tflite_files import File

GOLDEN = Path(__file__).parent.parent / "golden" / "models"
EVIL = '</TD></TABLE>> [label="x"] \\N\n\x1b[31m & "q" \' {|} ' + "x" * 300


@pytest.fixture
def graphviz() -> None:
    """Skips where `dot` is not installed."""
    if subprocess.run(["which", "dot"], capture_output=True, check=False).returncode:
        sentence = "needs the program dot: apt-get install graphviz"
        if os.environ.get("Q8EMU_ALL_EXTRAS") == "1":
            pytest.fail(sentence)
        pytest.skip(sentence)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return residual(tmp_path / "m.onnx")


def source(model: Path | None, folder: Path, **options: Any) -> str:
    """The text for Graphviz."""
    q8emu.draw(model, folder / "drawn.dot", **options)
    return (folder / "drawn.dot").read_text(encoding="utf-8")


def boxes(dot: str) -> list[str]:
    """The operators of an annotated picture."""
    return re.findall(r'<B><FONT POINT-SIZE="14">([^<]*)</FONT></B>', dot)


def svg_texts(path: Path) -> list[str]:
    """What the picture says, after parsing it as XML."""
    return [
        str(e.text).replace("\xa0", " ")
        for e in ET.fromstring(path.read_bytes()).iter("{http://www.w3.org/2000/svg}text")
    ]


def test_the_packaged_model_shows_three_adds_with_both_branches(tmp_path: Path) -> None:
    """Scales and ratios against the initializers of the file."""
    proto = onnx.load(default_model())
    values = {t.name: numpy_helper.to_array(t) for t in proto.graph.initializer}
    made = {name: node for node in proto.graph.node for name in node.output}
    drawing = q8emu.draw(None, tmp_path / "r.dot")
    dot = (tmp_path / "r.dot").read_text(encoding="utf-8")
    adds = [node for node in proto.graph.node if node.op_type == "Add"]
    assert [add.node for add in drawing.adds] == [node.name for node in adds]
    for node in adds:
        scales = [float(values[made[name].input[1]]) for name in node.input]
        high, low = max(scales), min(scales)
        name = "b/a" if scales[1] >= scales[0] else "a/b"
        assert f"scales {name} = {high / low:.4g}" in dot
        for branch, scale in zip("ab", scales, strict=True):
            assert f"<B>{branch}: scale {scale:.6g}, zero_point" in dot
    assert dot.count(f'COLOR="{KINDS["add"][1]}" CELLBORDER') == 3


def test_constants_and_pairs_are_no_boxes_and_every_edge_has_its_parameters(small: Path, tmp_path: Path) -> None:
    dot = source(small, tmp_path)
    assert boxes(dot) == ["QuantizeLinear", "Conv", "Conv", "Add", "GlobalAveragePool", "DequantizeLinear"]
    edges = re.findall(r"^  (\w+) -> (\w+) \[label=(.*)\]$", dot, re.MULTILINE)
    ends = [(a, b) for a, b, _ in edges]
    expected = [("i0", "n0"), ("n0", "n1"), ("n1", "n2"), ("n2", "n3"), ("n1", "n3"), ("n3", "n4"), ("n4", "n5")]
    assert ends == [*expected, ("n5", "o0")]
    labels = {(a, b): label for a, b, label in edges}
    assert "int8 N×3×8×8" in labels["n0", "n1"] and "scale 0.02, zero_point 0" in labels["n0", "n1"]
    assert f"int8 N×{CHANNELS}×8×8" in labels["n3", "n4"] and "scale 0.03, zero_point 0" in labels["n3", "n4"]
    assert "float32 N×3×8×8" in labels["i0", "n0"] and "style=dashed" in labels["i0", "n0"]
    assert f"weights int8 {CHANNELS}×3×3×3" in dot and f"bias int32 {CHANNELS}" in dot
    assert "pads 1 1 1 1" in dot


def test_the_two_spellings_give_one_picture(tmp_path: Path) -> None:
    """Up to names: the same operators, parameters and shapes."""
    pictures = []
    for style in ("qdq", "qoperator"):
        dot = source(GOLDEN / f"resnet8_int8_{style}_channel.onnx", tmp_path)
        pictures.append((boxes(dot), re.findall(r"scale [^<,]*, zero_point -?\d+|scales [^<]*|N×[\d×]+", dot)))
    assert pictures[0] == pictures[1]
    assert len(pictures[0][0]) == 18


def test_the_same_bytes_each_time(small: Path, tmp_path: Path, graphviz: None, package: Any) -> None:
    """In new interpreters with other hash seeds."""
    package("pydot", "workflow")
    found = []
    for seed in ("1", "2"):
        for style, form in (("annotated", "dot"), ("annotated", "svg"), ("plain", "dot")):
            target = tmp_path / f"{seed}.{form}"
            command = [sys.executable, "-m", "q8emu", "draw", str(small), "-o", str(target), "--style", style]
            subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed})
            found.append(target.read_bytes())
    assert found[:3] == found[3:]


def test_what_stays_in_float_has_another_colour(tmp_path: Path) -> None:
    made = Model()
    y = made.quantize(made.conv(made.quantize("x", "x_q", 0.02), "conv", 3), "conv_q", 0.02)
    made.add("Erf", [y], "y")
    dot = source(made.save(tmp_path / "h.onnx", [2, 3, 8, 8], [2, CHANNELS, 8, 8]), tmp_path)
    assert boxes(dot)[-1] == "Erf"
    assert f'BGCOLOR="{KINDS["host"][0]}"><B><FONT POINT-SIZE="14">Erf' in dot
    assert KINDS["host"][2] in dot and "1 in float" in dot
    assert KINDS["add"][2] not in dot, "the legend names what is there"


def test_tflite(tmp_path: Path, package: Any) -> None:
    """An Add of a constant joins no branches; the file's axes; a fused activation by its name."""
    f = File()
    x = f.tensor("x", "int8", (1, 4), [0.5], [3])
    k = f.tensor("k", "int8", (4,), [0.25], [1], 0, np.array([5, 6, 7, 8], np.int8))
    s, t = (f.tensor(name, "int8", (1, 4), [scale], [-128]) for name, scale in (("s", 1.0), ("t", 3.0)))
    f.operator("ADD", [x, k], [s], {0: ("Int8", 1)})
    f.operator("ADD", [x, s], [t])
    f.inputs, f.outputs = [x], [t]
    path = tmp_path / "m.tflite"
    path.write_bytes(f.build())
    drawing = q8emu.draw(path, tmp_path / "m.dot")
    assert [(add.node, add.ratio_name, add.ratio) for add in drawing.adds] == [("t", "b/a", 2.0)]
    dot = (tmp_path / "m.dot").read_text(encoding="utf-8")
    assert "constant int8 4" in dot and "relu" in dot
    package("pydot", "workflow")
    assert "op#" in source(path, tmp_path, style="plain")


def test_pictures_of_the_real_models(data_dir: Path, tmp_path: Path, graphviz: None) -> None:
    """The MLPerf Tiny files: all boxes are in the picture."""
    counts = {"ic/pretrainedResnet_quant": (16, 3), "vww/vww_96_int8": (31, 0), "kws/kws_ref_model": (13, 0)}
    for name, (nodes, adds) in counts.items():
        drawing = q8emu.draw(data_dir / "mlperf_tiny" / f"{name}.tflite", tmp_path / "r.svg")
        assert (drawing.nodes, len(drawing.adds)) == (nodes, adds)
        texts = svg_texts(tmp_path / "r.svg")
        assert sum("zero_point" in line for line in texts) > nodes
        assert not any(len(line) > 130 for line in texts)


@pytest.mark.parametrize("style", ["annotated", "plain"])
def test_hostile_names_stay_names(style: Any, small: Path, tmp_path: Path, graphviz: None, package: Any) -> None:
    """The picture is legal XML with as many boxes as ever; names are short and carry no control character."""
    if style == "plain":
        package("pydot", "workflow")
    before = q8emu.draw(small, tmp_path / "good.svg", style=style)
    proto = onnx.load(small)
    renamed: dict[str, str] = {}
    for node in proto.graph.node:
        node.name += EVIL
        for names in (node.input, node.output):
            names[:] = [renamed.setdefault(n, f"{len(renamed)}{EVIL}") for n in names]
    for values in (proto.graph.initializer, proto.graph.input, proto.graph.output):
        for value in values:
            value.name = renamed.get(value.name, value.name)
    onnx.save(proto, small)
    after = q8emu.draw(small, tmp_path / "evil.svg", style=style)
    assert before.nodes == after.nodes
    good, evil = (ET.fromstring((tmp_path / f"{n}.svg").read_bytes()) for n in ("good", "evil"))
    for kind in ("node", "edge"):
        counts = [sum(e.get("class") == kind for e in picture.iter()) for picture in (good, evil)]
        assert counts[0] == counts[1] > 0
    assert all(len(line) < 130 and line.isprintable() for line in svg_texts(tmp_path / "evil.svg"))


def test_names_are_cut_and_escaped() -> None:
    assert cut("a" * 100, 9) == "aaaaaa…aa"
    assert text("\x00<") == "?&lt;"
    assert text("") == "?"
    assert quoted('"\\') == '"&quot;\\\\"'


def test_without_graphviz_the_text_is_kept(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The picture that was asked for is not there: exit code 2, one sentence that says how to install it."""
    expected = source(small, tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = Outcome(capsys, "draw", small, "-o", tmp_path / "p.png")
    assert (outcome.code, outcome.out) == (2, "")
    sentence = outcome.err.splitlines()[-1]
    assert "apt-get install graphviz" in sentence and "p.png.dot" in sentence and "Traceback" not in outcome.err
    assert not (tmp_path / "p.png").exists()
    assert (tmp_path / "p.png.dot").read_text(encoding="utf-8") == expected
    assert Outcome(capsys, "draw", small, "-o", tmp_path / "p.dot").code == 0


def test_when_graphviz_fails(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    program = tmp_path / "dot"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('out of\\nmemory')\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = Outcome(capsys, "draw", small, "-o", tmp_path / "p.svg")
    assert outcome.code == 2
    assert "exit code 1: out of memory" in outcome.err
    assert not (tmp_path / "p.svg").exists() and (tmp_path / "p.svg.dot").exists()


def test_without_pydot(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "pydot", None)
    outcome = Outcome(capsys, "draw", small, "-o", tmp_path / "p.dot", "--style", "plain")
    assert outcome.code == 2
    assert "pip install 'q8emu[workflow]'" in outcome.err
    assert Outcome(capsys, "draw", small, "-o", tmp_path / "p.dot").code == 0, "the annotated picture takes no pydot"


def test_plain_is_the_graph_of_the_file(small: Path, tmp_path: Path, package: Any) -> None:
    package("pydot", "workflow")
    dot = source(small, tmp_path, style="plain")
    proto = onnx.load(small)
    assert [dot.count(f"(op#{i})") for i in range(len(proto.graph.node))] == [1] * len(proto.graph.node)
    assert dot.count(" -> ") == sum(len(n.input) + len(n.output) for n in proto.graph.node)


def test_plain_takes_the_tool_of_onnx_where_it_is(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: Any
) -> None:
    """Newer versions of onnx have left it out; it gets names without anything that Graphviz would read."""
    package("pydot", "workflow")
    seen: list[Any] = []

    class Drawn:
        def to_string(self) -> str:
            return "digraph { from_the_tool }"

    def get_graph(graph: onnx.GraphProto, **options: Any) -> Drawn:
        seen.extend([graph, options["rankdir"]])
        return Drawn()

    tool = ModuleType("onnx.tools.net_drawer")
    tool.GetPydotGraph, tool.GetOpNodeProducer = get_graph, lambda **_: None  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "onnx.tools.net_drawer", tool)
    assert source(small, tmp_path, style="plain") == "digraph { from_the_tool }"
    assert [n.op_type for n in seen[0].node] == [n.op_type for n in onnx.load(small).graph.node]
    assert seen[1] == "TB"


def test_overlay(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Counts per oracle on the node that makes the tensor, and colours by the worst of them."""
    report = {
        "schema": "q8emu.verify/1",
        "tensors": [
            {
                "tensor": n,
                "oracles": {"ort": {"differing": 0, "elements": 1000}, "other": {"differing": d, "elements": 1000}},
            }
            for n, d in (("x_q", 0), ("stem_q", 3), ("branch_q", 400))
        ],
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    dot = source(small, tmp_path, overlay=path)
    heads = dict(re.findall(r'BGCOLOR="(#\w+)"><B><FONT POINT-SIZE="14">\w+</FONT></B>   (\w+)', dot))
    assert {name: colour for colour, name in heads.items()} == {
        "x_q": "#B2E2B2",
        "stem": "#FFC9C9",
        "branch": "#FF6B6B",
        "y": "#FFFFFF",
    }, "sum and pool are not in the report either"
    assert "other: 400 of 1,000 differ" in dot and "equal: ort, other" in dot and "not compared" in dot
    for content, words in (
        ("{", "no report"),
        ('{"schema": "q8emu.diff/1"}', "q8emu.diff/1"),
        ('{"schema": "q8emu.verify/1", "tensors": [{"tensor": "z", "oracles": {}}]}', "no tensor of the report"),
    ):
        path.write_text(content)
        outcome = Outcome(capsys, "draw", small, "-o", tmp_path / "o.dot", "--overlay", path)
        assert outcome.code == 2 and words in outcome.err and not (tmp_path / "o.dot").exists()


def test_overlay_of_a_real_report(small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "report.json"
    path.write_text(Outcome(capsys, "verify", small, "--against", "ort", "--random", 1, "--json").out)
    dot = source(small, tmp_path, overlay=path)
    assert dot.count("equal: ort") == len(boxes(dot))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "p.gif"], ".svg, .png, .dot"),
        (["-o", "nowhere/p.svg"], "existing folder"),
        (["--style", "fancy"], "annotated or plain"),
        (["--style", "plain", "--overlay", "r.json"], "--style plain"),
        (["--overlay", "absent.json"], "absent.json"),
    ],
)
def test_bad_options_are_one_sentence(
    options: list[str],
    words: str,
    small: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = Outcome(capsys, "draw", small, *options)
    assert (outcome.code, outcome.out) == (2, "")
    assert words in outcome.err.splitlines()[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx"]


def test_the_command(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], graphviz: None
) -> None:
    """Settings on stderr, the Adds on stdout; by default an SVG here under the model's name."""
    monkeypatch.chdir(tmp_path)
    outcome = Outcome(capsys, "draw", small)
    assert outcome.code == 0
    assert "output m.svg" in outcome.err and "Add 'sum': scales a 0.02, b 0.02; b/a = 1" in outcome.out
    assert "Add" in svg_texts(tmp_path / "m.svg")
    found = Outcome(capsys, "draw", small, "-o", "m.png", "--json").json
    assert (found["schema"], found["nodes"], found["output"]) == ("q8emu.draw/1", 6, "m.png")
    assert found["residual_adds"][0]["b"] == {
        "tensor": "stem_q",
        "from": "stem",
        "scale": np.float32(0.02),
        "zero_point": 0,
    }
    assert (tmp_path / "m.png").read_bytes().startswith(b"\x89PNG")
