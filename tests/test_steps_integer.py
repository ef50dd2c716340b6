# SPDX-License-Identifier: Apache-2.0
"""The integer steps: the core on every ISA and several threads equals the definition, on random Programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from conftest import ISAS
from q8emu.graph import TensorInfo
from q8emu.numerics import fixed_point, multiplier
from q8emu.program import Buffer, Port, Program, Step
from q8emu.run import Runner

Params = Mapping[str, int | tuple[int, ...]]
Made = tuple[list[np.ndarray], tuple[str, tuple[int, ...]], Params, Mapping[str, np.ndarray]]


def stage(
    rng: np.random.Generator, dtype: str, magnitude: float, length: int = 1, *, has_channels: bool = True
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and arrays of a random output stage for accumulators of this magnitude."""
    info = np.iinfo(dtype)
    low, high = sorted(rng.integers(info.min, info.max + 1, 2).tolist())
    params = {"requantize": int(rng.integers(0, 5)), "qmin": low, "qmax": high}
    params["y_zero_point"] = int(rng.integers(info.min, info.max + 1))
    factors = 100 / magnitude * np.exp2(rng.uniform(-2, 2, length))
    factors = np.exp2(np.rint(np.log2(factors))) if rng.random() < 0.5 else factors  # ties
    if params["requantize"] == 0:
        return params, {"scale_bits": factors.astype(np.float32).view(np.uint32)}
    if params["requantize"] == 4:
        return params, {"scale64_bits": multiplier.f64_bits(factors)}
    if rng.random() < 0.3:  # beyond the dtype: the mean of LiteRT's built-in kernels folds its bias in
        params["y_zero_point"] = int(rng.integers(-1000, 1000))
    if has_channels and params["requantize"] > 1 and rng.random() < 0.5:
        params["double_rounding_from"] = int(rng.integers(0, 40))
    pairs = np.array([multiplier.quantize_multiplier(float(f)) for f in factors], np.int32)
    return params, {"multiplier": pairs[:, 0].copy(), "shift": pairs[:, 1].copy()}


def values(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def dtypes(rng: np.random.Generator, count: int) -> list[str]:
    return [str(d) for d in rng.choice(["int8", "uint8"], count)]


def zero_point(rng: np.random.Generator, dtype: str) -> int:
    return int(values(rng, dtype, ()))


def broadcast(rng: np.random.Generator) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    full = (2, 3, int(rng.integers(1, 40)))
    a, b = (tuple(1 if rng.random() < 0.2 else d for d in full) for _ in range(2))
    return a, b, tuple(max(i, j) for i, j in zip(a, b, strict=True))


def add_rescaled(rng: np.random.Generator) -> Made:
    a, b, y = broadcast(rng)
    types = dtypes(rng, 3)
    params, arrays = stage(rng, types[2], 1e9, has_channels=False)
    tables = {f"{s}_rescaled": rng.integers(-(2**31), 2**31, 256).astype(np.int32) for s in "ab"}
    return [values(rng, types[0], a), values(rng, types[1], b)], (types[2], y), params, arrays | tables


def mul(rng: np.random.Generator) -> Made:
    a, b, y = broadcast(rng)
    types = dtypes(rng, 3)
    params, arrays = stage(rng, types[2], 2e4, has_channels=False)
    points = {"a_zero_point": zero_point(rng, types[0]), "b_zero_point": zero_point(rng, types[1])}
    return [values(rng, types[0], a), values(rng, types[1], b)], (types[2], y), params | points, arrays


def mean(rng: np.random.Generator) -> Made:
    x_dtype, y_dtype = dtypes(rng, 2)
    x = values(rng, x_dtype, (2, int(rng.integers(1, 50)), int(rng.integers(1, 20))))
    params, arrays = stage(rng, y_dtype, 2e3)
    return [x], (y_dtype, (2, x.shape[2])), params | {"x_zero_point": zero_point(rng, x_dtype)}, arrays


def matmul(rng: np.random.Generator) -> Made:
    m, k, n = rng.integers(1, 40, 3).tolist()
    y_dtype = dtypes(rng, 1)[0]
    params, arrays = stage(rng, y_dtype, 3e4 * k**0.5, int(rng.choice([1, n])))
    points = {"a_zero_point": 3, "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}
    arrays["b_zero_point"] = np.zeros(1, np.int32)
    a, b = values(rng, "int8", (m, k)), values(rng, "int8", (k, n))
    return [a, b], (y_dtype, (m, n)), params | points, arrays


def average_pool_raw(rng: np.random.Generator) -> Made:
    dtype = dtypes(rng, 1)[0]
    size, kernel, stride = (rng.integers(low, high, 2).tolist() for low, high in ((4, 9), (1, 5), (1, 4)))
    pads = [int(rng.integers(0, k)) for k in kernel * 2]
    x = values(rng, dtype, (2, *size, int(rng.integers(1, 20))))
    out = [(size[i] + pads[i] + pads[i + 2] - kernel[i]) // stride[i] + 1 for i in range(2)]
    low, high = sorted(values(rng, dtype, (2,)).tolist())
    params = {"kernel": tuple(kernel), "strides": tuple(stride), "dilations": (1, 1), "pads": tuple(pads)}
    return [x], (dtype, (2, *out, x.shape[3])), params | {"qmin": low, "qmax": high}, {}


def softmax_fixed(rng: np.random.Generator) -> Made:
    x = values(rng, dtypes(rng, 1)[0], (2, int(rng.choice([1, 2, 10, 600])), 2))
    table = np.array(fixed_point.softmax_table(float(np.exp2(rng.uniform(-9, 2)))), np.int32)
    dtype = dtypes(rng, 1)[0]
    info = np.iinfo(dtype)
    return [x], (dtype, x.shape), {"qmin": int(info.min), "qmax": int(info.max)}, {"table": table}


def softmax_reciprocal(rng: np.random.Generator) -> Made:
    x = values(rng, dtypes(rng, 1)[0], (2, int(rng.choice([1, 2, 10, 100])), 2))
    table = np.exp(np.float32(np.exp2(rng.uniform(-9, 0))) * np.arange(-255, 1)).astype(np.float32)
    dtype = dtypes(rng, 1)[0]
    info = np.iinfo(dtype)
    return [x], (dtype, x.shape), {"qmin": int(info.min), "qmax": int(info.max)}, {"table": table.view(np.uint32)}


def quantize(rng: np.random.Generator) -> Made:
    dtype = dtypes(rng, 1)[0]
    scale = float(rng.choice([0.25, 0.3]))
    x = (np.rint(rng.normal(size=(1, 1, 99)) * 200) / 2 * scale).astype(np.float32)  # many ties
    info = np.iinfo(dtype)
    arrays = {
        "scale_bits": np.array([scale], np.float32).view(np.uint32),
        "zero_point": np.array([zero_point(rng, dtype)], np.int32),
    }
    params = {"rounding": int(rng.integers(0, 4)), "qmin": int(info.min), "qmax": int(info.max)}
    return [x], (dtype, x.shape), params, arrays


def dequantize(rng: np.random.Generator) -> Made:
    dtype = dtypes(rng, 1)[0]
    x = values(rng, dtype, (1, 1, 99))
    arrays = {
        "scale_bits": rng.uniform(0.01, 1, 1).astype(np.float32).view(np.uint32),
        "zero_point": np.array([zero_point(rng, dtype)], np.int32),
    }
    return [x], ("float32", x.shape), {"affine": int(rng.integers(0, 2))}, arrays


MAKERS: dict[str, Callable[[np.random.Generator], Made]] = {
    "add_rescaled": add_rescaled,
    "average_pool_raw": average_pool_raw,
    "dequantize": dequantize,
    "matmul": matmul,
    "mean": mean,
    "mul": mul,
    "quantize": quantize,
    "softmax_fixed": softmax_fixed,
    "softmax_reciprocal": softmax_reciprocal,
}


def program_of(kind: str, made: Made) -> Program:
    """A Program of one step."""
    inputs, (dtype, shape), params, arrays = made
    types = [*((str(x.dtype), x.shape) for x in inputs), (dtype, shape)]
    names = [*"ab"[: len(inputs)], "y"]
    ports = {
        name: Port(TensorInfo(name, t, s), i, tuple(range(len(s))))
        for i, (name, (t, s)) in enumerate(zip(names, types, strict=True))
    }
    step = Step(kind, kind, tuple(range(len(inputs))), (len(inputs),), params, arrays)
    buffers = tuple(Buffer(t, tuple(s)) for t, s in types)
    return Program("test", buffers, {}, (step,), ports, tuple(names[:-1]), ("y",))


@pytest.mark.parametrize("kind", MAKERS)
def test_the_core_equals_the_definition(kind: str, rng: np.random.Generator) -> None:
    for _ in range(40):
        made = MAKERS[kind](rng)
        program = program_of(kind, made)
        inputs = dict(zip(program.inputs, made[0], strict=True))
        expected = Runner(program, kernels="spec").run(inputs).outputs["y"]
        for isa in ISAS:
            for threads in (1, 2):
                got = Runner(program, kernels=isa, threads=threads).run(inputs).outputs["y"]
                assert got.dtype == expected.dtype
                np.testing.assert_array_equal(got, expected, err_msg=f"{isa}, {threads} threads, {made[2]}")


def test_ties_of_the_raw_mean_go_away_from_zero() -> None:
    x = np.array([[[[1], [2]], [[-1], [-2]]]], np.int8)  # two windows of 1 x 2: 1.5 and -1.5
    window = {"kernel": (1, 2), "strides": (1, 1), "dilations": (1, 1), "pads": (0, 0, 0, 0)}
    made: Made = ([x], ("int8", (1, 2, 1, 1)), window | {"qmin": -128, "qmax": 127}, {})
    for kernels in ("spec", *ISAS):
        y = Runner(program_of("average_pool_raw", made), kernels=kernels).run({"a": x}).outputs["y"]
        assert y.reshape(-1).tolist() == [2, -2]
