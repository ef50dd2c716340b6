# SPDX-License-Identifier: Apache-2.0
"""The file's own view: every node, its parameters, and where in the file each of them lives."""

from __future__ import annotations

import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import q8emu
from command_line import Outcome
from q8emu.errors import UnsupportedOperator
from q8emu.listing import FileNode, FileOperand, Listing, list_nodes
from small_models import CHANNELS, dynamic_product, residual
from strategies_bad_models import BAD_MODELS, conv_model
from tflite_files import File

GOLDEN = sorted((Path(__file__).parent.parent / "golden" / "models").glob("*.onnx"))


@pytest.fixture
def qdq(tmp_path: Path) -> Path:
    return residual(tmp_path / "m.onnx")


def named(listing: Listing, name: str) -> FileNode:
    return next(node for node in listing.nodes if node.name == name)


def place(operand: FileOperand) -> dict[str, Any]:
    assert operand.place is not None
    return operand.place.to_json()


def float_model(path: Path) -> Path:
    """A convolution in float, with an attribute that is no finite number."""
    w = numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w")
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("ThresholdedRelu", ["c"], ["y"], name="cut", alpha=float("inf")),
    ]
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, c, 4, 4]) for n, c in (("x", 3), ("y", 2)))
    model = helper.make_model(helper.make_graph(nodes, "f", [x], [y], [w]), opset_imports=[helper.make_opsetid("", 17)])
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_every_node_is_there_with_the_numbers_of_the_file(path: Path) -> None:
    """Counts, and every scale and zero point, against the initializers as the onnx package reads them."""
    proto = onnx.load(path)
    values = {t.name: numpy_helper.to_array(t).reshape(-1).tolist() for t in proto.graph.initializer}
    found = list_nodes(path, "ONNX")
    assert [n.name for n in found.nodes] == [n.name for n in proto.graph.node]
    assert [n.operator.removeprefix("com.microsoft:") for n in found.nodes] == [n.op_type for n in proto.graph.node]
    checked: Counter[str] = Counter()
    for node, own in zip(found.nodes, proto.graph.node, strict=True):
        assert [(o.slot, o.tensor) for o in node.inputs] == [(i, n) for i, n in enumerate(own.input) if n]
        for operand in (*node.inputs, *node.outputs):
            if operand.quantization is not None:
                q = operand.quantization
                assert q.scale_at is not None and q.zero_point_at is not None
                assert (list(q.scale), list(q.zero_point)) == (values[q.scale_at.name], values[q.zero_point_at.name])
                checked[node.operator] += 1
    wanted = {"QuantizeLinear": 1, "DequantizeLinear": 1, "QLinearConv": 3, "Conv": 4, "Add": 3, "Gemm": 4}
    wanted |= {f"com.microsoft:{op}": n for op, n in (("QLinearAdd", 3), ("QGemm", 3))}
    for operator, each in wanted.items():
        assert checked[operator] == each * found.operators.get(operator, 0), operator


def test_qdq_parameters_and_their_places(qdq: Path) -> None:
    """Weights are the output of a DequantizeLinear fed by an initializer; the sum's parameters stand behind it."""
    listing = list_nodes(qdq, "ONNX")
    conv = named(listing, "branch")
    assert conv.attributes == {"pads": (1, 1, 1, 1)}
    weights = conv.inputs[1]
    dequantize = named(listing, "branch_wdq").index
    assert (weights.slot, weights.role, weights.shape) == (1, "W", (CHANNELS, CHANNELS, 3, 3))
    assert place(weights) == {
        "kind": "node",
        "name": "branch_wdq",
        "node": dequantize,
        "operator": "DequantizeLinear",
        "source": {"kind": "initializer", "name": "branch_w"},
    }
    assert weights.quantization is not None
    shown = weights.quantization.to_json()
    assert (shown["dtype"], shown["node"]) == ("int8", dequantize)
    assert shown["scale_at"] == {"kind": "initializer", "name": "branch_ws"}
    assert conv.inputs[2].quantization is not None and conv.inputs[2].quantization.dtype == "int32"
    add = named(listing, "sum")
    scales = [o.quantization.scale[0] for o in (*add.inputs, *add.outputs) if o.quantization]
    assert scales == pytest.approx([0.02, 0.02, 0.03])
    quantize = named(listing, "sum_q")
    assert add.outputs[0].quantization is not None and add.outputs[0].quantization.node == quantize.index
    assert place(quantize.inputs[0]) == {"kind": "node", "name": "sum", "node": add.index, "operator": "Add"}
    assert place(named(listing, "x_q").inputs[0]) == {"kind": "input", "name": "x"}


def test_parameters_in_constant_nodes(qdq: Path) -> None:
    """The index of the Constant node, and the same values as from an initializer."""
    proto = onnx.load(qdq)
    moved = [t for t in proto.graph.initializer if t.name.startswith(("branch_", "x_q"))]
    kept = [t for t in proto.graph.initializer if t not in moved]
    constants = [helper.make_node("Constant", [], [t.name], value=t) for t in moved]
    before = named(list_nodes(qdq, "ONNX"), "branch")
    nodes = [*constants, *proto.graph.node]
    del proto.graph.node[:], proto.graph.initializer[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(kept)
    onnx.save(proto, qdq)
    after = named(list_nodes(qdq, "ONNX"), "branch")
    was, now = (n.inputs[1].quantization for n in (before, after))
    assert was is not None and now is not None and now.scale_at is not None
    assert (was.scale, was.zero_point, was.dtype) == (now.scale, now.zero_point, now.dtype)
    index = [t.name for t in moved].index("branch_ws")
    assert now.scale_at.to_json() == {"kind": "constant", "name": "branch_ws", "node": index, "operator": "Constant"}
    assert place(after.inputs[1])["source"]["kind"] == "constant"


def test_per_channel_weights_of_a_qlinear_operator() -> None:
    path = next(p for p in GOLDEN if p.stem == "resnet8_int8_qoperator_channel")
    listing = list_nodes(path, "ONNX")
    conv = next(n for n in listing.nodes if n.operator == "QLinearConv")
    w = conv.inputs[3]
    assert (w.role, w.dtype, w.shape, place(w)["kind"]) == ("w", "int8", (16, 3, 3, 3), "initializer")
    assert w.quantization is not None
    assert (len(w.quantization.scale), w.quantization.axis, w.quantization.node) == (16, 0, None)
    add = next(n for n in listing.nodes if n.operator == "com.microsoft:QLinearAdd")
    assert [o.role for o in add.inputs[:4]] == ["a", "a_scale", "a_zero_point", "b"]
    gemm = next(n for n in listing.nodes if n.operator == "com.microsoft:QGemm")
    assert gemm.inputs[3].quantization is not None and gemm.inputs[3].quantization.axis == 0


def test_columns_of_a_qlinear_product(tmp_path: Path) -> None:
    """Scales per column of the second operand: axis 1 of two."""
    constants = {"xs": np.float32(0.02), "xz": np.int8(3), "w": np.ones((3, 2), np.int8)}
    constants |= {
        "ws": np.array([0.1, 0.2], np.float32),
        "wz": np.zeros(2, np.int8),
        "ys": np.float32(1),
        "yz": np.int8(0),
    }
    x, y = (helper.make_tensor_value_info(n, TensorProto.INT8, [1, c]) for n, c in (("x", 3), ("y", 2)))
    graph = helper.make_graph(
        [helper.make_node("QLinearMatMul", ["x", *constants], ["y"])],
        "product",
        [x],
        [y],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    (node,) = list_nodes(path, "ONNX").nodes
    assert [o.role for o in node.inputs] == "a a_scale a_zero_point b b_scale b_zero_point y_scale y_zero_point".split()
    assert node.inputs[3].quantization is not None and node.inputs[3].quantization.axis == 1


def test_parameters_of_the_run_have_a_place_and_no_value(tmp_path: Path) -> None:
    listing = list_nodes(dynamic_product(tmp_path / "m.onnx"), "ONNX")
    product = next(n for n in listing.nodes if n.operator == "MatMulInteger")
    x, w = (product.inputs[slot].quantization for slot in (0, 1))
    assert x is not None and x.zero_point_at is not None and w is not None
    assert (x.scale, x.zero_point, x.zero_point_at.operator) == ((), (), "DynamicQuantizeLinear")
    assert w.zero_point == (0,)


def test_both_views_in_one_document(qdq: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = Outcome(capsys, "inspect", qdq, "--json").json
    assert found["schema"] == "q8emu.inspect/1"
    assert found["file"]["format"] == "ONNX"
    assert len(found["file"]["nodes"]) == len(onnx.load(qdq).graph.node)
    assert len(found["nodes"]) < len(found["file"]["nodes"])
    text = Outcome(capsys, "inspect", qdq, "--file-nodes").out
    assert "output of node 2 DequantizeLinear of initializer 'stem_w'" in text
    assert "'sum_q_scale'" in text
    assert "--file-nodes" in Outcome(capsys, "inspect", qdq).out


def test_a_float_model_shows_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = float_model(tmp_path / "m.onnx")
    outcome = Outcome(capsys, "inspect", path)
    assert outcome.code == 0
    assert "Conv 'conv'" in outcome.out and "initializer 'w'" in outcome.out and "float model" in outcome.out
    found = Outcome(capsys, "inspect", path, "--json").json
    assert (found["nodes"], found["program_sha256"]) == ([], None)
    assert found["file"]["nodes"][1]["attributes"] == {"alpha": "inf"}
    assert q8emu.inspect(path).file.is_float
    Outcome(capsys, "inspect", path, "--no-host").assert_sentence("Nothing in the model is quantized")


def test_a_model_that_is_not_emulated(qdq: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Refused, unless the file's view alone is asked for; what cannot be inferred is left open."""
    proto = onnx.load(qdq)
    proto.graph.node[-1].output[0] = "before"
    proto.graph.node.append(helper.make_node("Mystery", ["before"], ["y"], domain="ai.example", name="m"))
    onnx.save(proto, qdq)
    Outcome(capsys, "inspect", qdq).assert_sentence("domain")
    with pytest.raises(UnsupportedOperator):
        q8emu.inspect(qdq)
    found = Outcome(capsys, "inspect", qdq, "--file-nodes", "--json").json
    nodes = {n["node"]: n for n in found["file"]["nodes"]}
    assert nodes["m"]["operator"] == "ai.example:Mystery"
    assert nodes["m"]["outputs"][0]["shape"] is None
    assert nodes["branch"]["inputs"][1]["quantization"]["dtype"] == "int8"
    assert "does not emulate" in found["notes"][0]


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_models_are_listed_or_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never a traceback; a node whose operands are not those of its operator is no reason for one."""
    proto = conv_model()
    BAD_MODELS[name][0](proto)
    path = tmp_path / "bad.onnx"
    path.write_bytes(proto.SerializeToString())
    outcome = Outcome(capsys, "inspect", path, "--file-nodes", "--json")
    assert "should have explained" not in outcome.err
    if outcome.code != 0:
        outcome.assert_sentence()
    else:
        assert outcome.json["file"]["nodes"]


def test_names_do_not_reach_the_terminal_as_commands(qdq: Path, capsys: pytest.CaptureFixture[str]) -> None:
    proto = onnx.load(qdq)
    proto.graph.node[2].name = "stem\x1b[2J"
    onnx.save(proto, qdq)
    assert "\x1b" not in Outcome(capsys, "inspect", qdq, "--file-nodes").out


def test_tflite(tmp_path: Path) -> None:
    """Indices of tensors and buffers, options by the schema's names."""
    f = File()
    x = f.tensor("x", "int8", (1, 4), [0.5], [3])
    w = f.tensor("w", "int8", (2, 4), [0.1, 0.2], [0, 0], 0, np.arange(8, dtype=np.int8).reshape(2, 4))
    y = f.tensor("y", "int8", (1, 2), [4.0], [-5])
    f.operator("FULLY_CONNECTED", [x, w, -1], [y], {0: ("Int8", 1)})
    f.inputs, f.outputs = [x], [y]
    path = tmp_path / "m.tflite"
    path.write_bytes(f.build())
    (node,) = list_nodes(path, "TFLite").nodes
    assert (node.operator, node.attributes["fused_activation"]) == ("FULLY_CONNECTED", "RELU")
    assert [(o.slot, o.role, o.tensor) for o in node.inputs] == [(0, "input", "x"), (1, "weights", "w")]
    assert place(node.inputs[0]) == {"kind": "input", "name": "x", "tensor": x}
    assert place(node.inputs[1])["tensor"] == w and place(node.inputs[1])["buffer"] > 0
    q = node.inputs[1].quantization
    assert q is not None and q.scale_at is not None
    assert (q.axis, q.scale, q.scale_at.tensor) == (0, (float(np.float32(0.1)), float(np.float32(0.2))), w)


def test_tflite_float_model(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = Outcome(capsys, "inspect", data_dir / "mlperf_tiny" / "ic" / "pretrainedResnet.tflite")
    assert outcome.code == 0
    assert "9 CONV_2D" in outcome.out and "float model" in outcome.out


def test_torchscript(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Calls in the order of the code; numbers of the code; an operator that q8emu does not read is listed too."""
    code = (
        "class M(Module):\n  def forward(self: __torch__.M,\n    x: Tensor) -> Tensor:\n"
        "    q = torch.quantize_per_tensor(x, 0.5, 3, 13)\n    r = torch.relu(q)\n    return torch.erf(r)\n"
    )
    path = tmp_path / "m.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c__torch__\nM\n)\x81}(X\x08\x00\x00\x00training\x89ub.")
        archive.writestr("m/code/__torch__.py", code)
    first, relu, erf = list_nodes(path, "PyTorch", {"x": (1, 4)}).nodes
    assert (first.operator, first.attributes) == ("torch.quantize_per_tensor", {"1": 0.5, "2": 3, "3": 13})
    q = first.outputs[0].quantization
    assert q is not None and q.scale_at is not None
    assert (q.dtype, q.scale, q.zero_point, q.scale_at.kind) == ("uint8", (0.5,), (3,), "code")
    assert place(relu.inputs[0])["node"] == 0
    assert (erf.operator, erf.outputs[0].shape, place(erf.inputs[0])["node"]) == ("torch.erf", None, 1)
    Outcome(capsys, "inspect", path, "--shape", "1,4").assert_sentence("torch.erf")
    with zipfile.ZipFile(tmp_path / "float.pt", "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02c__torch__\nM\n)\x81}(X\x08\x00\x00\x00training\x89ub.")
        archive.writestr(
            "m/code/__torch__.py", code.replace("torch.quantize_per_tensor(x, 0.5, 3, 13)", "torch.sin(x)")
        )
    assert "1 torch.sin" in Outcome(capsys, "inspect", tmp_path / "float.pt", "--shape", "1,4").out
    assert Outcome(capsys, "inspect", path, "--shape", "1,4", "--file-nodes").code == 0
