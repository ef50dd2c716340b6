# SPDX-License-Identifier: Apache-2.0
"""Numbers, tensors and finished files for random TFLite operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from tflite_files import File, Options

Rng = np.random.Generator


@dataclass(frozen=True)
class Case:
    """One file and inputs for it."""

    operator: str
    file: File
    feeds: dict[str, np.ndarray]

    @cached_property
    def model(self) -> bytes:
        """The bytes of the file, made when they are first asked for: many cases only end in a larger file."""
        return self.file.build()


class Draw:
    """Numbers that a quantized operator may meet; `sets` of inputs lie one after another along axis 0."""

    def __init__(self, rng: Rng, dtype: str = "int8", sets: int = 1) -> None:
        self.rng, self.file, self.sets = rng, File(), sets
        self.dtype, self.least = dtype, int(np.iinfo(dtype).min)
        self.powers = bool(rng.integers(2))  # scales that are powers of two make exact ties
        self.feeds: dict[str, np.ndarray] = {}

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self.rng.integers(low, high, endpoint=True))

    def scale(self, low: float = -8, high: float = -1) -> float:
        """A float32 between two powers of two."""
        exponent = self.rng.uniform(low, high)
        return float(np.float32(np.exp2(round(exponent) if self.powers else exponent)))

    def near(self, value: float, spread: float = 2) -> float:
        """A scale within a factor of 2**spread of a value."""
        return self.scale(np.log2(value) - spread, np.log2(value) + spread)

    def point(self) -> int:
        """A zero point, often one of the ends."""
        return self.least + int(self.rng.choice([0, 255, 128, *self.rng.integers(0, 256, 3)]))

    def values(self, shape: Sequence[int]) -> np.ndarray:
        """int8 data: random, of one value, or of the ends."""
        kind = self.integer(0, 9)
        ends = np.array([self.least, self.least + 255], self.dtype)
        if kind == 0:
            return np.full(shape, self.rng.choice([*ends, self.least + 128]), self.dtype)
        if kind == 1:
            return self.rng.choice(ends, tuple(shape))
        return self.rng.integers(self.least, self.least + 256, tuple(shape), dtype=self.dtype)

    def each_set(self, make: Callable[[], np.ndarray]) -> np.ndarray:
        """What a function makes, once for every set of inputs."""
        return np.concatenate([make() for _ in range(self.sets)])

    def input(self, shape: Sequence[int], scale: float | None = None, point: int | None = None) -> int:
        """An int8 input of the model, with its data."""
        name = f"x{len(self.feeds)}"
        self.feeds[name] = self.each_set(lambda: self.values(shape))
        usual = self.scale() if self.integer(0, 5) else self.scale(-1, 4)  # 2 and 4 put the ends of activations on ties
        step = usual if scale is None else scale
        index = self.file.tensor(name, self.dtype, shape, [step], [self.point() if point is None else point])
        self.file.inputs.append(index)
        return index

    def output(self, shape: Sequence[int], scale: float, point: int | None = None) -> int:
        """An int8 output of the model."""
        index = self.file.tensor("y", self.dtype, shape, [scale], [self.point() if point is None else point])
        self.file.outputs.append(index)
        return index

    def like(self, source: int, shape: Sequence[int]) -> int:
        """An output with the parameters of another tensor."""
        t = self.file.tensors[source]
        return self.output(shape, t.scale[0], t.zero_point[0])

    def constant(self, values: Sequence[Any] | np.ndarray, dtype: str = "int32") -> int:
        """A constant that decides a shape."""
        array = np.asarray(values, dtype)
        return self.file.tensor(f"c{len(self.file.tensors)}", dtype, array.shape, data=array)

    def activation(self) -> int:
        """NONE, RELU, RELU_N1_TO_1 or RELU6."""
        return int(self.rng.choice([0, 0, 1, 2, 3]))

    def step(self, source: int) -> float:
        """The scale of a tensor."""
        return float(self.file.tensors[source].scale[0])

    def case(self, operator: str, inputs: Sequence[int], output: int, options: Options | None = None) -> Case:
        """The finished file."""
        self.file.operator(operator, inputs, [output], options)
        return Case(operator, self.file, self.feeds)
