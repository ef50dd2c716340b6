# SPDX-License-Identifier: Apache-2.0
"""The default model: its float form is the trained network, its eight quantizations are four models spelled twice."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from golden import oracle
from golden.resnet8.quantize import RECIPES, read_weights
from golden.spelling import Model, Operand, Quant, codes

from q8emu.backends.cpu import this_cpu
from q8emu.canonical import canonicalize
from q8emu.emulator import Emulator, Options
from q8emu.graph import Graph
from q8emu.lower import lower
from q8emu.models import default_inputs, default_model
from q8emu.models.resnet8 import CLASSES, float_model
from q8emu.numerics import profile
from q8emu.readers.onnx import batch_is_symbolic, read_onnx
from q8emu.run import Runner

GOLDEN = Path(__file__).parent.parent / "golden"
PAIRS = sorted({(r.activations, r.granularity) for r in RECIPES})
Arrays = Mapping[str, np.ndarray]


def canonical(model: Path | bytes) -> Graph:
    return canonicalize(read_onnx(model))


# The float network


def probabilities(model: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probabilities"], {"image": image})
    return np.asarray(found)


def by_definition(weights: Arrays, image: np.ndarray) -> np.ndarray:
    """The network in float64, written a second time: convolutions as sums over shifted images."""

    def conv(name: str, x: np.ndarray, stride: int = 1) -> np.ndarray:
        w = weights[f"{name}.weight"].astype(np.float64)
        kernel, size = w.shape[2], x.shape[2] // stride
        begin = max(kernel - stride, 0) // 2
        padded = np.pad(x, ((0, 0), (0, 0), (begin, kernel), (begin, kernel)))
        total = np.zeros((len(x), len(w), size, size))
        for i in range(kernel):
            for j in range(kernel):
                part = padded[:, :, i : i + size * stride : stride, j : j + size * stride : stride]
                total += np.einsum("oc,nchw->nohw", w[:, :, i, j], part)
        return np.asarray(total + weights[f"{name}.bias"][:, None, None])

    def relu(x: np.ndarray) -> np.ndarray:
        return np.asarray(np.maximum(x, 0))

    x = relu(conv("stem", image.astype(np.float64)))
    for stack, stride in (("stack1", 1), ("stack2", 2), ("stack3", 2)):
        inner = conv(f"{stack}_conv2", relu(conv(f"{stack}_conv1", x, stride)))
        x = relu(inner + (x if stride == 1 else conv(f"{stack}_shortcut", x, stride)))
    logits = x.mean((2, 3)) @ weights["dense.weight"].T.astype(np.float64) + weights["dense.bias"]
    e = np.exp(logits - logits.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))


def test_the_float_model_is_the_network() -> None:
    weights, image = read_weights(), default_inputs()["image"]
    found = probabilities(float_model(weights), image)
    assert found.shape == (8, len(CLASSES))
    assert np.abs(found - by_definition(weights, image)).max() < 1e-5


def test_the_float_model_is_what_the_training_script_trains(
    package: Callable[[str, str], ModuleType], tmp_path: Path, seed: int
) -> None:
    """Random weights and statistics, folded and written by the script, against the script's own network."""
    torch = package("torch", "torch")
    from golden.resnet8 import train

    torch.manual_seed(seed)
    net = train.ResNet8()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.running_mean, -1, 1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.uniform_(layer.bias, -1, 1)
    train.write(net.eval(), [{"epoch": 0}], argparse.Namespace(out=tmp_path, data=None))
    with np.load(tmp_path / "weights.npz") as weights:
        model = float_model(dict(weights))
    image = default_inputs()["image"]
    with torch.no_grad():
        expected = torch.softmax(net.double()(torch.from_numpy(image).double() / 255), 1).numpy()
    assert np.abs(probabilities(model, image) - expected).max() < 1e-4


def test_names_in_the_float_model_are_the_layers() -> None:
    weights = read_weights()
    model = float_model(weights)
    names = [node.name for node in model.graph.node]
    assert len(names) == len(set(names))
    layers = {name.partition(".")[0] for name in weights}
    assert layers < set(names)
    assert {t.name for t in model.graph.initializer} == set(weights)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    pads = {node.name: list(a.ints) for node in convs for a in node.attribute if a.name == "pads"}
    assert pads["stack2_conv1"] == pads["stack3_conv1"] == [0, 0, 1, 1]
    assert pads["stem"] == [1, 1, 1, 1]
    assert pads["stack2_shortcut"] == [0, 0, 0, 0]


# The packaged model and input


def test_the_default_model_loads() -> None:
    assert batch_is_symbolic(default_model())
    graph = canonical(default_model())
    program = lower(graph, profile("ort"), no_host=True)
    assert (graph.inputs, graph.outputs) == (("image",), ("probabilities",))
    assert graph.notes == ()
    assert program.host_nodes == ()
    assert sum(node.op == "Conv" for node in graph.nodes) == 9
    conv = next(node for node in graph.nodes if node.op == "Conv")
    assert [q.dtype for q in conv.in_quant[:2] if q] == ["int8", "int8"]


def test_the_default_input_loads() -> None:
    inputs = default_inputs()
    assert list(inputs) == ["image"]
    image = inputs["image"]
    assert image.dtype == np.float32
    assert image.shape == (8, 3, 32, 32)
    assert np.array_equal(image, image.astype(np.uint8))
    assert len({one.tobytes() for one in image}) == 8
    assert (image.min(), image.max()) == (0, 255)


def test_the_default_input_is_not_cifar10(cifar10_test: tuple[np.ndarray, np.ndarray]) -> None:
    known = {one.tobytes() for one in cifar10_test[0]}
    assert not any(one.tobytes() in known for one in default_inputs()["image"].astype(np.uint8))


# Two spellings, one model


@pytest.mark.parametrize(("activations", "granularity"), PAIRS)
def test_the_spellings_of_the_resnet8_are_one_graph(activations: str, granularity: str) -> None:
    qdq, qoperator = (
        canonical(GOLDEN / f"models/resnet8_{activations}_{spelling}_{granularity}.onnx")
        for spelling in ("qdq", "qoperator")
    )
    assert len(qdq.nodes) == 18
    assert qdq.structure() == qoperator.structure()


def test_the_four_models_are_four_graphs() -> None:
    structures = [canonical(GOLDEN / f"models/resnet8_{a}_qdq_{g}.onnx").structure() for a, g in PAIRS]
    assert all(a != b for i, a in enumerate(structures) for b in structures[:i])


class Twins:
    """A residual network written twice from one set of parameters: QDQ, and QOperator."""

    def __init__(self, dtype: str, is_per_channel: bool, sum_scale: float = 0.19) -> None:
        low = np.iinfo(dtype).min
        middle = 0 if dtype == "int8" else 128
        channels = tuple(0.01 + 0.002 * i for i in range(4))
        self.weights = Quant("int8", channels, 0, 0) if is_per_channel else Quant(dtype, 0.013, middle)
        self.dense = Quant("int8", channels, 0, 0) if is_per_channel else Quant(dtype, 0.017, middle)
        self.tensors = {
            "x": Quant(dtype, 0.05, middle + 3),
            "conv1": Quant(dtype, 0.07, low),  # a Relu is in these bounds
            "conv2": Quant(dtype, 0.11, middle - 9),
            "sum": Quant(dtype, sum_scale, low),
            "pool": Quant(dtype, 0.06, low),
            "flat": Quant(dtype, 0.06, low),
            "dense": Quant(dtype, 0.21, middle + 1),
            "y": Quant(dtype, 1 / 256, low),
        }
        self.codes = {"x": codes("twins x", (1, 4, 6, 6), dtype)}
        for name, shape in (("conv1", (4, 4, 3, 3)), ("conv2", (4, 4, 3, 3)), ("dense", (4, 4))):
            self.codes[name] = codes(f"twins {name}", shape, self.weights.dtype)
            self.codes[f"{name} bias"] = codes(f"twins {name} bias", (4,), "int8").astype(np.int32) * 7

    def qdq(self) -> bytes:
        model = Model("twins")
        real = {"x": model.dequantize("x", Operand(self.codes["x"], self.tensors["x"]))}
        self._real_conv(model, real, "conv1", "x", "Relu")
        self._real_conv(model, real, "conv2", "conv1", "")
        self._real(model, real, "sum", "Add", [real["conv2"], real["x"]], "Relu")
        self._real(model, real, "pool", "GlobalAveragePool", [real["sum"]])
        self._real(model, real, "flat", "Flatten", [real["pool"]])
        operands = [real["flat"], *self._real_weights(model, "dense", "flat", self.dense)]
        self._real(model, real, "dense", "Gemm", operands, transB=1)
        self._real(model, real, "y", "Softmax", [real["dense"]], axis=-1)
        return bytes(model.proto().SerializeToString())

    def _real_conv(self, model: Model, real: dict[str, str], name: str, x: str, activation: str) -> None:
        operands = [real[x], *self._real_weights(model, name, x, self.weights)]
        self._real(model, real, name, "Conv", operands, activation, pads=[1, 1, 1, 1])

    def _real_weights(self, model: Model, name: str, x: str, quant: Quant) -> list[str]:
        w = model.dequantize(f"{name}_w", Operand(self.codes[name], quant, True))
        scale = (np.array(self.tensors[x].scale, np.float32) * np.array(quant.scale, np.float32)).astype(np.float32)
        bias = [model.constant(f"{name}_b", self.codes[f"{name} bias"]), model.constant(f"{name}_bs", scale)]
        model.node("DequantizeLinear", bias, [f"{name}_b_real"], axis=0)
        return [w, f"{name}_b_real"]

    def _real(
        self,
        model: Model,
        real: dict[str, str],
        name: str,
        op: str,
        inputs: list[str],
        activation: str = "",
        **attrs: Any,
    ) -> None:
        """The operator, its activation, a QuantizeLinear, and a DequantizeLinear unless it is the last."""
        model.node(op, inputs, [f"{name}_out"], **attrs)
        made = f"{name}_out"
        if activation:
            model.node(activation, [made], [f"{name}_active"])
            made = f"{name}_active"
        params = model.params(name, self.tensors[name])
        out = model.show(name, self.tensors[name].dtype) if name == "y" else name
        model.node("QuantizeLinear", [made, *params], [out])
        if name != "y":
            model.node("DequantizeLinear", [out, *params], [f"{name}_real"])
            real[name] = f"{name}_real"

    def qoperator(self) -> bytes:
        model = Model("twins")
        at = {name: [name, *model.params(name, quant)] for name, quant in self.tensors.items()}
        model.feed("x", self.codes["x"])

        def weights(name: str, quant: Quant) -> list[str]:
            return [model.constant(f"{name}_w", self.codes[name]), *model.params(f"{name}_w", quant)]

        def bias(name: str) -> str:
            return model.constant(f"{name}_b", self.codes[f"{name} bias"])

        for name, x in (("conv1", "x"), ("conv2", "conv1")):
            operands = [*at[x], *weights(name, self.weights), *at[name][1:], bias(name)]
            model.node("QLinearConv", operands, [name], pads=[1, 1, 1, 1])
        microsoft = "com.microsoft"
        model.node("QLinearAdd", [*at["conv2"], *at["x"], *at["sum"][1:]], ["sum"], microsoft)
        pool = [*at["sum"], *at["pool"][1:]]
        model.node("QLinearGlobalAveragePool", pool, ["pool"], microsoft, channels_last=0)
        model.node("Flatten", ["pool"], ["flat"])
        operands = [*at["flat"], *weights("dense", self.dense), bias("dense"), *at["dense"][1:]]
        model.node("QGemm", operands, ["dense"], microsoft, transB=1)
        model.node("QLinearSoftmax", [*at["dense"], *at["y"][1:]], ["y"], microsoft, axis=-1, opset=17)
        model.show("y", self.tensors["y"].dtype)
        return bytes(model.proto().SerializeToString())


@pytest.mark.parametrize("is_per_channel", [False, True], ids=["tensor", "channel"])
@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_hand_made_twins_are_one_graph(dtype: str, is_per_channel: bool, isa: str) -> None:
    """Equal graphs, and the same bits from ONNX Runtime for both files and from q8emu."""
    if (dtype, is_per_channel) == ("uint8", True) and this_cpu().saturates_pairs:
        pytest.skip("needs a CPU with VNNI: on this one ONNX Runtime saturates pairs of uint8 by int8 products")
    twins = Twins(dtype, is_per_channel)
    graphs = canonical(twins.qdq()), canonical(twins.qoperator())
    assert [node.op for node in graphs[0].nodes] == "Conv Conv Add GlobalAveragePool Flatten Gemm Softmax".split()
    assert graphs[0].structure() == graphs[1].structure()
    expected = oracle.run(twins.qdq(), {"x": twins.codes["x"]})["y"]
    assert np.array_equal(oracle.run(twins.qoperator(), {"x": twins.codes["x"]})["y"], expected)
    for graph in graphs:
        trace = Runner(lower(graph, profile("ort"), no_host=True), kernels=isa, threads=1).run({"x": twins.codes["x"]})
        assert np.array_equal(trace.outputs["y"], expected)


def test_another_parameter_is_another_graph() -> None:
    """A negative control: one scale differs."""
    other = Twins("int8", False, sum_scale=0.190001)
    assert canonical(Twins("int8", False).qdq()).structure() != canonical(other.qoperator()).structure()


def test_a_substituted_last_tensor_is_recorded_as_computed() -> None:
    """What replaces a tensor is for its readers; the trace has what the node itself computed, the last node too."""
    emulator = Emulator(default_model(), Options())
    (batch,) = emulator.batches(default_inputs())
    plain = batch.run()
    for name, array in plain.tensors.items():
        found = batch.run({name: array ^ np.int8(1)})
        assert np.array_equal(found.tensors[name], array), name
