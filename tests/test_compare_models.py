# SPDX-License-Identifier: Apache-2.0
"""Models side by side: the numbers, the flags, the rule, and documents that the same command makes again."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifiers import matched_filter
from command_line import Outcome
from q8emu.errors import BadInput
from q8emu.ptq.compare_html import html
from q8emu.ptq.compare_markdown import markdown, signed
from q8emu.ptq.compare_models import ClassCount, Comparison, Entry, compare, entry_of
from q8emu.ptq.compare_plot import plot
from q8emu.ptq.exactness import Exactness
from q8emu.ptq.model_file import ModelFile, describe
from test_cli_evaluate import write_test_set

EXACT = Exactness("ort", "ort", 1000, 0)
COMMAND = "q8emu compare-models a b"


def entry(name: str, dtype: str, correct: int, size: int, exact: Exactness = EXACT, cat: int | None = None) -> Entry:
    """A made entry: 1000 images of two classes, of each as many right unless `cat` says how many cats."""
    cats = correct // 2 if cat is None else cat
    classes = (ClassCount("cat", 500, cats), ClassCount("dog", 500, correct - cats))
    model = ModelFile(name, "ONNX", dtype, size, "0" * 64)
    return Entry(model, name, "ort", "1,000, made", "1" * 64, 1000, correct, classes, exact)


def made(*entries: Entry, **options: object) -> Comparison:
    """A float baseline with 900 right and 400 kB, and others."""
    base = entry("float.onnx", "float32", 900, 400_000, Exactness(why_not="float"))
    return compare([base, *entries], COMMAND, **options)  # type: ignore[arg-type]


# The rule


def test_the_smallest_exact_file_within_the_bound_is_taken() -> None:
    found = made(
        entry("small_but_bad.onnx", "int8", 889, 50_000),
        entry("small_not_exact.onnx", "int8", 899, 60_000, Exactness("ort", "ort", 1000, 1)),
        entry("small_unchecked.onnx", "int8", 899, 60_000, Exactness(why_not="not checked")),
        entry("taken.onnx", "int8", 890, 100_000),
        entry("better_but_larger.onnx", "int8", 900, 100_001),
    )
    assert found.recommended == 4
    assert found.recommendation == (
        "taken.onnx (ONNX, int8): 89.00 %, 1.00 points below the baseline, 100,000 bytes, 4.0 times smaller, exact "
        "under ort."
    )


def test_equal_sizes_are_decided_by_accuracy_then_by_order() -> None:
    rows = [entry(name, "int8", right, 100_000) for name, right in (("a", 895), ("b", 898), ("c", 898))]
    assert made(*rows).recommended == 2


def test_nothing_qualifies() -> None:
    found = made(entry("bad.onnx", "int8", 700, 100_000))
    assert found.recommended is None
    assert found.recommendation == "no quantized file qualifies; stay with the baseline, float.onnx."
    assert made(entry("bad.onnx", "int8", 700, 100_000), within=20.0).recommended == 1


def test_drops_beyond_five_points_are_flagged() -> None:
    rows = [("at.onnx", 850, None), ("below.onnx", 849, None), ("cat.onnx", 880, 420)]
    found = made(*(entry(name, "int8", right, 1, cat=cats) for name, right, cats in rows))
    assert [found.is_flagged(e) for e in found.entries] == [False, False, True, False]
    assert [found.flagged_classes(e) for e in found.entries] == [(), (), ("cat",), ("cat",)]
    text = markdown(found)
    assert "| −5.10 ⚠ |" in text
    assert "`below.onnx` as a whole (−5.10); cat in 3 (−5.20); cat in 4 (−6.00)." in text


def test_the_baseline_is_the_best_float_or_the_named_one() -> None:
    other = entry("other.onnx", "float32", 950, 1)
    assert made(other).base.model.name == "other.onnx"
    assert made(other, baseline="float.onnx").base.model.name == "float.onnx"
    assert compare([entry("i", "int8", 1, 1), entry("j", "int8", 2, 1)], COMMAND).baseline == 1
    with pytest.raises(BadInput, match=r"--baseline x: none of the files is called so; they are float\.onnx"):
        made(baseline="x")


def test_different_images_are_refused() -> None:
    with pytest.raises(BadInput, match="the same images with the same labels"):
        made(replace(entry("x", "int8", 1, 1), labels_sha256="2"))


# The documents


def test_signs_and_reductions() -> None:
    assert [signed(x) for x in (-1.234, 0.001, 2.0)] == ["−1.23", "0.00", "+2.00"]
    text = markdown(made(entry("small.onnx", "int8", 898, 100_000), entry("large.onnx", "int8", 898, 500_000)))
    assert "| −75 % (4.0×) |" in text
    assert "| +25 % (0.8×) |" in text


def test_markdown_carries_the_command_and_ends_with_the_choice() -> None:
    text = markdown(made(entry("a|b.onnx", "int8", 895, 100_000)))
    assert f"```text\n{COMMAND}\n```" in text
    assert "`a\\|b.onnx`" in text
    assert text.rstrip().endswith("exact under ort.**")
    assert "standard error of 0.95 percentage points" in text


def test_html_is_one_file_and_escapes_names(package: Callable[..., object]) -> None:
    package("jinja2", "workflow")
    text = html(made(entry("<script>alert(1)</script>.onnx", "int8", 895, 100_000)))
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text
    assert not re.search(r"https?:|src=|@import|url\(", text)
    assert "<svg" in text
    assert text == html(made(entry("<script>alert(1)</script>.onnx", "int8", 895, 100_000)))


def test_the_numbers_of_a_plot_do_not_overlap(rng: np.random.Generator) -> None:
    """Eight models in one place among others; every mark is inside the axes."""
    near = [entry(f"n{i}", "int8", 890 + i % 2, 99_000 + i) for i in range(8)]
    far = [entry(f"f{i}", "uint8", int(rng.integers(500, 900)), int(rng.integers(1000, 400_000))) for i in range(8)]
    drawn = plot(made(*near, *far))
    places = [(m.label_x, m.label_y) for m in drawn.marks]
    for i, (x, y) in enumerate(places):
        assert all(max(abs(x - a), abs(y - b)) > 17 for a, b in places[:i])
    for mark in drawn.marks:
        assert drawn.left <= mark.x <= drawn.right
        assert drawn.top <= mark.y <= drawn.bottom
    sizes = [float(tick.text.replace(",", "")) for tick in drawn.x_ticks]
    assert np.allclose(np.diff(sizes), sizes[1] - sizes[0])
    assert len(plot(compare([near[0]], COMMAND)).y_ticks) >= 2


# The command


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A test set of made images, a quantized model, and the same in float."""
    place = write_test_set(tmp_path_factory.mktemp("data"))
    matched_filter(place / "made.onnx")
    float_twin(place / "made.onnx", place / "float.onnx")
    return place


def float_twin(model: Path, path: Path) -> Path:
    """The model without its activations' quantizers: one float product."""
    import onnx
    from onnx import helper, numpy_helper

    read = {t.name: numpy_helper.to_array(t) for t in onnx.load(model).graph.initializer}
    weights = (read["w"] * read["ws"]).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w"], ["y"], transB=1)]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["N", 3, 32, 32])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["N", 10])
    graph = helper.make_graph(nodes, "float", [x], [y], [numpy_helper.from_array(weights, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def test_the_command_writes_the_same_bytes_again(
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    package: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package("jinja2", "workflow")
    monkeypatch.setenv("Q8EMU_DATA", str(folder))
    monkeypatch.chdir(tmp_path)
    arguments = ["compare-models", folder / "float.onnx", folder / "made.onnx", "--limit", 100]
    arguments += [x for name in ("c.md", "c.html", "c.json") for x in ("--output", name)]
    made_twice = []
    for _ in range(2):
        outcome = Outcome(capsys, *arguments)
        assert outcome.code == 0, outcome.err
        assert "recommended: made.onnx (ONNX, int8)" in outcome.out or "made.onnx (ONNX, uint8)" in outcome.out
        made_twice.append([(tmp_path / f"c.{suffix}").read_bytes() for suffix in ("md", "html", "json")])
    assert made_twice[0] == made_twice[1]
    found = json.loads((tmp_path / "c.json").read_text())
    assert found["schema"] == "q8emu.compare-models/1"
    assert found["command"].startswith('q8emu compare-models "$Q8EMU_DATA"/float.onnx "$Q8EMU_DATA"/made.onnx --output')
    assert [m["exact"]["values"] for m in found["models"]] == [0, 1000]
    assert (found["baseline"], found["recommended"]) == (0, 1)
    assert not re.search(r"second|images/s", (tmp_path / "c.md").read_text())


def test_evaluations_are_taken_as_they_are(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same table as from the files, without evaluating; a file that is gone is not checked."""
    monkeypatch.setenv("Q8EMU_DATA", str(folder))
    names = [folder / "float.onnx", folder / "made.onnx"]
    written = []
    for name in names:
        outcome = Outcome(capsys, "evaluate", name, "--limit", 100, "--json")
        written.append(tmp_path / f"{name.stem}.json")
        written[-1].write_text(outcome.out)
    direct = Outcome(capsys, "compare-models", *names, "--limit", 100, "--json").json
    monkeypatch.setattr("q8emu.ptq.compare_files.evaluate", lambda *_: pytest.fail("evaluated again"))
    given = Outcome(capsys, "compare-models", *written, "--json").json
    assert given["models"] == direct["models"]
    assert given["recommendation"] == direct["recommendation"]
    moved = json.loads(written[1].read_text())
    moved["model"]["path"] = "elsewhere.onnx"
    written[1].write_text(json.dumps(moved))
    found = Outcome(capsys, "compare-models", *written, "--json").json
    assert found["models"][1]["exact"]["why_not"] == "not checked, the file is elsewhere"
    assert found["recommended"] is None


def test_bad_input_is_one_sentence(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(*arguments: object) -> Outcome:
        return Outcome(capsys, "compare-models", "--data", folder, *arguments)

    refused(tmp_path / "absent.onnx").assert_sentence("no file")
    refused(folder / "made.onnx", "-o", "x.pdf").assert_sentence(".html, .json, .md")
    refused(folder / "made.onnx", "-o", tmp_path / "no" / "x.md").assert_sentence("existing folder")
    damaged = tmp_path / "e.json"
    for content, sentence in (
        ("{", "no JSON"),
        ("[]", "not of the schema q8emu.evaluate/1"),
        ('{"schema": "q8emu.evaluate/1"}', "damaged"),
        ('{"schema": "q8emu.evaluate/1", "model": 3, "settings": {}}', "damaged"),
    ):
        damaged.write_text(content)
        refused(damaged).assert_sentence(sentence)


def test_an_evaluation_with_impossible_counts_is_refused() -> None:
    model = describe_default()
    found = {"model": model, "settings": {"backend": "ort", "images": "x"}, "labels_sha256": "", "classes": []}
    with pytest.raises(BadInput, match="contradict"):
        entry_of(found | {"samples": 5, "correct": 6}, EXACT)


def describe_default() -> dict[str, object]:
    from q8emu.models import default_model

    return describe(default_model()).to_json() | {"path": "x"}
