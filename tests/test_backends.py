# SPDX-License-Identifier: Apache-2.0
"""The oracles on small models: taps that do not disturb, float nodes by name, sentences when one cannot run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from q8emu.backends import BACKENDS, backend, tapping
from q8emu.backends import onnxruntime as ort_module
from q8emu.backends.cpu import Cpu, parse_cpuinfo, this_cpu
from q8emu.backends.executed import Executed
from q8emu.errors import BackendUnavailable, BadInput
from small_models import CHANNELS, Model, chain, dynamic_product, residual

TAPS = ("x_q", "stem_q", "branch_q", "sum_q", "pool_q")
ONNX = [name for name, oracle in BACKENDS.items() if oracle.format == "ONNX"]
X86 = this_cpu().machine in ("x86_64", "AMD64")


def images(count: int = 16) -> dict[str, np.ndarray]:
    """Random float inputs, a little beyond the quantized range."""
    return {"x": np.random.default_rng(1).uniform(-2.8, 2.8, (count, 3, 8, 8)).astype(np.float32)}


@pytest.fixture(scope="module")
def int8_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The residual network with int8 activations."""
    return residual(tmp_path_factory.mktemp("models") / "int8.onnx")


@pytest.mark.parametrize("name", ONNX)
def test_every_oracle_records_every_tap_undisturbed(name: str, int8_model: Path) -> None:
    """In int8, by the names of the file, with the final output of the plain session."""
    oracle = backend(name)
    assert oracle.name == name
    assert oracle.why_unavailable() is None
    trace = oracle.open(int8_model, TAPS).run(images())
    assert trace.undisturbed is None
    assert tuple(trace.tensors) == TAPS
    assert {str(array.dtype) for array in trace.tensors.values()} == {"int8"}
    assert list(trace.outputs) == ["y"]
    assert oracle.version() == trace.provenance["version"]


@pytest.mark.parametrize("name", ["ort", "ort-default", "ort-unfused"])
def test_the_outputs_are_those_of_a_session_that_nobody_looks_into(name: str, int8_model: Path) -> None:
    """Opened here, independently, with the same options."""
    import onnxruntime

    oracle = BACKENDS[name]
    assert isinstance(oracle, ort_module.OnnxRuntime)
    options = onnxruntime.SessionOptions()
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if oracle.optimized else levels.ORT_DISABLE_ALL
    for key, value in oracle.config.items():
        options.add_session_config_entry(key, value)
    plain = onnxruntime.InferenceSession(str(int8_model), options, providers=["CPUExecutionProvider"])
    expected = plain.run(None, images())[0]
    assert oracle.open(int8_model, TAPS).run(images()).outputs["y"].tobytes() == expected.tobytes()


def test_ort_runs_no_operator_in_float(int8_model: Path) -> None:
    """That is what its session option is for."""
    trace = BACKENDS["ort"].open(int8_model, TAPS).run(images())
    assert trace.float_nodes == {}
    assert trace.provenance["operators"] == "1 QLinearAdd, 2 QLinearConv, 1 QLinearGlobalAveragePool"
    assert "session.qdqisint8allowed=1" in trace.provenance["options"]


@pytest.mark.skipif(not X86, reason="ONNX Runtime allows int8 activations by default on this CPU")
def test_ort_default_runs_some_operators_in_float_and_says_which(int8_model: Path) -> None:
    """The stem's result has two consumers, so it stays int8 and everything next to it runs in float."""
    trace = BACKENDS["ort-default"].open(int8_model, TAPS).run(images())
    assert trace.undisturbed is None
    assert trace.float_nodes == {"stem_q": "Conv", "branch_q": "Conv", "sum_q": "Add"}


def test_uint8_activations_need_no_option(tmp_path: Path) -> None:
    """There ort-default executes what ort does, and computes it where the CPU keeps pairs of products exact."""
    model = residual(tmp_path / "uint8.onnx", "uint8")
    traces = [BACKENDS[name].open(model, TAPS).run(images()) for name in ("ort", "ort-default")]
    assert traces[0].float_nodes == traces[1].float_nodes == {}
    assert ("saturate" in traces[1].provenance.get("u8×s8", "")) == this_cpu().saturates_pairs
    for name in TAPS if not this_cpu().saturates_pairs else ():
        assert np.array_equal(traces[0].tensors[name], traces[1].tensors[name])


@pytest.mark.parametrize("name", ["ort-unfused", "onnx-reference"])
def test_unfused_oracles_run_everything_in_float(name: str, int8_model: Path) -> None:
    """The boundary behind the input is no operator."""
    trace = BACKENDS[name].open(int8_model, TAPS).run(images())
    assert trace.float_nodes == {
        "stem_q": "Conv",
        "branch_q": "Conv",
        "sum_q": "Add",
        "pool_q": "GlobalAveragePool",
    }


@pytest.mark.skipif(not X86, reason="ONNX Runtime rewrites int8 activations on x86-64 only")
def test_a_tap_that_changes_what_runs_is_seen_and_avoided(tmp_path: Path) -> None:
    """The plain way of tapping moves all three convolutions to float; the other way leaves them alone."""
    path = chain(tmp_path / "chain.onnx")
    taps = ["x_q", "one_q", "two_q", "three_q"]
    session = BACKENDS["ort-default"].open(path, taps)
    assert isinstance(session, ort_module.OrtSession)
    plainly = session._look(tapping.tapped(tapping.load(path), taps).model)[1]
    assert plainly.arithmetic() == {"Conv": 3}
    trace = session.run(images())
    assert (trace.undisturbed, trace.float_nodes) == (None, {})
    assert trace.provenance["operators"] == "3 QLinearConv"
    fused = BACKENDS["ort"].open(path, taps).run(images())
    for name in taps if not this_cpu().saturates_pairs else taps[:1]:
        assert np.array_equal(trace.tensors[name], fused.tensors[name]), name


def test_an_oracle_that_cannot_be_tapped_says_so(tmp_path: Path) -> None:
    """Different operators, or different final bits: a sentence instead of a verdict."""
    path = chain(tmp_path / "chain.onnx")
    oracle = BACKENDS["ort"]
    session = oracle.open(path, ["one_q"])
    assert isinstance(session, ort_module.OrtSession)
    other = oracle.open(residual(tmp_path / "other.onnx"), ["stem_q"])
    assert isinstance(other, ort_module.OrtSession)
    assert session._tap(["one_q"]).disturbed is None
    session._executed = other._executed
    assert "looking changes what it executes" in str(session._tap(["one_q"]).disturbed)
    plain = {"y": np.zeros(3, np.float32)}
    assert ort_module._first_difference(plain, {"y": np.zeros(3, np.float32)}) is None
    assert "'y'" in str(ort_module._first_difference(plain, {"y": np.array([0, 0, -0.0], np.float32)}))


def test_every_run_checks_the_final_bits_and_keeps_the_plain_ones(int8_model: Path) -> None:
    """One other bit in one final output of the tapped session is enough."""
    session = BACKENDS["ort"].open(int8_model, TAPS)
    assert isinstance(session, ort_module.OrtSession)
    plain, tapped = session.run(images()).outputs["y"], session._session_tapped

    class Disturbed:
        def run(self, names: Sequence[str], feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
            found = dict(zip(names, tapped.run(names, feeds), strict=True))
            found["y"].view(np.uint32)[-1, 0, 0, 0] ^= 1
            return list(found.values())

    session._session_tapped = Disturbed()
    trace = session.run(images())
    assert "looking changes its final output 'y'" in str(trace.undisturbed)
    assert trace.outputs["y"].tobytes() == plain.tobytes()


def test_what_only_moves_a_float_result_is_no_float_node() -> None:
    """The Reshape of int8 values is exact, whoever computed them; without a tap in between, it stands for the Conv."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["r"]),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["q"]),
        helper.make_node("Reshape", ["q", "shape"], ["moved"]),
        helper.make_node("QLinearSigmoid", ["moved", "s", "z", "s", "z"], ["y"], domain="com.microsoft"),
    ]
    executed = Executed(helper.make_graph(nodes, "g", [], []))
    assert executed.float_nodes(["q", "moved", "y"], []) == {"q": "Conv"}
    assert executed.float_nodes(["moved", "y"], []) == {"moved": "Conv"}
    assert executed.float_nodes([], ["r"]) == {"r": "Conv"}


def test_float_nodes_look_through_movement_and_activation(tmp_path: Path) -> None:
    """Conv → LeakyRelu → Transpose → QuantizeLinear is a float Conv; a requantization alone is none."""
    model = Model()
    x = model.quantize("x", "x_q", 0.02)
    y = model.add("LeakyRelu", [model.conv(x, "conv", 3)], "active", alpha=0.2)
    y = model.quantize(model.add("Transpose", [y], "moved", perm=[0, 2, 3, 1]), "conv_q", 0.02)
    y = model.quantize(y, "again_q", 0.05)
    y = model.quantize(model.add("Tanh", [y], "tanh"), "tanh_q", 0.01)
    model.quantize(model.add("Softmax", [y], "softmax"), "softmax_q", 0.01)
    model.nodes[-1].output[0] = "y"
    path = model.save(tmp_path / "m.onnx", [2, 3, 8, 8], [2, 8, 8, CHANNELS])
    taps = ["x_q", "conv_q", "again_q", "tanh_q", "softmax_q"]
    trace = BACKENDS["ort-unfused"].open(path, taps).run(images(2))
    assert trace.float_nodes == {"conv_q": "Conv", "tanh_q": "Tanh", "softmax_q": "Softmax"}


def test_external_data_is_found_beside_the_model_and_nothing_is_written_there(int8_model: Path, tmp_path: Path) -> None:
    """Weights in a file of their own, zero points too."""
    folder = tmp_path / "external"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(onnx.load(int8_model), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name in ONNX:
        oracle = BACKENDS[name]
        trace = oracle.open(path, TAPS).run(images())
        expected = oracle.open(int8_model, TAPS).run(images())
        assert trace.undisturbed is None, name
        for tap in TAPS:
            assert np.array_equal(trace.tensors[tap], expected.tensors[tap]), (name, tap)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


@pytest.mark.parametrize("opset", [10, 13, 21, 23])
def test_the_reference_evaluator_runs_old_and_new_opsets(opset: int, tmp_path: Path) -> None:
    """Through the version converter where it must."""
    model = residual(tmp_path / "m.onnx", opset=opset)
    trace = BACKENDS["onnx-reference"].open(model, TAPS).run(images(2))
    assert f"opset {opset}" in trace.provenance["options"]
    assert set(trace.tensors) == set(TAPS)


def test_the_reference_evaluator_refuses_foreign_operators(tmp_path: Path) -> None:
    """With their names."""
    node = helper.make_node("QLinearSigmoid", ["x", "s", "z", "s", "z"], ["y"], domain="com.microsoft")
    graph = helper.make_graph(
        [node],
        "foreign",
        [helper.make_tensor_value_info("x", TensorProto.INT8, [4])],
        [helper.make_tensor_value_info("y", TensorProto.INT8, [4])],
        [numpy_helper.from_array(np.array(0.1, np.float32), "s"), numpy_helper.from_array(np.array(0, np.int8), "z")],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), tmp_path / "m.onnx")
    with pytest.raises(BackendUnavailable, match=r"com\.microsoft\.QLinearSigmoid"):
        BACKENDS["onnx-reference"].open(tmp_path / "m.onnx", [])


@pytest.mark.parametrize("name", ONNX)
def test_a_broken_model_is_one_sentence(name: str, tmp_path: Path) -> None:
    """Whatever the runtime raises."""
    (tmp_path / "m.onnx").write_bytes(b"\x08\x09not a model")
    with pytest.raises(BackendUnavailable, match=f"oracle '{name}'") as problem:
        BACKENDS[name].open(tmp_path / "m.onnx", ["x"])
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("name", ONNX)
def test_unknown_taps_are_left_out(name: str, int8_model: Path) -> None:
    """The comparison reports them as missing."""
    assert set(BACKENDS[name].open(int8_model, ["stem_q", "nowhere"]).run(images(1)).tensors) == {"stem_q"}


def test_a_name_that_the_file_lacks_is_never_called_hidden(tmp_path: Path) -> None:
    """Only what ONNX Runtime fused away is."""
    session = BACKENDS["ort"].open(dynamic_product(tmp_path / "m.onnx"), ["x_q", "acc", "nowhere"])
    assert session.hidden == ("x_q", "acc")


def test_unknown_names_list_the_known_ones() -> None:
    """And the nearest."""
    with pytest.raises(BadInput, match=r"onnx-reference, ort, ort-default, ort-unfused.*; did you mean 'ort-default'"):
        backend("ort-defautl")
    assert list(BACKENDS) == sorted(BACKENDS)


INTEL = (
    "processor : 0\nmodel name : A CPU\nflags : fpu avx2 avx512f {}\n\nprocessor : 1\nmodel name : B\nflags : none\n"
)


def test_the_cpu_tells_whether_products_of_pairs_saturate() -> None:
    """AVX2 or AVX-512 without VNNI does; nothing else."""
    old = parse_cpuinfo(INTEL.format(""), "x86_64", "")
    assert (old.model, old.has_vnni, old.saturates_pairs) == ("A CPU", False, True)
    assert "vnni no" in old.describe()
    assert not parse_cpuinfo(INTEL.format("avx512_vnni"), "x86_64", "").saturates_pairs
    assert not parse_cpuinfo("flags : sse4_1\n", "x86_64", "").saturates_pairs
    lanes = {
        f: parse_cpuinfo(f"flags : {f}\n", "x86_64", "").sums_by_8 for f in ("avx2", "avx2 fma", "avx2 fma avx512f")
    }
    assert list(lanes.values()) == [False, True, False]
    arm = parse_cpuinfo("Features : fp asimd asimddp\n", "aarch64", "an ARM")
    assert (arm.model, arm.saturates_pairs) == ("an ARM", False)
    assert "flags unknown" in parse_cpuinfo("", "x86_64", "").describe()


OLD_CPU = Cpu("old", "x86_64", frozenset({"avx2"}))


def test_without_vnni_u8_s8_products_are_made_exact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the session option, which is set where it is needed and where it works."""
    monkeypatch.setattr(ort_module, "this_cpu", lambda: OLD_CPU)
    mixed = BACKENDS["ort"].open(residual(tmp_path / "u8.onnx", "uint8"), TAPS).run(images(2))
    assert "session.x64quantprecision=1" in mixed.provenance["options"]
    assert mixed.provenance["u8×s8"] == "exact"
    same = BACKENDS["ort"].open(residual(tmp_path / "s8.onnx", "int8"), TAPS).run(images(2))
    assert "x64quantprecision" not in same.provenance["options"], (
        "s8×s8 is exact, and ORT has no kernels for the option"
    )
    assert same.provenance["u8×s8"] == "exact"
    default = BACKENDS["ort-default"].open(tmp_path / "u8.onnx", TAPS).run(images(2))
    assert "saturate" in default.provenance["u8×s8"]


def test_without_vnni_an_oracle_that_cannot_be_exact_is_no_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime fails on this model under the option (it adds two zero points of one name)."""
    monkeypatch.setattr(ort_module, "this_cpu", lambda: OLD_CPU)
    model = residual(tmp_path / "u8.onnx", "uint8", weight_zero_points=False)
    with pytest.raises(BackendUnavailable, match="AVX2 without VNNI"):
        BACKENDS["ort"].open(model, TAPS)


def test_without_vnni_integer_products_are_exact_or_have_no_oracle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MatMulInteger of uint8 by int8: made exact, refused where it cannot be, as it is where no pair saturates."""
    monkeypatch.setattr(ort_module, "this_cpu", lambda: OLD_CPU)
    x = np.full((2, 2), 255, np.uint8)
    large = integer_product(tmp_path / "large.onnx", [[127], [127]])
    assert BACKENDS["ort"].open(large, ["y"]).run({"x": x}).outputs["y"].tolist() == [[2 * 255 * 127]] * 2
    with pytest.raises(BackendUnavailable, match=r"oracle 'ort-unfused'.*saturates pairs of u8×s8.* with VNNI$"):
        BACKENDS["ort-unfused"].open(large, ["y"])
    small = BACKENDS["ort-unfused"].open(integer_product(tmp_path / "small.onnx", [[64], [-64]]), ["y"])
    assert small.run({"x": x}).outputs["y"].tolist() == [[0], [0]]
    behind = integer_product(tmp_path / "behind.onnx", [[127], [127]], quantizes=True)
    with pytest.raises(BackendUnavailable, match="saturates pairs of u8×s8"):
        BACKENDS["ort-unfused"].open(behind, ["y"])
    single = BACKENDS["ort-unfused"].open(integer_product(tmp_path / "single.onnx", [[127]]), ["y"])
    assert single.run({"x": x[:, :1]}).outputs["y"].tolist() == [[255 * 127]] * 2


def integer_product(path: Path, weights: list[list[int]], *, quantizes: bool = False) -> Path:
    """A MatMulInteger of uint8 by these int8 weights, of an input or of what a QuantizeLinear makes of one."""
    quantized = [helper.make_node("QuantizeLinear", ["real", "scale", "point"], ["x"], "quantize")] if quantizes else []
    kind = (TensorProto.FLOAT, "real") if quantizes else (TensorProto.UINT8, "x")
    graph = helper.make_graph(
        [*quantized, helper.make_node("MatMulInteger", ["x", "w"], ["y"], "product")],
        "product",
        [helper.make_tensor_value_info(kind[1], kind[0], [2, len(weights)])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, [2, 1])],
        [
            numpy_helper.from_array(np.array(weights, np.int8), "w"),
            numpy_helper.from_array(np.array(1, np.float32), "scale"),
            numpy_helper.from_array(np.array(0, np.uint8), "point"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
