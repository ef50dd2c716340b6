# SPDX-License-Identifier: Apache-2.0
"""Random quantized PyTorch modules of one operator each: legal, with ties, saturations and extremes among the numbers.

Every module takes float32 that quantizes to the intended integers and returns the quantized result. It is traced and
saved under the engine that will run it, which decides how weights are packed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Rng = np.random.Generator
FBGEMM_TOGETHER = {2: 8, 4: 4}
"""Groups that FBGEMM takes at a time, at most, by their channels: of other numbers it goes on behind the last."""


@dataclass(frozen=True)
class Case:
    """One module, the engine it needs, and inputs by name."""

    operator: str
    module: Any
    feeds: dict[str, np.ndarray]

    def save(self, path: Path, engine: str) -> Path:
        """Trace the module on its inputs and write it."""
        path.write_bytes(traced(self.module, list(self.feeds.values()), engine))
        return path


def traced(module: Any, arrays: Sequence[np.ndarray], engine: str) -> bytes:
    """The file of a module, traced on these inputs under an engine."""
    import torch

    from q8emu.backends.torch import under

    file = io.BytesIO()
    with under(engine, 1):
        example = tuple(torch.from_numpy(a) for a in arrays)
        torch.jit.save(torch.jit.trace(module, example, check_trace=False), file)
    return file.getvalue()


def arguments(file: bytes) -> list[str]:
    """The names of the inputs of a TorchScript file, without PyTorch's Python wrappers, which take time."""
    import torch

    unit = torch._C.CompilationUnit()
    module = torch._C.import_ir_module_from_buffer(unit, file, torch.device("cpu"), {}, False)
    return [argument.name for argument in module._get_method("forward").schema.arguments[1:]]


class Draw:
    """Numbers that a quantized operator may meet.

    `batch` is the length of axis 0, by default a random one; `sets` of inputs lie one after another along it.
    """

    def __init__(self, rng: Rng, batch: int | None = None, sets: int = 1) -> None:
        self.rng = rng
        self._batch, self.sets = batch, sets
        self.powers = bool(rng.integers(2))  # scales that are powers of two make exact ties
        self.feeds: dict[str, np.ndarray] = {}

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high, endpoint=True))

    def batch(self, most: int) -> int:
        """The length of axis 0."""
        return self._batch or self.integer(1, most)

    def scale(self, low: float = -8, high: float = -1) -> float:
        """A float32 between two powers of two."""
        exponent = self.rng.uniform(low, high)
        return float(np.float32(np.exp2(round(exponent) if self.powers else exponent)))

    def near(self, value: float, spread: float = 2) -> float:
        """A scale within a factor of 2**spread of a value."""
        return self.scale(np.log2(value) - spread, np.log2(value) + spread)

    def point(self) -> int:
        """A zero point, often one of the ends; qnnpack refuses 255 behind a relu, which leaves one value."""
        return int(self.rng.choice([0, 255, 128, *self.rng.integers(0, 256, 3)]))

    def values(self, shape: Sequence[int]) -> np.ndarray:
        """Integers of quint8: random, of one value, or of the ends."""
        kind = self.integer(0, 9)
        if kind == 0:
            return np.full(shape, self.rng.choice([0, 255]))
        if kind == 1:
            return self.rng.choice(np.array([0, 255]), tuple(shape))
        return self.rng.integers(0, 256, tuple(shape))

    def each_set(self, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What a function makes, once for every set of inputs."""
        return np.concatenate([make() for _ in range(self.sets)])

    def input(self, shape: Sequence[int]) -> Operand:
        """A quantized operand: what the module quantizes, and how."""
        q = self.each_set(lambda: self.values(shape))
        scale, point = self.scale(), self.point()
        name = "xy"[len(self.feeds)]
        self.feeds[name] = ((q - point).astype(np.float32) * np.float32(scale)).astype(np.float32)
        return Operand(scale, point)

    def image(self, channels: int) -> tuple[int, int, int, int]:
        """The shape of some images."""
        return (self.batch(2), channels, self.integer(1, 9), self.integer(1, 9))

    def channels(self) -> int:
        """Around the lanes of vector kernels."""
        return int(self.rng.choice([1, 3, 7, 8, 9, 15, 16, 17, 24, 33, 64, self.integer(1, 70)]))


@dataclass(frozen=True)
class Operand:
    """A scale and a zero point of quint8."""

    scale: float
    point: int

    def quantize(self, x: Any) -> Any:
        """The tensor, quantized."""
        import torch

        return torch.quantize_per_tensor(x, self.scale, self.point, torch.quint8)


def module(operands: Sequence[Operand], function: Callable[..., Any], **held: Any) -> Any:
    """A module that quantizes its inputs and applies the function to them; `held` are its attributes."""
    import torch

    class One(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any) -> Any:
            return function(self, operands[0].quantize(x))

    class Two(torch.nn.Module):  # type: ignore[misc]
        def forward(self, x: Any, y: Any) -> Any:
            return function(self, operands[0].quantize(x), operands[1].quantize(y))

    made = (One if len(operands) == 1 else Two)()
    for name, value in held.items():
        setattr(made, name, value)
    return made


def _weights(d: Draw, shape: Sequence[int]) -> tuple[Any, Any, float]:
    """Quantized weights, a float bias or none, the largest scale."""
    import torch

    values = torch.from_numpy(d.rng.integers(-128, 128, tuple(shape), dtype=np.int8))
    scales = np.array([d.scale(-10, -4) for _ in range(shape[0])], np.float64)
    if d.integer(0, 1):
        points = torch.zeros(shape[0], dtype=torch.int64)
        weight = torch._make_per_channel_quantized_tensor(values, torch.from_numpy(scales), points, 0)
    else:
        scales = scales[:1]
        weight = torch._make_per_tensor_quantized_tensor(values, float(scales[0]), 0)
    size = float(d.rng.choice([0.1, 3, 100]))
    bias = torch.from_numpy(d.rng.normal(0, size, shape[0]).astype(np.float32)) if d.integer(0, 3) else None
    return weight, bias, float(scales.max())


def _of_its_own(d: Draw) -> tuple[int, int, int, int]:
    """Groups, channels, units and taps of a convolution that FBGEMM has a kernel of its own for."""
    if d.integer(0, 1):
        group = 8 * d.integer(1, 3)
        return group, group, group * d.integer(1, 2), int(d.rng.choice([3, 5]))
    per = int(d.rng.choice([2, 4, 8, 16]))
    group = d.integer(1, 3) * FBGEMM_TOGETHER.get(per, 1)
    return group, group * per, group * per, 3


def _convolution(relu: bool) -> Callable[[Draw], Case]:
    def make(d: Draw) -> Case:
        import torch

        group = int(d.rng.choice([1, 1, 2, d.channels()]))
        channels, units = group * d.integer(1, 3), group * d.integer(1, 2)
        image = d.image(channels)
        kernel, strides = [d.integer(1, 3), d.integer(1, 3)], [d.integer(1, 2), d.integer(1, 2)]
        dilations = [d.integer(1, 2), d.integer(1, 2)] if d.integer(0, 3) == 0 else [1, 1]
        pads = [d.integer(0, 2), d.integer(0, 2)]
        if d.integer(0, 2) == 0:
            group, channels, units, size = _of_its_own(d)
            kernel, dilations, pads = [size, size], [1, 1], [size // 2, size // 2]
            image = d.image(channels)
        for a in (0, 1):
            if (kernel[a] - 1) * dilations[a] + 1 > image[2 + a] + 2 * pads[a]:
                kernel[a], dilations[a] = 1, 1
        if (kernel, pads) == ([3, 3], [1, 1]) and group % FBGEMM_TOGETHER.get(channels // group, 1):
            strides = [1, 2]  # not the kernel that writes behind its arrays
        x = d.input(image)
        weight, bias, largest = _weights(d, (units, channels // group, *kernel))
        packed = torch.ops.quantized.conv2d_prepack(weight, bias, strides, pads, dilations, group)
        depth = kernel[0] * kernel[1] * channels // group
        scale, point = d.near(x.scale * largest * np.sqrt(depth) * 5000 / 60), min(d.point(), 254 if relu else 255)
        op = torch.ops.quantized.conv2d_relu if relu else torch.ops.quantized.conv2d
        made = module([x], lambda self, q: op(q, self.packed, scale, point), packed=packed)
        return Case("conv2d", made, d.feeds)

    return make


def _linear(relu: bool) -> Callable[[Draw], Case]:
    def make(d: Draw) -> Case:
        import torch

        depth, units = d.channels(), d.channels()
        x = d.input((d.batch(5), depth))
        weight, bias, largest = _weights(d, (units, depth))
        packed = torch.ops.quantized.linear_prepack(weight, bias)
        scale, point = d.near(x.scale * largest * np.sqrt(depth) * 5000 / 60), min(d.point(), 254 if relu else 255)
        op = torch.ops.quantized.linear_relu if relu else torch.ops.quantized.linear
        return Case("linear", module([x], lambda self, q: op(q, self.packed, scale, point), packed=packed), d.feeds)

    return make


def _binary(name: str) -> Callable[[Draw], Case]:
    def make(d: Draw) -> Case:
        import torch

        shape = d.image(d.channels())
        x, y = d.input(shape), d.input(shape)
        size = x.scale * y.scale * 100 if name.startswith("mul") else max(x.scale, y.scale)
        scale, point = d.near(size), min(d.point(), 254 if "relu" in name else 255)
        op = getattr(torch.ops.quantized, name)
        return Case(name, module([x, y], lambda self, a, b: op(a, b, scale, point)), d.feeds)

    return make


def _pool(name: str) -> Callable[[Draw], Case]:
    """On an image as it came, and on one behind a convolution, which stores it channels-last."""

    def make(d: Draw) -> Case:
        import torch
        import torch.nn.functional as F

        channels = d.channels()
        h, w = d.integer(2, 4), d.integer(2, 4)
        shape = (d.batch(2), channels, h * d.integer(1, 3), w * d.integer(1, 3))
        x = d.input(shape)
        kernel, stride = (d.integer(2, h), d.integer(1, w)), (d.integer(1, 2), d.integer(1, 2))
        behind = bool(d.integer(0, 1))
        values = torch.from_numpy(np.eye(channels, dtype=np.int8)[:, :, None, None].copy())
        weight = torch._make_per_tensor_quantized_tensor(values, 1.0, 0)
        packed = torch.ops.quantized.conv2d_prepack(weight, None, [1, 1], [0, 0], [1, 1], 1)

        def function(self: Any, q: Any) -> Any:
            q = torch.ops.quantized.conv2d(q, self.packed, x.scale, x.point) if behind else q
            if name == "adaptive_avg_pool2d":
                return F.adaptive_avg_pool2d(q, (1, 1) if d.powers else (h, w))
            if name == "avg_pool2d":
                return F.avg_pool2d(q, kernel, stride)
            return F.max_pool2d(q, kernel, stride)

        return Case(name, module([x], function, packed=packed), d.feeds)

    return make


def quantize(d: Draw) -> Case:
    """Ties, values beyond the range and special ones."""
    x = Operand(d.scale(-8, 3), d.point())

    def values() -> np.ndarray:
        steps = d.rng.integers(-600, 600, (3, 37)) / 2
        real = (steps * x.scale).astype(np.float32)
        real[0, :5] = [1e30, -1e30, np.inf, -np.inf, 3e9 * x.scale]
        return real if d.integer(0, 1) else (real * np.float32(1.0000001)).astype(np.float32)

    d.feeds["x"] = d.each_set(values)
    return Case("quantize_per_tensor", module([x], lambda self, q: q), d.feeds)


def requantize(d: Draw) -> Case:
    """Dequantized and quantized by other parameters, padded on the way."""
    import torch.nn.functional as F

    x = d.input(d.image(d.channels()))
    y = Operand(d.near(x.scale), d.point())
    pads = [d.integer(0, 2) for _ in range(4)]
    return Case("requantize", module([x], lambda self, q: y.quantize(F.pad(q.dequantize(), pads))), d.feeds)


def cat(d: Draw) -> Case:
    """Along any axis, the second operand with parameters of its own."""
    import torch

    shape, axis = d.image(d.channels()), d.integer(0, 3)
    x, y = d.input(shape), d.input(shape)
    return Case("cat", module([x, y], lambda self, a, b: torch.cat([a, b], axis)), d.feeds)


def moves(d: Draw) -> Case:
    """relu, permute, reshape, flatten, slice one after another."""
    import torch

    x = d.input((2, d.integer(2, 5), 3, 4))

    def function(self: Any, q: Any) -> Any:
        moved = torch.relu(q).permute(0, 2, 3, 1).contiguous().reshape(2, -1, 3)[:, 1:]
        return torch.flatten(moved.transpose(1, 2).unsqueeze(1).squeeze(1), 1)

    return Case("moves", module([x], function), d.feeds)


CASES: dict[str, Callable[[Draw], Case]] = {
    "adaptive_avg_pool2d": _pool("adaptive_avg_pool2d"),
    "add": _binary("add"),
    "add_relu": _binary("add_relu"),
    "avg_pool2d": _pool("avg_pool2d"),
    "cat": cat,
    "conv2d": _convolution(relu=False),
    "conv2d_relu": _convolution(relu=True),
    "linear": _linear(relu=False),
    "linear_relu": _linear(relu=True),
    "max_pool2d": _pool("max_pool2d"),
    "moves": moves,
    "mul": _binary("mul"),
    "quantize": quantize,
    "requantize": requantize,
}


def case(operator: str, rng: Rng, engine: str) -> Case:
    """A random module of this operator, its weights packed for the engine."""
    return draw(operator, Draw(rng), engine)


def draw(operator: str, numbers: Draw, engine: str) -> Case:
    """A module of this operator from these numbers."""
    from q8emu.backends.torch import under

    with under(engine, 1):
        return CASES[operator](numbers)
