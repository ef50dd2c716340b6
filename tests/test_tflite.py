# SPDX-License-Identifier: Apache-2.0
"""The TFLite reader: the graphs it makes, and one sentence for every file that it refuses, however damaged."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from q8emu.cli import exit_code
from q8emu.emulator import Emulator
from q8emu.emulator import Options as Opened
from q8emu.errors import BadModel, BadQuantization, Q8Error, ShapeMismatch, TooLarge, UnsupportedOperator
from q8emu.graph import unique_name
from q8emu.inputs import InputSpec, cifar10_inputs
from q8emu.ops import OPS
from q8emu.readers import tflite_schema as schema
from q8emu.readers.tflite import is_tflite, read_tflite
from q8emu.readers.tflite_operators import READ
from tflite_cases import CASES, Draw, case
from tflite_files import File, Options

Change = Callable[[File], None]

CLASSES = {
    schema.Model: "Model",
    schema.OperatorCode: "OperatorCode",
    schema.SubGraph: "SubGraph",
    schema.Tensor: "Tensor",
    schema.Quantization: "QuantizationParameters",
    schema.Buffer: "Buffer",
    schema.Operator: "Operator",
    schema.Conv2D: "Conv2DOptions",
    schema.DepthwiseConv2D: "DepthwiseConv2DOptions",
    schema.Pool2D: "Pool2DOptions",
    schema.FullyConnected: "FullyConnectedOptions",
    schema.Concatenation: "ConcatenationOptions",
    schema.StridedSlice: "StridedSliceOptions",
}


def network() -> File:
    """A convolution, an addition of a constant, a pool, a product: one of each kind of operand."""
    f = File()
    x = f.tensor("x", "int8", (1, 4, 4, 2), [0.5], [3])
    w = f.tensor(
        "w", "int8", (3, 3, 3, 2), [0.1, 0.2, 0.3], [0] * 3, 0, np.arange(54, dtype=np.int8).reshape(3, 3, 3, 2)
    )
    b = f.tensor("b", "int32", (3,), [0.05, 0.1, 0.15], [0] * 3, 0, np.array([1, -2, 3], np.int32))
    y = f.tensor("y", "int8", (1, 2, 2, 3), [4.0], [-5])
    k = f.tensor("k", "int8", (3,), [0.25], [1], 0, np.array([5, 6, 7], np.int8))
    s = f.tensor("s", "int8", (1, 2, 2, 3), [8.0], [0])
    p = f.tensor("p", "int8", (1, 1, 1, 3), [8.0], [0])
    v = f.tensor("v", "int8", (2, 3), [0.5], [0], 0, np.arange(6, dtype=np.int8).reshape(2, 3))
    z = f.tensor("z", "int8", (1, 2), [16.0], [0])
    conv: Options = {
        schema.Conv2D.PADDING: ("Int8", schema.SAME),
        schema.Conv2D.STRIDE_W: ("Int32", 2),
        schema.Conv2D.STRIDE_H: ("Int32", 2),
        schema.Conv2D.ACTIVATION: ("Int8", 3),
    }
    f.operator("CONV_2D", [x, w, b], [y], conv)
    f.operator("ADD", [y, k], [s], {schema.ACTIVATION: ("Int8", 1)})
    pool = dict.fromkeys((1, 2, 3, 4), ("Int32", 2)) | {schema.Pool2D.PADDING: ("Int8", schema.VALID)}
    f.operator("AVERAGE_POOL_2D", [s], [p], pool)
    f.operator("FULLY_CONNECTED", [p, v, -1], [z])
    f.inputs, f.outputs = [x], [z]
    return f


# The schema and the graph


def test_field_numbers_are_those_of_the_schema(package: Callable[[str, str], ModuleType]) -> None:
    """LiteRT ships accessors that are made from the schema: each begins with the field's place in the vtable."""
    known = package("ai_edge_litert.schema_py_generated", "litert")
    source = Path(str(known.__file__)).read_text()
    renamed = {
        "ACTIVATION": "FusedActivationFunction",
        "DILATION_W": "DilationWFactor",
        "DILATION_H": "DilationHFactor",
    }
    for fields, name in CLASSES.items():
        start = source.index(f"class {name}(object):")
        for field in fields:
            title = renamed.get(field.name) or "".join(part.title() for part in field.name.split("_"))
            at = source.index(f"def {title}(", start)
            assert f".Offset({4 + 2 * field})" in source[at : at + 200], (name, field)
    for code, (name, union) in schema.OPERATORS.items():
        assert getattr(known.BuiltinOperator, name) == code
        options = {number: key for key, number in vars(known.BuiltinOptions).items() if isinstance(number, int)}
        assert union is None or options[union].endswith("Options")
    for code, dtype in schema.ELEMENT_TYPES.items():
        named = {number: key for key, number in vars(known.TensorType).items() if isinstance(number, int)}
        assert named[code].lower() == dtype
    assert [getattr(known.ActivationFunctionType, name) for name in schema.ACTIVATIONS] == list(range(6))
    assert (known.Padding.SAME, known.Padding.VALID) == (schema.SAME, schema.VALID)


def test_every_operator_of_the_schema_is_read() -> None:
    assert sorted(READ) == sorted(name for name, _ in schema.OPERATORS.values())
    assert {kind.split()[0] for kind in CASES} == set(READ)


def test_a_network_becomes_canonical_nodes() -> None:
    graph = read_tflite(network().build())
    assert graph.layout == "NHWC"
    assert (graph.inputs, graph.outputs) == (("x",), ("z",))
    assert [node.op for node in graph.nodes] == ["Conv", "Add", "AveragePool", "Reshape", "Gemm"]
    assert all(node.op in OPS for node in graph.nodes)
    conv = graph.nodes[0]
    assert conv.attrs == {
        "kernel": (3, 3), "strides": (2, 2), "dilations": (1, 1), "pads": (0, 0, 1, 1), "group": 1, "depthwise": False,
        "activation": (0.0, 6.0), "clamp": (-5, -3), "bias_scales": 3,
    }  # fmt: skip
    assert graph.constants["w"].shape == (3, 2, 3, 3)
    assert graph.constants["w"][1, 1, 2, 0] == 18 + 1 + 2 * 6
    assert conv.in_quant[1] is not None
    assert conv.in_quant[1].axis == 0
    assert conv.in_quant[1].scale == tuple(float(np.float32(s)) for s in (0.1, 0.2, 0.3))
    assert graph.nodes[1].attrs == {"activation": (0.0, math.inf), "clamp": (0, 127)}
    assert graph.tensors[graph.nodes[4].inputs[0]].shape == (1, 3)


@pytest.mark.parametrize(
    ("scale", "point", "activation", "clamp"),
    [
        (1.0, -128, 3, (-128, -122)),  # RELU6
        (4.0, 0, 3, (0, 2)),  # 1.5 is a tie, away from zero
        (0.001, 0, 3, (0, 127)),
        (0.75, 10, 2, (9, 11)),
        (0.5, 127, 1, (127, 127)),
        (2.0, 0, 2, (-1, 1)),  # both ends are ties
        (1.0, 5, 0, (-128, 127)),
        (1e-45, 5, 3, (5, 127)),  # 6 / scale is beyond float32
    ],
)
def test_a_fused_activation_is_a_clamp(scale: float, point: int, activation: int, clamp: tuple[int, int]) -> None:
    f = File()
    f.inputs = [f.tensor("x", "int8", (3,), [1.0], [0])]
    f.outputs = [f.tensor("y", "int8", (3,), [scale], [point])]
    f.operator("ADD", [0, 0], [1], {schema.ACTIVATION: ("Int8", activation)})
    assert read_tflite(f.build()).nodes[0].attrs["clamp"] == clamp


def test_names_are_made_unique() -> None:
    taken: set[str] = set()
    found = []
    for index, name in enumerate(["a", "a", "", "a#1", "b"]):
        found.append(unique_name(name, index, taken))
        taken.add(found[-1])
    assert found == ["a", "a#1", "#2", "a#1#3", "b"]
    f = network()
    for tensor in f.tensors:
        tensor.name = "same"
    graph = read_tflite(f.build())
    assert graph.inputs == ("same",)
    assert graph.outputs == ("same#8",)


def test_weights_that_two_operators_share() -> None:
    """Each gets the form that it needs."""
    f = network()
    f.tensors[0].shape = (1, 4, 4, 3)
    w = f.tensors[1]
    w.shape, w.data, w.axis = (1, 3, 3, 3), np.arange(27, dtype=np.int8).reshape(1, 3, 3, 3), 3
    w.scale, w.zero_point = [0.1], [0]
    f.outputs.append(f.tensor("deep", "int8", (1, 2, 2, 3), [4.0], [-5]))
    f.outputs.append(f.tensor("wide", "int8", (1, 2, 2, 1), [4.0], [-5]))
    d, strides = schema.DepthwiseConv2D, {1: ("Int32", 2), 2: ("Int32", 2)}
    f.operators = []
    f.operator("DEPTHWISE_CONV_2D", [0, 1, 2], [9], strides | {d.DEPTH_MULTIPLIER: ("Int32", 1)})
    one = f.tensor("one", "int32", (1,), [0.05], [0], data=np.array([7], np.int32))
    f.operator("CONV_2D", [0, 1, one], [10], strides)
    f.outputs = [9, 10]
    graph = read_tflite(f.build())
    assert [graph.constants[node.inputs[1]].shape for node in graph.nodes] == [(3, 1, 3, 3), (1, 3, 3, 3)]
    assert [node.inputs[1] for node in graph.nodes] == ["w", "q8:w"]


def test_a_bias_of_another_scale_is_noted() -> None:
    f = network()
    f.tensors[2].scale = [0.05, 0.1, 0.3]
    (note,) = read_tflite(f.build()).notes
    assert note.startswith("CONV_2D 'y' (operator 0): the bias scale is 2 times")


def test_the_content_decides_the_format(tmp_path: Path) -> None:
    model = network().build()
    (tmp_path / "model.onnx").write_bytes(model)
    assert is_tflite(model)
    assert is_tflite(tmp_path / "model.onnx")
    assert not is_tflite(b"\x08\x07")
    assert not is_tflite(tmp_path)
    assert Emulator(tmp_path / "model.onnx", Opened("tflite-ref")).format == "TFLite"


def test_reading_needs_no_runtime(tmp_path: Path) -> None:
    (tmp_path / "m.tflite").write_bytes(network().build())
    code = (
        "import sys; sys.modules['ai_edge_litert'] = sys.modules['flatbuffers'] = None; "
        "from q8emu.readers.tflite import read_tflite; read_tflite(sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "m.tflite")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_cifar10_pixels_for_an_int8_input(cifar10_test: tuple[np.ndarray, np.ndarray], cifar10_dir: Path) -> None:
    found = cifar10_inputs([InputSpec("x", "int8", (1, 32, 32, 3))], cifar10_dir, 3)["x"]
    assert found.dtype == np.int8
    assert np.array_equal(found.astype(int) + 128, cifar10_test[0][:3].transpose(0, 2, 3, 1))


# Files that are refused


def _set(index: int, **named: object) -> Change:
    """Change fields of a tensor."""

    def change(f: File) -> None:
        for key, value in named.items():
            setattr(f.tensors[index], key, value)

    return change


def _operator(index: int, **named: object) -> Change:
    """Change fields of an operator."""

    def change(f: File) -> None:
        for key, value in named.items():
            setattr(f.operators[index], key, value)

    return change


def _option(index: int, field: int, value: int) -> Change:
    """Change one option of an operator."""

    def change(f: File) -> None:
        kind = dict(f.operators[index].options).get(field, ("Int32", 0))[0]
        f.operators[index].options = {**f.operators[index].options, field: (kind, value)}

    return change


def _model(**named: object) -> Change:
    """Change fields of the file."""

    def change(f: File) -> None:
        for key, value in named.items():
            setattr(f, key, value)

    return change


LONG = np.zeros(7, np.int8)
FOUR = {"shape": (4,), "scale": [1.0], "zero_point": [0], "data": np.zeros(4, np.int32)}
REFUSED: list[tuple[str, Change, type[Q8Error], str]] = [
    ("schema version", _model(version=2), UnsupportedOperator, "schema version 2; expected 3"),
    ("no operators", _model(operators=[]), BadModel, "no operators"),
    ("no outputs", _model(outputs=[]), BadModel, "no outputs"),
    ("input out of range", _model(inputs=[99]), BadModel, "the model's inputs name tensor 99 of 9"),
    ("input is a constant", _model(inputs=[0, 1]), BadModel, "name a constant"),
    ("input twice", _model(inputs=[0, 0]), BadModel, "repeat a tensor"),
    ("absent input", _model(inputs=[0, -1]), BadModel, "leave one out"),
    ("output twice", _model(outputs=[8, 8]), BadModel, "outputs repeat a tensor"),
    ("output undefined", _model(outputs=[1]), BadModel, "output 'w' is produced by no operator"),
    ("operand out of range", _operator(0, inputs=[0, 77, 2]), BadModel, "CONV_2D (operator 0) name tensor 77 of 9"),
    ("negative operand", _operator(0, inputs=[0, -2, 2]), BadModel, "name tensor -2 of 9"),
    ("operand missing", _operator(0, inputs=[0]), BadModel, "CONV_2D 'y' (operator 0) lacks operand 1"),
    ("operand absent", _operator(1, inputs=[3, -1]), BadModel, "lacks operand 1"),
    ("operand undefined", _operator(0, inputs=[5, 1, 2]), BadModel, "reads 's', which nothing before it defines"),
    ("two outputs", _operator(0, outputs=[3, 5]), BadModel, "has 2 outputs; expected one"),
    ("output defined twice", _operator(1, outputs=[3]), BadModel, "defines 'y', which is defined already"),
    ("output is a constant", _operator(1, outputs=[4]), BadModel, "defines 'k', which is defined already"),
    ("unknown operator", _operator(1, code=53, union=0), UnsupportedOperator, "Operator 1 has builtin code 53"),
    ("custom operator", _operator(1, code=32, union=0), UnsupportedOperator, "is the custom operator ''"),
    ("other options", _operator(1, union=1), BadModel, "ADD (operator 1) has options of kind 1; expected 11"),
    ("no options", _operator(0, union=0), UnsupportedOperator, "a stride, dilation or kernel of (0, 0)"),
    ("activation", _option(0, 3, 4), UnsupportedOperator, "the fused activation TANH"),
    ("unknown activation", _option(0, 3, 77), UnsupportedOperator, "the fused activation 77"),
    ("padding", _option(0, 0, 5), UnsupportedOperator, "padding 5"),
    ("negative stride", _option(0, 1, -1), UnsupportedOperator, "a stride, dilation or kernel of (2, -1)"),
    ("huge stride", _option(0, 1, 2**30), UnsupportedOperator, "a stride, dilation or kernel of (2, 1073741824)"),
    ("stride and shape", _option(0, 1, 1), ShapeMismatch, "'y' has shape [1, 2, 2, 3]; expected [1, 2, 4, 3]"),
    ("kernel without room", _option(2, 3, 9), ShapeMismatch, "a window of [2, 9] does not fit into an image of [2, 2]"),
    ("float model", _set(0, dtype="float32"), UnsupportedOperator, "'x' of float32; expected int8"),
    ("uint8 model", _set(0, dtype="uint8"), UnsupportedOperator, "'x' of uint8; expected int8"),
    ("weights as input", _set(1, data=None), BadModel, "reads 'w', which nothing before it defines"),
    ("weights too short", _set(1, data=LONG), BadModel, "tensor 'w' holds 7 bytes; int8[3, 3, 3, 2] needs 54"),
    ("weights of rank 3", _set(1, shape=(9, 3, 2)), BadQuantization, "3 scales along axis 0"),
    ("zero point of weights", _set(1, zero_point=[0, 1, 0]), BadQuantization, "must have zero points 0"),
    ("axis of weights", _set(1, axis=1), BadQuantization, "one along axis 0"),
    ("axis out of range", _set(1, axis=7), BadQuantization, "3 scales along axis 7"),
    ("scales and points", _set(1, zero_point=[0]), BadQuantization, "has 3 scales and 1 zero points"),
    ("no scale", _set(0, scale=[]), BadQuantization, "must have one scale and one zero point"),
    ("negative scale", _set(0, scale=[-1.0]), BadQuantization, "not a positive finite number"),
    ("scale not finite", _set(0, scale=[np.inf]), BadQuantization, "not a positive finite number"),
    ("zero point", _set(0, zero_point=[200]), BadQuantization, "a zero point outside int8"),
    ("no bias", _operator(0, inputs=[0, 1]), UnsupportedOperator, "no bias; expected one"),
    ("bias is int8", _set(2, dtype="int8", data=np.zeros(3, np.int8)), UnsupportedOperator, "a bias 'b' that is not"),
    (
        "bias too long",
        _set(2, shape=(4,), scale=[1.0], zero_point=[0], data=np.zeros(4, np.int32)),
        ShapeMismatch,
        "4 b",
    ),
    ("shape does not broadcast", _set(4, shape=(2,), data=np.zeros(2, np.int8)), ShapeMismatch, "do not broadcast"),
    ("pool changes parameters", _set(6, scale=[4.0]), BadQuantization, "expected the same parameters"),
    ("empty activation", _set(3, shape=(1, 0, 2, 3)), BadModel, "dimensions of 1 or more"),
    ("negative dimension", _set(3, shape=(1, -2, 2, 3)), BadModel, "dimensions of 1 or more"),
    ("huge tensor", _set(3, shape=(1, 2**15, 2**15, 3)), TooLarge, "the limit is"),
    ("nine axes", _set(3, shape=(1,) * 9), BadModel, "up to 8 dimensions"),
    ("reserved name", _set(3, name="q8:y"), BadModel, "begins with 'q8:'"),
]


@pytest.mark.parametrize(("change", "error", "sentence"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_a_refused_file_is_one_sentence(change: Change, error: type[Q8Error], sentence: str) -> None:
    f = network()
    change(f)
    with pytest.raises(error) as problem:
        read_tflite(f.build())
    assert sentence in str(problem.value)
    assert "\n" not in str(problem.value)
    assert str(problem.value).endswith(".")


@pytest.mark.parametrize(
    ("operator", "options", "change", "sentence"),
    [
        ("SOFTMAX", {schema.BETA: ("Float32", 2.0)}, None, "beta 2.0; expected 1"),
        ("SOFTMAX", None, _set(1, scale=[0.01]), "expected 0.00390625 and -128"),
        ("TANH", None, _set(1, zero_point=[1]), "expected 0.0078125 and 0"),
        ("LOGISTIC", None, _set(1, zero_point=[0]), "expected 0.00390625 and -128"),
        ("TRANSPOSE", None, None, ""),
    ],
)
def test_functions_with_a_fixed_range(
    operator: str, options: Options | None, change: Change | None, sentence: str
) -> None:
    f = File()
    x = f.tensor("x", "int8", (4, 4), [0.5], [0])
    tanh = operator == "TANH"
    y = f.tensor("y", "int8", (4, 4), [2.0**-7 if tanh else 2.0**-8], [0 if tanh else -128])
    f.inputs, f.outputs = [x], [y]
    f.operator(operator, [x], [y], options or {schema.BETA: ("Float32", 1.0)})
    if change is not None:
        change(f)
    with pytest.raises(Q8Error) as problem:
        read_tflite(f.build())
    assert sentence in str(problem.value)


def test_every_cut_is_one_sentence() -> None:
    """A file that ends anywhere."""
    model = network().build()
    for end in range(len(model)):
        _refused_or_read(model[:end])


def test_every_changed_byte_is_read_or_one_sentence(rng: np.random.Generator) -> None:
    """Each byte once."""
    model = network().build()
    for at in range(len(model)):
        _refused_or_read(model[:at] + bytes([int(rng.choice([0, 255, *rng.integers(0, 256, 2)]))]) + model[at + 1 :])


@pytest.mark.parametrize("kind", CASES)
def test_damage_to_every_operator_is_one_sentence(kind: str, rng: np.random.Generator) -> None:
    """Several bytes at once, offsets above all."""
    for _ in range(20):
        data = bytearray(case(kind, rng).model)
        for at in rng.integers(0, len(data), rng.integers(1, 6)):
            data[at] = rng.integers(256) if rng.integers(2) else data[int(rng.integers(len(data)))]
        _refused_or_read(bytes(data))


def test_random_bytes_are_one_sentence(rng: np.random.Generator) -> None:
    for length in (0, 1, 7, 8, 9, 40, 400):
        for _ in range(50):
            data = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
            _refused_or_read(data[:4] + b"TFL3" + data[8:])


def _refused_or_read(data: bytes) -> None:
    said = ""
    try:
        read_tflite(data)
    except Q8Error as problem:
        said = str(problem)
    assert "\n" not in said


def test_a_vector_that_claims_too_much_is_refused_before_it_is_made() -> None:
    """2**20 tensors in a file would be legal; more are not."""
    f = network()
    for index in range(len(f.tensors)):
        f.tensors[index].name = "x" * 2**21
    with pytest.raises(TooLarge, match="names and scales"):
        read_tflite(f.build())


def test_the_command_says_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(network().build()[:100])
    assert exit_code(["verify", str(path), "--numerics", "tflite-ref"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "it is damaged" in said
    path.write_bytes(network().build())
    assert exit_code(["verify", str(path), "--numerics", "tflite-ref", "--bias", "rescaled"]) == 2
    assert "as they are" in capsys.readouterr().err


def test_draws_are_repeatable() -> None:
    """The same generator gives the same file."""
    for kind in CASES:
        first, second = (CASES[kind](Draw(np.random.default_rng(5))) for _ in range(2))
        assert first.model == second.model
