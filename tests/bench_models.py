# SPDX-License-Identifier: Apache-2.0
"""Networks of known shapes for the benchmark, made and not downloaded: random weights, quantized by ONNX Runtime.

A model is kept in build/bench/ under a name with a hash of this file and the quantizer's version, after q8emu was found
exact on it (oracle `ort`, one input); a model that differs is not kept, and stops the benchmark.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import q8emu
from q8emu.errors import Q8Error

FOLDER = Path(__file__).parent.parent / "build" / "bench"
CALIBRATION = 2  # random inputs


class Network:
    """Collects the nodes of a float model; every operator returns the name of its output."""

    def __init__(self, shape: Sequence[int], seed: int) -> None:
        self.shape, self.rng = tuple(shape), np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Any operator."""
        name = f"{op.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, array: np.ndarray) -> str:
        """A float32 constant."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array.astype(np.float32), name))
        return name

    def weights(self, shape: Sequence[int], fan_in: int, gain: float) -> str:
        """Normal numbers of the variance gain / fan_in: 2 keeps the variance through a ReLU (He), 1 without one."""
        return self.constant(self.rng.standard_normal(shape) * np.sqrt(gain / fan_in))

    def conv(self, x: str, cin: int, cout: int, k: int, *, stride: int = 1, group: int = 1, gain: float = 2.0) -> str:
        """A convolution with the bias that a folded batch normalization leaves."""
        fan_in = cin // group * k * k
        w = self.weights((cout, cin // group, k, k), fan_in, gain)
        bias = self.constant(self.rng.standard_normal(cout) * 0.05)
        return self.add("Conv", x, w, bias, strides=[stride] * 2, pads=[k // 2] * 4, group=group, kernel_shape=[k, k])

    def matmul(self, x: str, k: int, n: int, gain: float = 1.0) -> str:
        """A product with constant weights."""
        return self.add("MatMul", x, self.weights((k, n), k, gain))

    def classifier(self, x: str, channels: int) -> str:
        """Global average, 1000 classes."""
        flat = self.add("Flatten", self.add("GlobalAveragePool", x))
        bias = self.constant(np.zeros(1000))
        return self.add("Gemm", flat, self.weights((channels, 1000), channels, 1.0), bias)

    def save(self, path: Path, y: str, out: Sequence[int]) -> None:
        """Write the model from x, its batch open, to y."""
        graph = helper.make_graph(
            self.nodes,
            path.stem,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", *self.shape])],
            [helper.make_tensor_value_info(y, TensorProto.FLOAT, ["N", *out])],
            self.constants,
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


IMAGE = (3, 224, 224)
INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
BOTTLENECKS = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def mobilenet_v2(path: Path) -> None:
    """The layers of MobileNetV2 1.0 at 224 x 224: expansion, channels, repeats and stride of each group in INVERTED."""
    net = Network(IMAGE, 2)

    def relu6(x: str) -> str:
        return net.add("Clip", x, low, high)

    low, high = net.constant(np.array(0.0)), net.constant(np.array(6.0))
    x, channels = relu6(net.conv("x", 3, 32, 3, stride=2)), 32
    for expansion, cout, repeats, first_stride in INVERTED:
        for at in range(repeats):
            stride, inner = first_stride if at == 0 else 1, channels * expansion
            y = relu6(net.conv(x, channels, inner, 1)) if expansion > 1 else x
            y = relu6(net.conv(y, inner, inner, 3, stride=stride, group=inner))
            y = net.conv(y, inner, cout, 1, gain=1.0)
            x = net.add("Add", x, y) if stride == 1 and channels == cout else y
            channels = cout
    x = relu6(net.conv(x, channels, 1280, 1))
    net.save(path, net.classifier(x, 1280), (1000,))


def resnet50(path: Path) -> None:
    """The layers of ResNet-50 (v1.5: the stride is in the 3 x 3 convolution) at 224 x 224."""
    net = Network(IMAGE, 50)
    x = net.add("Relu", net.conv("x", 3, 64, 7, stride=2))
    x = net.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for width, repeats, first_stride in BOTTLENECKS:
        for at in range(repeats):
            stride, cout = first_stride if at == 0 else 1, 4 * width
            y = net.add("Relu", net.conv(x, channels, width, 1))
            y = net.add("Relu", net.conv(y, width, width, 3, stride=stride))
            y = net.conv(y, width, cout, 1, gain=0.2)
            shortcut = x if channels == cout else net.conv(x, channels, cout, 1, stride=stride, gain=1.0)
            x, channels = net.add("Relu", net.add("Add", y, shortcut)), cout
    net.save(path, net.classifier(x, channels), (1000,))


def transformer(path: Path) -> None:
    """The products of two transformer blocks, 128 tokens of width 768: projection, and 768 to 3072 to 768."""
    net = Network((128, 768), 12)
    x = "x"
    for _ in range(2):
        x = net.matmul(x, 768, 768)
        x = net.add("Relu", net.matmul(x, 768, 3072))
        x = net.matmul(x, 3072, 768, 2.0)
    net.save(path, x, (128, 768))


NETWORKS: dict[str, tuple[Callable[[Path], None], tuple[int, ...]]] = {
    "mobilenet_v2": (mobilenet_v2, IMAGE),
    "resnet50": (resnet50, IMAGE),
    "transformer": (transformer, (128, 768)),
}


def made(network: str, types: str) -> Path:
    """The path of a quantized model, made if it is not there.

    Args:
        network: a key of NETWORKS.
        types: "u8s8" or "s8s8": of activations and weights.

    Raises:
        Q8Error: q8emu differs from ONNX Runtime on it.
    """
    import onnxruntime

    digest = hashlib.sha256(Path(__file__).read_bytes() + onnxruntime.__version__.encode()).hexdigest()[:8]
    path = FOLDER / f"{network}_{types}_{digest}.onnx"
    if path.is_file():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        build, shape = NETWORKS[network]
        plain, quantized = Path(folder, "float.onnx"), Path(folder, "quantized.onnx")
        build(plain)
        quantize(plain, quantized, shape, types)
        report = q8emu.verify(quantized, q8_inputs(shape, 1, 1), against=["ort"])
        if not report.holds:
            raise Q8Error(f"{path.name}: {'; '.join(oracle.sentence for oracle in report.oracles)}")
        quantized.rename(path)
    return path


def q8_inputs(shape: Sequence[int], samples: int, seed: int) -> dict[str, np.ndarray]:
    """Random inputs as those of the calibration."""
    return {"x": np.random.default_rng(seed).standard_normal((samples, *shape)).astype(np.float32)}


def quantize(plain: Path, path: Path, shape: Sequence[int], types: str) -> None:
    """Static quantization to QDQ, weights per channel."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = [q8_inputs(shape, 1, 100 + i) for i in range(CALIBRATION)]

        def get_next(self) -> dict[str, np.ndarray] | None:
            return self.left.pop() if self.left else None

    activations = QuantType.QUInt8 if types == "u8s8" else QuantType.QInt8
    quantize_static(
        str(plain),
        str(path),
        Reader(),
        quant_format=QuantFormat.QDQ,
        activation_type=activations,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )
