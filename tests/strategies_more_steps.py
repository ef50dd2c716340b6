# SPDX-License-Identifier: Apache-2.0
"""Random programs of one step, continued: pools and means, softmax, the boundary to float, movements; and the list."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from strategies_integer_steps import (
    add_rescaled,
    average_pool_raw,
    average_pool_scaled,
    mul,
    softmax_fixed,
    softmax_reciprocal,
)
from strategies_numbers import limits
from strategies_steps import (
    Dict,
    Maker,
    Single,
    add_fma,
    bit,
    bits,
    conv2d,
    depthwise_conv2d,
    float_binary,
    lut,
    matmul,
    mul_ratio,
    requantization,
    window,
)


def average_pool(seed: int) -> Single:
    """Every window touches the image; counts with and without the padding."""
    m = Maker(seed)
    image, kernel = [m.c.integer(1, 7), m.c.integer(1, 7)], [m.c.integer(1, 4), m.c.integer(1, 4)]
    params, out = window(m, image, kernel, pool=True)
    dtype, channels, batch = m.dtype(), m.size(33), m.c.integer(1, 2)
    more: Dict = {
        "kernel": tuple(kernel),
        "count_include_pad": int(m.c.chance(50)),
        **({"form": m.c.integer(0, 2)} if m.c.chance(60) else {}),
        "x_zero_point": m.point(dtype),
        "y_zero_point": m.point(dtype),
        "x_scale_bits": bit(m.c.pick(1e9, 3e38) if m.c.chance(10) else m.rng.uniform(0.01, 2)),
        "y_scale_bits": bit(m.c.pick(0.25, float(m.rng.uniform(0.01, 2)))),
    }
    x = m.data((batch, *image, channels), dtype)
    return m.single("average_pool", [x], [(dtype, (batch, *out, channels))], {**params, **more, **m.clamp(dtype)})


def max_pool(seed: int) -> Single:
    """Every window touches the image."""
    m = Maker(seed)
    image, kernel = [m.c.integer(1, 7), m.c.integer(1, 7)], [m.c.integer(1, 4), m.c.integer(1, 4)]
    params, out = window(m, image, kernel, pool=True)
    dtype, channels, batch = m.dtype(), m.size(33), m.c.integer(1, 2)
    x = m.data((batch, *image, channels), dtype)
    return m.single("max_pool", [x], [(dtype, (batch, *out, channels))], {**params, "kernel": tuple(kernel)})


def mean(seed: int) -> Single:
    """Sums over the middle axis, requantized to either dtype."""
    m = Maker(seed)
    outer, reduced, inner = m.c.pick(1, 4, 40), m.c.pick(1, 2, 9, 49, 64, 1000), m.c.pick(1, m.size())
    x_dtype, dtype = m.dtype(), m.dtype()
    params, arrays = requantization(m, dtype, 100 * reduced**0.5, 1)
    params["x_zero_point"] = m.point(x_dtype)
    return m.single("mean", [m.data((outer, reduced, inner), x_dtype)], [(dtype, (outer, inner))], params, arrays)


def mean_affine(seed: int) -> Single:
    """Sums over the middle axis, with an addend that makes ties."""
    m = Maker(seed)
    outer, reduced, inner = m.c.integer(1, 4), m.c.pick(1, 2, 9, 49, 64, 1000), m.c.pick(1, 5, 33, 1030)
    x_dtype, dtype = m.dtype(), m.dtype()
    scale = m.c.pick(1 / reduced, 0.5, 2.0**-10, 3.0, 1e9, float(m.rng.uniform(0.0001, 1)))
    addend = m.c.pick(0.0, 0.5, -128.0, 100.5, 1e12, float(m.rng.uniform(-300, 300)))
    params = {"scale_bits": bit(scale), "addend_bits": bit(addend), **m.clamp(dtype)}
    return m.single("mean_affine", [m.data((outer, reduced, inner), x_dtype)], [(dtype, (outer, inner))], params)


def float_mean(seed: int) -> Single:
    """Every order of the sum, every remainder of its blocks."""
    m = Maker(seed)
    rows, length = m.c.integer(1, 9), m.c.pick(*range(1, 20), 64, 65, 1001)
    x_dtype, dtype = m.dtype(), m.dtype()
    size = float(m.rng.uniform(0.001, 2))
    params = {
        "order": m.c.integer(0, 3),
        "x_zero_point": m.point(x_dtype),
        "y_zero_point": m.point(dtype),
        "x_scale_bits": bit(size),
        "y_scale_bits": bit(size * m.c.pick(1.0, 0.5, float(m.rng.uniform(0.1, 1)))),
        **m.clamp(dtype),
    }
    return m.single("float_mean", [m.data((rows, length), x_dtype)], [(dtype, (rows,))], params)


def float_softmax(seed: int) -> Single:
    """Rows of every length and remainder of eight, from flat ones to those of one exponential; most with a near tie."""
    m = Maker(seed)
    outer, depth, inner = m.c.integer(1, 3), m.size(), m.c.pick(1, 1, 2, 9)
    x_dtype, dtype = m.dtype(), m.dtype()
    shape = (outer, depth, inner)
    x, scale = m.data(shape, x_dtype), float(np.float32(np.exp2(m.rng.uniform(-12, 4))))
    e = np.exp((x.astype(np.float64) - x.max(1, keepdims=True).astype(np.float64)) * scale)
    element = float((e / e.sum(1, keepdims=True)).reshape(-1)[m.c.integer(0, x.size - 1)])
    tie = element / (m.c.integer(0, 100) + 0.5)
    params = {
        "x_zero_point": m.point(x_dtype),
        "y_zero_point": m.point(dtype),
        "x_scale_bits": bit(scale),
        "y_scale_bits": bit(tie if tie > 1e-30 else m.c.pick(1 / 256, 0.0039, 1e-30)),
        **m.clamp(dtype),
    }
    return m.single("float_softmax", [x], [(dtype, shape)], params)


def softmax(seed: int) -> Single:
    """A table that grows by a factor per entry, rows of every length."""
    m = Maker(seed)
    outer, depth, inner = m.c.integer(1, 3), m.size(), m.c.pick(1, 1, 2, 9)
    x_dtype, dtype = m.dtype(), m.dtype()
    table = np.exp((np.arange(256) - 255) * m.rng.uniform(0.001, 0.3) + m.c.pick(0.0, 80.0)).astype(np.float32)
    params = {"numerator_bits": bit(m.c.pick(255.0, 256.0, 254.0, 100.0, 1e9)), "y_zero_point": m.point(dtype)}
    shape = (outer, depth, inner)
    return m.single(
        "softmax", [m.data(shape, x_dtype)], [(dtype, shape)], params | m.clamp(dtype), {"table": bits(table)}
    )


def _boundary(m: Maker, dtype: str) -> tuple[tuple[int, ...], dict[str, np.ndarray]]:
    channels = m.size(33)
    many = channels if m.c.chance(50) else 1
    scales = np.exp2(m.rng.integers(-6, 3, many)) if m.c.chance(50) else m.rng.uniform(0.001, 3, many)
    points = m.rng.integers(*limits(dtype), many, endpoint=True).astype(np.int32)
    shape = (m.c.integer(1, 3), channels, m.size(33))
    return shape, {"scale_bits": bits(scales.astype(np.float32)), "zero_point": points}


def quantize(seed: int) -> Single:
    """Real values on ties, beyond the range, infinite and not numbers."""
    m = Maker(seed)
    dtype = m.dtype()
    shape, arrays = _boundary(m, dtype)
    scales = arrays["scale_bits"].view(np.float32).reshape(1, -1, 1)
    x = (m.rng.integers(-600, 600, shape) * np.float32(0.5) * scales).astype(np.float32)
    if m.c.chance(50):
        x += m.rng.normal(0, 1, shape).astype(np.float32)
    flat = x.reshape(-1)
    special = np.array([np.nan, np.inf, -np.inf, 3e38, -3e38, 1e-45, -0.0], np.float32)
    flat[m.rng.integers(0, flat.size, 7)] = special
    rounding: Dict = {} if m.c.chance(30) else {"rounding": m.c.integer(0, 4)}
    return m.single("quantize", [x], [(dtype, shape)], m.clamp(dtype) | rounding, arrays)


def dequantize(seed: int) -> Single:
    """8-bit values and int32; the difference to the zero point wraps."""
    m = Maker(seed)
    dtype = m.c.pick("int8", "uint8", "int32")
    shape, arrays = _boundary(m, dtype)
    ends = limits(dtype)
    x = m.rng.integers(*ends, shape, endpoint=True).astype(dtype) if dtype == "int32" else m.data(shape, dtype)
    affine: Dict = {"affine": m.c.integer(0, 1)} if dtype != "int32" and m.c.chance(50) else {}
    return m.single("dequantize", [x], [("float32", shape)], affine, arrays)


def dynamic_quantize(seed: int) -> Single:
    """Ranges around zero, on one side of it, and empty."""
    m = Maker(seed)
    shape = tuple(m.size(33) for _ in range(m.c.integer(1, 3)))
    kind = m.c.pick("both", "positive", "negative", "zero", "ties")
    x = m.rng.normal(0, m.c.pick(1e-3, 1.0, 1e4), shape).astype(np.float32)
    x = {"positive": np.abs(x), "negative": -np.abs(x), "zero": x * 0, "both": x}.get(kind, np.round(x) / np.float32(2))
    outputs = [("uint8", shape), ("float32", (1,)), ("uint8", (1,))]
    return m.single("dynamic_quantize", [np.asarray(x, np.float32)], outputs, {})


MOVED = ("int8", "uint8", "int32", "float32")


def _anything(m: Maker, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    return np.frombuffer(m.rng.bytes(prod(shape) * np.dtype(dtype).itemsize), dtype).reshape(shape).copy()


def transpose(seed: int) -> Single:
    """Any permutation of up to six axes."""
    m = Maker(seed)
    rank, dtype = m.c.integer(1, 6), m.c.pick(*MOVED)
    shape = tuple(m.c.integer(1, 5) for _ in range(rank))
    perm = tuple(int(a) for a in m.rng.permutation(rank))
    return m.single("transpose", [_anything(m, shape, dtype)], [(dtype, tuple(shape[a] for a in perm))], {"perm": perm})


def gather(seed: int) -> Single:
    """One list per axis, with repeats, holes and the fill value."""
    m = Maker(seed)
    rank, dtype = m.c.integer(1, 4), m.c.pick(*MOVED)
    shape = tuple(m.c.integer(1, 6) for _ in range(rank))
    out = tuple(m.c.integer(1, 7) for _ in range(rank))
    lists = [m.rng.integers(-1 if m.c.chance(50) else 0, d, n) for d, n in zip(shape, out, strict=True)]
    fill = bit(1.5) if dtype == "float32" else m.point(dtype) if dtype != "int32" else -(2**31)
    index = np.concatenate(lists).astype(np.int64)
    return m.single("gather", [_anything(m, shape, dtype)], [(dtype, out)], {"fill": fill}, {"index": index})


def concat(seed: int) -> Single:
    """Up to five parts along any axis."""
    m = Maker(seed)
    rank, dtype = m.c.integer(1, 4), m.c.pick(*MOVED)
    shape, axis = [m.c.integer(1, 5) for _ in range(rank)], m.c.integer(0, rank - 1)
    lengths = [m.c.integer(1, 4) for _ in range(m.c.integer(1, 5))]
    parts = [_anything(m, (*shape[:axis], n, *shape[axis + 1 :]), dtype) for n in lengths]
    return m.single("concat", parts, [(dtype, (*shape[:axis], sum(lengths), *shape[axis + 1 :]))], {"axis": axis})


def copy(seed: int) -> Single:
    """The same bytes under another shape."""
    m = Maker(seed)
    dtype, one, other = m.c.pick(*MOVED), m.size(33), m.c.integer(1, 5)
    return m.single("copy", [_anything(m, (one, other), dtype)], [(dtype, (other, 1, one))], {})


MAKERS: dict[str, Callable[[int], Single]] = {
    "add_fma": add_fma,
    "add_rescaled": add_rescaled,
    "average_pool": average_pool,
    "average_pool_raw": average_pool_raw,
    "average_pool_scaled": average_pool_scaled,
    "concat": concat,
    "conv2d": conv2d,
    "copy": copy,
    "depthwise_conv2d": depthwise_conv2d,
    "dequantize": dequantize,
    "dynamic_quantize": dynamic_quantize,
    "float_binary": float_binary,
    "float_mean": float_mean,
    "float_softmax": float_softmax,
    "gather": gather,
    "lut": lut,
    "matmul": matmul,
    "max_pool": max_pool,
    "mean": mean,
    "mean_affine": mean_affine,
    "mul": mul,
    "mul_ratio": mul_ratio,
    "quantize": quantize,
    "softmax": softmax,
    "softmax_fixed": softmax_fixed,
    "softmax_reciprocal": softmax_reciprocal,
    "transpose": transpose,
}
