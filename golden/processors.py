# SPDX-License-Identifier: Apache-2.0
"""Golden values of ONNX Runtime on other processors than this one, by emulating them.

    python golden/processors.py build DIR                          # the models and what they are fed, here
    qemu-x86_64 -cpu Haswell python golden/processors.py run DIR haswell.npz
    qemu-aarch64 -cpu cortex-a76 python golden/processors.py run DIR cortex-a76.npz
    python golden/processors.py keep DIR haswell.npz               # what differs from the x86-64 cases, and the rest

`run` needs numpy and onnxruntime only, for the emulated processor; the operating system's /proc/cpuinfo has to describe
that processor too where it is not this machine's kind. The models are those of golden/cases/ and, from a seed, products
of uint8 by int8 with values so large that sums of two products leave 16 bits.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a script

ROOT = Path(__file__).resolve().parents[1]
PROCESSORS = {
    "cortex-a76": "onnxruntime 1.31.1, qemu-aarch64 7.2 -cpu cortex-a76",
    "haswell": "onnxruntime 1.31.1, qemu-x86_64 7.2 -cpu Haswell",
}
SEED, PRODUCTS = 20261121, 240

Arrays = dict[str, np.ndarray]


class Draw:
    """Random products of uint8 by int8."""

    def __init__(self, number: int) -> None:
        self.rng = np.random.default_rng([SEED, number])
        self.constants: Arrays = {}

    def pick(self, *values: int) -> int:
        """One of these."""
        return int(self.rng.choice(values))

    def data(self, shape: tuple[int, ...]) -> np.ndarray:
        """uint8, mostly large."""
        kind = self.pick(0, 0, 1, 2)
        if kind == 2:
            return np.full(shape, 255, np.uint8)
        extremes = self.rng.choice(np.array([0, 128, 254, 255], np.uint8), shape)
        return extremes if kind else self.rng.integers(0, 256, shape).astype(np.uint8)

    def weights(self, shape: tuple[int, ...]) -> np.ndarray:
        """int8, mostly large."""
        extremes = self.rng.choice(np.array([-128, 64, 127], np.int8), shape)
        return self.rng.integers(-128, 128, shape).astype(np.int8) if self.pick(0, 1) else extremes

    def parameters(self, channels: int, depth: int) -> None:
        """Scales and zero points; those of the weights per tensor or per channel."""
        count = self.pick(1, channels)
        scale = np.exp2(self.rng.uniform(-8, -6, count)).astype(np.float32)
        point = self.rng.integers(-5, 6, count).astype(np.int8) * np.int8(self.pick(0, 0, 1))
        shape: tuple[int, ...] = () if count == 1 else (count,)
        self.constants |= {
            "xs": np.array(2.0**-6, np.float32),
            "xz": np.array(self.pick(0, 128, 255, int(self.rng.integers(0, 256))), np.uint8),
            "ws": scale.reshape(shape),
            "wz": point.reshape(shape),
            "ys": np.array(depth**0.5 * 0.0125, np.float32),
            "yz": np.array(self.rng.integers(0, 256), np.uint8),
        }

    def convolution(self) -> tuple[str, list[str], dict[str, Any], np.ndarray]:
        """QLinearConv: dense, in groups, or with one input channel per group."""
        kernel = (self.pick(1, 2, 3), self.pick(1, 2, 3))
        group, inside, outside = self.pick(1, 1, 2, 3), self.pick(1, 2, 3, 5, 8, 16), self.pick(1, 3, 8, 17)
        if self.pick(0, 0, 1):
            group, inside, outside = self.pick(2, 4, 8, 16), 1, self.pick(1, 2, 3)
        dilations = [self.pick(1, 1, 1, 2) for _ in kernel]
        image = [self.pick(2, 3, 5, 7) + (k - 1) * d for k, d in zip(kernel, dilations, strict=True)]
        self.constants["w"] = self.weights((group * outside, inside, *kernel))
        self.parameters(group * outside, inside * kernel[0] * kernel[1])
        self.constants["b"] = self.rng.integers(-5000, 5000, group * outside).astype(np.int32)
        pads = [int(self.rng.integers(0, k)) for k in (*kernel, *kernel)]
        attributes = {
            "group": group,
            "pads": pads,
            "dilations": dilations,
            "strides": [self.pick(1, 2), self.pick(1, 2)],
        }
        names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz", "b"]
        return "QLinearConv", names, attributes, self.data((self.pick(1, 2), group * inside, *image))

    def product(self) -> tuple[str, list[str], dict[str, Any], np.ndarray]:
        """QLinearMatMul or MatMulInteger."""
        rows, depth, columns = self.pick(1, 2, 5), self.pick(1, 2, 3, 5, 8, 17, 64, 129), self.pick(1, 3, 16, 17, 33)
        self.constants["w"] = self.weights((depth, columns))
        self.parameters(columns, depth)
        x = self.data((rows, depth))
        if self.pick(0, 1):
            return "MatMulInteger", ["x", "w", "xz", "wz"], {}, x
        return "QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], {}, x


def model(number: int) -> tuple[bytes, np.ndarray]:
    """The model file with this number, and its input x."""
    from onnx import TensorProto, helper, numpy_helper

    draw = Draw(number)
    op, names, attributes, x = draw.convolution() if number % 3 else draw.product()
    dtype = TensorProto.INT32 if op == "MatMulInteger" else TensorProto.UINT8
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, x.shape)],
        [helper.make_tensor_value_info("y", dtype, None)],
        [numpy_helper.from_array(draw.constants[name], name) for name in names if name != "x"],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return proto.SerializeToString(), x


def build(folder: Path) -> None:
    """Write every model and what it is fed."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(PRODUCTS):
        data, x = model(number)
        (folder / f"product.{number}.onnx").write_bytes(data)
        fed: dict[str, Any] = {"in.x": x}
        np.savez(folder / f"product.{number}.npz", **fed)
    for path in sorted((ROOT / "golden/cases").iterdir()):
        (folder / path.name).write_bytes(path.read_bytes())


def run(folder: Path, out: Path) -> None:
    """Run them in ONNX Runtime, fused and with integer kernels, on this processor."""
    import onnxruntime

    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.onnx")):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level = 1, 1, 4
        options.add_session_config_entry("session.qdqisint8allowed", "1")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as file:
            feeds = {value.name: file[f"in.{value.name}"] for value in session.get_inputs()}
        for value, array in zip(session.get_outputs(), session.run(None, feeds), strict=True):
            found[f"{path.stem}/{value.name}"] = array
    np.savez(out, **found)


def keep(folder: Path, out: Path) -> Arrays:
    """The values of the products, and of the cases those that are not what the cases hold."""
    kept: Arrays = {}
    with np.load(out, allow_pickle=False) as file:
        for name in file.files:
            case, _, output = name.partition("/")
            array = file[name]
            if not case.startswith("product."):
                with np.load(folder / f"{case}.npz", allow_pickle=False) as golden:
                    if golden[f"out.{output}"].tobytes() == array.tobytes():
                        continue
            kept[name] = array
    return kept


def path_of(processor: str) -> Path:
    """The committed file."""
    return ROOT / "golden/processors" / f"{processor}.npz"


def main() -> None:
    """See above."""
    command, folder, *rest = sys.argv[1:]
    if command == "build":
        build(Path(folder))
    elif command == "run":
        run(Path(folder), Path(rest[0]))
    else:
        from golden import archive

        path = path_of(Path(rest[0]).stem)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(archive.npz_bytes(keep(Path(folder), Path(rest[0]))))


if __name__ == "__main__":
    main()
