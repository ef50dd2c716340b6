# SPDX-License-Identifier: Apache-2.0
"""The golden data: complete, made again with the same bytes, and reproduced by q8emu bit for bit.

The values come from ONNX Runtime (golden/oracle.py), so each comparison here is q8emu against committed bits of it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import archive, artifacts, cases, oracle, processors, regenerate, vendor
from golden.resnet8.images import images
from golden.resnet8.quantize import DEFAULT, RECIPES, Recipe

from q8emu.canonical import canonicalize
from q8emu.canonical.qoperator import QOPERATORS
from q8emu.lower import lower
from q8emu.models import default_inputs, default_model
from q8emu.numerics import profile, spec
from q8emu.ops import OPS
from q8emu.readers.onnx import read_onnx
from q8emu.run import Runner
from q8emu.trace import Trace

GOLDEN = Path(__file__).parent.parent / "golden"
INTERNAL_OPERATORS = {"Host", "Identity", "Requantize"}  # no operator of a file, or nothing to compute
SMALL = 20_000
"""Elements up to which the spec, which is slow, runs a case as well."""


def emulate(model: bytes, inputs: Mapping[str, np.ndarray], kernels: str, batch: int | None = None) -> Trace:
    """Run a model file through q8emu, without any host step."""
    program = lower(canonicalize(read_onnx(model, batch=batch)), profile("ort"), no_host=True)
    return Runner(program, kernels=kernels, threads=2).run(inputs)


def assert_same_bits(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], label: str) -> None:
    """Same names, dtypes, shapes and bits; the message has the first difference."""
    assert sorted(found) == sorted(expected)
    for name, array in expected.items():
        got = found[name]
        assert (got.dtype, got.shape) == (array.dtype, array.shape), f"{label}: {name}"
        if got.tobytes() == array.tobytes():
            continue
        flat = [a.view(np.uint32) if a.dtype == np.float32 else a for a in (np.atleast_1d(got), np.atleast_1d(array))]
        places = np.argwhere(flat[0] != flat[1])
        first = tuple(map(int, places[0]))
        values = f"got {np.atleast_1d(got)[first]}, expected {np.atleast_1d(array)[first]}"
        pytest.fail(f"{label}: {len(places)} of {array.size} elements of {name} differ, first at {first}: {values}")


# The files


def test_the_manifest_lists_every_file_with_its_hash() -> None:
    manifest = regenerate.read_manifest()
    assert regenerate.committed_differences(manifest) == []
    for path, told in manifest["files"].items():
        data = (artifacts.ROOT / path).read_bytes()
        assert told["bytes"] == len(data)
        assert told["how"]
        if path.endswith(".npz"):
            assert told["content_sha256"] == archive.content_sha256(data)
    assert sum(told["bytes"] for told in manifest["files"].values()) < 4_000_000


def test_the_manifest_says_what_made_the_data() -> None:
    manifest = regenerate.read_manifest()
    assert set(manifest["versions"]) == {"numpy", "onnx", "onnxruntime", "zlib"}
    assert manifest["cpu"]["vnni"] is True  # without, ONNX Runtime saturates pairs of u8 × s8 products on x86-64
    assert manifest["cpu"]["saturates"] is False


def test_the_weights_are_those_of_the_training_log() -> None:
    assert regenerate.check_weights() is None


def test_the_accuracy_is_above_the_bar() -> None:
    record = json.loads((GOLDEN / "resnet8/accuracy.json").read_text())
    assert record["images"] == 10_000
    assert record["correct"]["float32"] >= 8_600
    assert set(record["correct"]) == {"float32"} | {recipe.name for recipe in RECIPES}


def test_the_readme_has_the_accuracy() -> None:
    correct = json.loads((GOLDEN / "resnet8/accuracy.json").read_text())["correct"]
    text = (GOLDEN / "README.md").read_text()
    for dtype in ("int8", "uint8"):
        rows = {tuple(correct[f"resnet8_{dtype}_{s}_{g}"] for g in ("tensor", "channel")) for s in ("qdq", "qoperator")}
        assert len(rows) == 1  # the spelling changes nothing
        assert f"| {dtype} | {' | '.join(map(str, rows.pop()))} |" in text
    assert f"The float32 model has {correct['float32']};" in text


def test_everything_that_needs_no_dataset_is_made_again_with_the_same_bytes() -> None:
    manifest = regenerate.read_manifest()
    other = regenerate.differing_conditions(manifest, ("numpy", "onnx", "onnxruntime", "cpu integers"))
    if other:
        pytest.skip(f"the golden data was made under other conditions: {', '.join(other)}")
    made = list(artifacts.everything(None))
    assert {a.path for a in made} == set(manifest["files"]) - {
        artifacts.ACCURACY,
        artifacts.RANGES,
        artifacts.TRAIN_LOG,
        artifacts.WEIGHTS,
        *(f"golden/vendor/{name}.npz" for name in vendor.SOURCES),
        *(f"golden/processors/{name}.npz" for name in processors.PROCESSORS),
    }
    _, _, unexplained = regenerate.compare(made, manifest)
    assert unexplained == []


def test_a_difference_is_explained_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other bytes around equal arrays, another version, and neither."""
    path = "golden/cases/Relu.npz"
    committed = (artifacts.ROOT / path).read_bytes()
    arrays = archive.read_npz(committed)
    manifest = regenerate.read_manifest()
    monkeypatch.setattr(oracle, "versions", lambda: dict(manifest["versions"]))
    monkeypatch.setattr(oracle, "cpu", lambda: dict(manifest["cpu"]))
    stored: dict[str, Any] = dict(arrays)
    np.savez(tmp_path / "stored.npz", **stored)
    name = next(name for name in arrays if name.startswith("out."))
    changed = archive.npz_bytes(arrays | {name: arrays[name] + 1})
    repacked, altered = (
        artifacts.Artifact(path, data, "", ("onnxruntime", "cpu integers"))
        for data in ((tmp_path / "stored.npz").read_bytes(), changed)
    )
    assert regenerate.compare([repacked], manifest)[2] == []
    assert regenerate.compare([altered], manifest)[2] == [f"{path} differs"]
    monkeypatch.setattr(oracle, "versions", lambda: manifest["versions"] | {"onnxruntime": "0.0.1"})
    _, explained, unexplained = regenerate.compare([altered], manifest)
    assert unexplained == []
    assert "onnxruntime" in explained[0]
    assert "0.0.1" in explained[0]


def test_the_oracle_has_nothing_of_q8emu() -> None:
    """What is committed as expected values is not computed by what is tested."""
    for name in ("oracle", "spelling", "cases", "archive", "operators/products", "operators/functions"):
        tree = ast.parse((GOLDEN / f"{name}.py").read_text())
        modules = {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        modules |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not any(module.startswith("q8emu") for module in modules)


def test_every_operator_has_a_case() -> None:
    expected = (set(OPS) - INTERNAL_OPERATORS) | {name.removeprefix("com.microsoft:") for name in QOPERATORS}
    assert set(cases.CASES) == expected
    assert list(cases.CASES) == sorted(cases.CASES)
    assert {f.stem for f in (GOLDEN / "cases").iterdir()} == expected


# q8emu against them


@pytest.mark.parametrize("operator", cases.CASES)
def test_a_case_is_reproduced_by_every_isa(operator: str, isa: str) -> None:
    case = cases.read(GOLDEN / "cases", operator)
    assert_same_bits(emulate(case.model, case.inputs, isa).outputs, case.outputs, f"{operator}, {isa}")


@pytest.mark.parametrize("operator", cases.CASES)
def test_a_case_is_reproduced_by_the_spec(operator: str) -> None:
    """Exhaustive branches, which hold all pairs of codes, are left to the kernels."""
    case = cases.read(GOLDEN / "cases", operator)
    if sum(array.size for array in case.outputs.values()) > SMALL:
        case = _without(case, "pairs_")
    assert_same_bits(emulate(case.model, case.inputs, "spec").outputs, case.outputs, f"{operator}, spec")


def _without(case: cases.Case, prefix: str) -> cases.Case:
    """The case without the branches of that prefix."""
    import onnx

    model = onnx.load_from_string(case.model)
    for field in (model.graph.node, model.graph.input, model.graph.output, model.graph.initializer):
        for item in [item for item in field if item.name.startswith(prefix)]:
            field.remove(item)
    kept = [{n: a for n, a in side.items() if not n.startswith(prefix)} for side in (case.inputs, case.outputs)]
    assert len(kept[1]) < len(case.outputs)
    return cases.Case(model.SerializeToString(), *kept)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_the_vectors_are_reproduced_by_every_isa(recipe: Recipe, isa: str) -> None:
    """Every quantized tensor of the ResNet8 and its final output."""
    model = (GOLDEN / f"models/{recipe.name}.onnx").read_bytes()
    expected = archive.read_npz((GOLDEN / f"vectors/{recipe.name}.npz").read_bytes())
    inputs = {name: array[: artifacts.VECTOR_IMAGES] for name, array in default_inputs().items()}
    trace = emulate(model, inputs, isa, batch=artifacts.VECTOR_IMAGES)
    assert_same_bits({**trace.tensors, **trace.outputs}, expected, f"{recipe.name}, {isa}")


def test_the_packaged_model_is_a_golden_one() -> None:
    golden = GOLDEN / f"models/{DEFAULT.name}.onnx"
    assert default_model().read_bytes() == golden.read_bytes()


def test_the_packaged_input_is_the_synthetic_one() -> None:
    assert_same_bits(default_inputs(), images(), "packaged input")


# The data can tell arithmetic apart


def _rounding(rule: str, acc: int, scale_bits: int, zero_point: int, low: int, high: int) -> int:
    """Requantize under another rule for ties, from its definition."""
    scale = spec.f32_from_bits(scale_bits)
    if rule == "exact_product":  # no rounding to binary32 before
        return min(max(round(acc * Fraction(float(scale))) + zero_point, low), high)
    v = Fraction(float(np.float32(np.float32(acc) * scale)))
    half = Fraction(1, 2)
    if rule == "half_up":
        q = (v + half) // 1
    elif rule == "half_away":
        q = (abs(v) + half) // 1 * (1 if v >= 0 else -1)
    else:  # the zero point inside the rounding
        q = round(v + zero_point) - zero_point
    return min(max(int(q) + zero_point, low), high)


@pytest.mark.parametrize("operator", ["Conv", "QLinearConv", "MatMul", "Gemm", "GlobalAveragePool"])
@pytest.mark.parametrize("rule", ["exact_product", "half_up", "half_away", "zero_point_inside"])
def test_another_rounding_shows(operator: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative control: the cases have enough exact ties to turn red under each of the other rules."""
    case = cases.read(GOLDEN / "cases", operator)

    def other(acc: int, bits: int, zero_point: int, limits: tuple[int, int], bounds: tuple[int, int]) -> int:
        return min(max(_rounding(rule, acc, bits, zero_point, *limits), bounds[0]), bounds[1])

    monkeypatch.setattr(spec, "requantize", other)
    found = emulate(case.model, case.inputs, "spec").outputs
    differing = [name for name, array in case.outputs.items() if not np.array_equal(found[name], array)]
    enough = 1 if rule == "exact_product" else len(case.outputs) // 3
    assert len(differing) >= enough, f"only {differing} of {sorted(case.outputs)}"
