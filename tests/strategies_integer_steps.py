# SPDX-License-Identifier: Apache-2.0
"""Random programs of one step, continued: the integer rules for sums, products, pools and softmax."""

from __future__ import annotations

import numpy as np

from q8emu.numerics import fixed_point
from q8emu.numerics.rounding import ROUNDINGS
from strategies_numbers import limits
from strategies_steps import Dict, Maker, Single, bit, bits, pair, requantization, window


def add_rescaled(seed: int) -> Single:
    """Tables of any int32, so that sums wrap; or of products by a multiplier, one entry off among them."""
    m = Maker(seed)
    a, b, out = pair(m)
    dtypes = [m.dtype() for _ in range(3)]
    largest = m.c.pick(1000, 2**20, 2**31 - 1)
    params, arrays = requantization(m, dtypes[2], largest, 1, has_channels=False)
    is_drawn = m.c.chance(30)
    tables = {
        f"{side}_rescaled": m.rng.integers(-largest, largest, 256).astype(np.int32)
        if is_drawn
        else _products(m, dtype, largest)
        for side, dtype in zip("ab", dtypes, strict=False)
    }
    operands = [m.data(a, dtypes[0]), m.data(b, dtypes[1])]
    return m.single("add_rescaled", operands, [(dtypes[2], out)], params, arrays | tables)


def _products(m: Maker, dtype: str, largest: int) -> np.ndarray:
    """int32[256]: x - zero point times a factor of either sign, rounded once or twice."""
    first, second = m.c.pick(*ROUNDINGS), m.c.pick(*ROUNDINGS)
    bits, rest, factor = m.c.integer(0, 40), m.c.integer(0, 6), m.rng.uniform(-largest, largest) / 256
    codes = np.arange(256, dtype=np.uint8).view(dtype).tolist()
    multiplier, zero_point = round(factor * 2.0 ** (bits + rest)), m.point(dtype)
    values = [ROUNDINGS[second](ROUNDINGS[first]((c - zero_point) * multiplier, bits), rest) for c in codes]
    table = np.clip(values, -(2**31), 2**31 - 1).astype(np.int32)
    if m.c.chance(10):
        table[m.c.integer(0, 255)] ^= 1
    return table


def mul(seed: int) -> Single:
    """Products of two dtypes, requantized to a third."""
    m = Maker(seed)
    a, b, out = pair(m)
    dtypes = [m.dtype() for _ in range(3)]
    params, arrays = requantization(m, dtypes[2], 10_000, 1, has_channels=False)
    points: Dict = {f"{side}_zero_point": m.point(dtype) for side, dtype in zip("ab", dtypes, strict=False)}
    return m.single("mul", [m.data(a, dtypes[0]), m.data(b, dtypes[1])], [(dtypes[2], out)], params | points, arrays)


def average_pool_raw(seed: int) -> Single:
    """Every window touches the image."""
    m = Maker(seed)
    image, kernel = [m.c.integer(1, 7), m.c.integer(1, 7)], [m.c.integer(1, 4), m.c.integer(1, 4)]
    params, out = window(m, image, kernel, pool=True)
    dtype, channels, batch = m.dtype(), m.size(33), m.c.integer(1, 2)
    x = m.data((batch, *image, channels), dtype)
    params |= {"kernel": tuple(kernel), **m.clamp(dtype)}
    if m.c.integer(0, 1):
        params |= {"x_zero_point": m.point(dtype), "division": m.c.integer(0, 1)}
    return m.single("average_pool_raw", [x], [(dtype, (batch, *out, channels))], params)


def average_pool_scaled(seed: int) -> Single:
    """Every rule, ties by factors that are powers of two, all or some channels."""
    m = Maker(seed)
    image, kernel = [m.c.integer(1, 7), m.c.integer(1, 7)], [m.c.integer(1, 4), m.c.integer(1, 4)]
    params, out = window(m, image, kernel, pool=True)
    dtype, channels, batch = m.dtype(), m.size(33), m.c.integer(1, 2)
    x = m.data((batch, *image, channels), dtype)
    factor = m.c.pick(1 / (kernel[0] * kernel[1]), 0.25, float(m.rng.uniform(0.01, 2)), m.c.pick(1e7, 1e9, 3e38))
    params |= {
        "kernel": tuple(kernel),
        "x_zero_point": m.point(dtype),
        "y_zero_point": m.point(dtype),
        "factor_bits": bit(factor),
        "rounding": m.c.integer(0, 2),
        **m.clamp(dtype),
    }
    if m.c.chance(50):
        params["inside_from"] = m.c.integer(0, channels + 1)
    return m.single("average_pool_scaled", [x], [(dtype, (batch, *out, channels))], params)


def softmax_fixed(seed: int) -> Single:
    """The tables of real scales, rows of every length, long ones whose sum has no headroom among them."""
    m = Maker(seed)
    shape = (m.c.integer(1, 3), m.c.pick(1, m.size(), 600, 4095), m.c.pick(1, 1, 2))
    x_dtype, dtype = m.dtype(), m.dtype()
    low, high = limits(dtype)
    table = np.array(fixed_point.softmax_table(float(np.exp2(m.rng.uniform(-12, 2)))), np.int32)
    return m.single(
        "softmax_fixed", [m.data(shape, x_dtype)], [(dtype, shape)], {"qmin": low, "qmax": high}, {"table": table}
    )


def softmax_reciprocal(seed: int) -> Single:
    """A table that ends with 1, rows of every length."""
    m = Maker(seed)
    shape = (m.c.integer(1, 3), m.c.pick(1, m.size(), 300), m.c.pick(1, 1, 2))
    x_dtype, dtype = m.dtype(), m.dtype()
    table = np.exp(np.arange(-255, 1) * np.exp2(m.rng.uniform(-12, 2))).astype(np.float32)
    return m.single(
        "softmax_reciprocal", [m.data(shape, x_dtype)], [(dtype, shape)], m.clamp(dtype), {"table": bits(table)}
    )
