# SPDX-License-Identifier: Apache-2.0
"""Random programs of one step of every kind: sizes around vector lengths, corner data, ties, wrapping accumulators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from q8emu.graph import TensorInfo
from q8emu.numerics import multiplier
from q8emu.numerics.rounding import ROUNDINGS
from q8emu.program import Buffer, Port, Program, Step
from strategies_numbers import RandomChooser, limits, values

SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65)
"""One, the lengths of vectors, and one less and one more."""
Params = Mapping[str, int | tuple[int, ...]]
Dict = dict[str, int | tuple[int, ...]]


@dataclass(frozen=True)
class Single:
    """A program of one step, and its inputs."""

    program: Program
    feeds: Mapping[str, np.ndarray]


class Maker:
    """What the makers draw from."""

    def __init__(self, seed: int) -> None:
        self.c = RandomChooser(seed)
        self.rng = self.c.rng

    def size(self, most: int = 65) -> int:
        """A length around those of vectors."""
        return self.c.pick(*(s for s in SIZES if s <= most))

    def dtype(self) -> str:
        """int8 or uint8."""
        return self.c.pick("int8", "uint8")

    def data(self, shape: Sequence[int], dtype: str) -> np.ndarray:
        """Quantized data, corner cases among them."""
        low, high = limits(dtype)
        kind = self.c.pick("drawn", "drawn", "high", "low")
        if kind == "drawn":
            return values(self.c, tuple(shape), dtype, self.point(dtype))
        return np.full(shape, high if kind == "high" else low, dtype)

    def point(self, dtype: str) -> int:
        """A zero point, often at an end."""
        low, high = limits(dtype)
        return self.c.pick(low, high, 0, self.c.integer(low, high))

    def clamp(self, dtype: str) -> Dict:
        """Clamp bounds: none, or narrower."""
        low, high = limits(dtype)
        if self.c.chance(70):
            return {"qmin": low, "qmax": high}
        ends = sorted((self.c.integer(low, high), self.c.integer(low, high)))
        return {"qmin": ends[0], "qmax": ends[1]}

    def scale(self, size: float) -> np.float32:
        """A scale that brings values of this size into range, a power of two every other time."""
        found = np.float32(self.rng.uniform(30, 300) / max(size, 1e-6))
        return np.float32(2.0 ** np.floor(np.log2(found))) if self.c.chance(50) else found

    def single(
        self,
        kind: str,
        operands: Sequence[np.ndarray],
        outputs: Sequence[tuple[str, tuple[int, ...]]],
        params: Params,
        arrays: Mapping[str, np.ndarray] | None = None,
        constant: Sequence[int] = (),
    ) -> Single:
        """The program; operands whose index is in `constant` are constants of it."""
        buffers = [Buffer(str(a.dtype), a.shape) for a in operands] + [Buffer(d, s) for d, s in outputs]
        count = len(operands)
        infos = [TensorInfo(f"x{i}", b.dtype, b.shape) for i, b in enumerate(buffers[:count])]
        infos += [TensorInfo(f"y{i}", b.dtype, b.shape) for i, b in enumerate(buffers[count:])]
        given = [i for i in range(count) if i not in constant]
        ports = {
            info.name: Port(info, i, tuple(range(len(info.shape))), "node" if i >= count else "", kind)
            for i, info in enumerate(infos)
            if i in given or i >= count
        }
        step = Step(kind, "node", tuple(range(count)), tuple(range(count, len(buffers))), params, dict(arrays or {}))
        program = Program(
            "test",
            tuple(buffers),
            {i: operands[i] for i in constant},
            (step,),
            ports,
            tuple(f"x{i}" for i in given),
            tuple(f"y{i}" for i in range(len(outputs))),
        )
        return Single(program, {f"x{i}": operands[i] for i in given})


def bits(value: np.ndarray | np.floating) -> np.ndarray:
    """Bit patterns of float32."""
    return np.atleast_1d(np.asarray(value, np.float32)).view(np.uint32).copy()


def bit(value: float | np.floating) -> int:
    """Bit pattern of one float32."""
    return int(np.float32(value).view(np.uint32))


def pairs(m: Maker, x_dtype: str, w_dtype: str) -> Dict:
    """Every other time, pairs of products that saturate, where a step may have them."""
    return {"saturates_pairs": 1} if (x_dtype, w_dtype) == ("uint8", "int8") and m.c.chance(50) else {}


def output_stage(m: Maker, depth: int, channels: int, kinds: Sequence[str]) -> tuple[str, Dict, dict[str, np.ndarray]]:
    """dtype, parameters and arrays of what happens to accumulators of this many products."""
    dtype = m.c.pick(*kinds)
    width: Dict = {"accumulator_bits": m.c.integer(16, 32), "overflow": m.c.integer(0, 1)} if m.c.chance(30) else {}
    if dtype == "int32":
        return dtype, width, {}
    size = depth**0.5 * 5000
    if dtype == "float32":
        return dtype, width, {"scale_bits": bits(_scales(m, size, channels))}
    params, arrays = requantization(m, dtype, size, channels)
    return dtype, params | width, arrays


def _scales(m: Maker, size: float, length: int) -> np.ndarray:
    return np.array([m.scale(size * m.rng.uniform(0.3, 3)) for _ in range(length)], np.float32)


def requantization(
    m: Maker, dtype: str, size: float, length: int, *, has_channels: bool = True
) -> tuple[Dict, dict[str, np.ndarray]]:
    """Parameters and arrays of any rule that turns accumulators of this size into quantized values."""
    scales = _scales(m, size, length)
    params: Dict = {"y_zero_point": m.point(dtype), **m.clamp(dtype)}
    rule = m.c.pick("float32", "staged", *multiplier.REQUANTIZE)
    if rule == "float32":
        return params, {"scale_bits": bits(scales)}
    params["requantize"] = multiplier.REQUANTIZE.index(rule)
    if rule == "float64":
        return params, {"scale64_bits": multiplier.f64_bits(scales)}
    if rule == "converted":
        biases = {"bias_bits": bits(m.rng.normal(0, 1 / scales[0], length))} if m.c.chance(60) else {}
        if biases and m.c.chance(50):
            params["bias_scale_bits"] = int(bits(m.rng.uniform(0.5, 2, 1))[0])
        return params, {"scale_bits": bits(scales * m.c.pick(1, 1, 1e8))} | biases
    if m.c.chance(25):
        params["y_zero_point"] = m.c.integer(-1000, 1000)
    if rule == "staged":
        stages = staged_rule(m)
        return params | stages, staged_multipliers(m, scales, powers=stages["first_shift"] == 0)
    if has_channels and rule != "double_rounding" and m.c.chance(50):
        params["double_rounding_from"] = m.c.integer(0, 2 * length)
    pairs = np.array([multiplier.quantize_multiplier(float(s)) for s in scales], np.int32)
    return params, {"multiplier": pairs[:, 0].copy(), "shift": pairs[:, 1].copy()}


def staged_rule(m: Maker) -> Dict:
    """Any stages; the first one takes away at most as many bits as the narrowest multiplier has."""
    last = len(ROUNDINGS) - 1
    return {
        "first_shift": m.c.pick(0, m.c.integer(1, 7)),
        "first_rounding": m.c.integer(0, last),
        "rounding": m.c.integer(0, last),
        "saturates": m.c.integer(0, 1),
    }


def staged_multipliers(m: Maker, scales: np.ndarray, *, powers: bool) -> dict[str, np.ndarray]:
    """Multipliers of any width, or powers of two; some factors are so large that they shift left."""
    form = multiplier.Form(m.c.pick(0 if powers else 8, 8, 16, m.c.integer(8, 32)), snap="nearest")
    factors = [float(s) * (2.0 ** m.c.integer(0, 30) if m.c.chance(10) else 1.0) for s in scales]
    pairs = [multiplier.quantize_multiplier(min(f, 2.0**28), form) for f in factors]
    return {"multiplier": np.array([p[0] for p in pairs], np.int32), "shift": np.array([p[1] for p in pairs], np.int32)}


def bias(m: Maker, channels: int) -> dict[str, np.ndarray]:
    """A bias or none; some of it makes accumulators wrap."""
    if m.c.chance(30):
        return {}
    largest = m.c.pick(100, 100_000, 2**31 - 1)
    return {"bias": m.rng.integers(-largest, largest, channels, dtype=np.int32, endpoint=True)}


def window(m: Maker, image: Sequence[int], kernel: list[int], *, pool: bool = False) -> tuple[Dict, list[int]]:
    """strides, dilations, pads and the shape of the output; a pool's window always touches the image."""
    strides = [m.c.pick(1, 1, 2, 3) for _ in image]
    dilations = [m.c.pick(1, 1, 1, 2) for _ in image]
    pads = [m.c.integer(0, min(kernel[a % 2] - 1, 2) if pool else 3) for a in range(4)]
    if pool:
        dilations = [1, 1]
    for axis in (0, 1):
        room = image[axis] + pads[axis] + pads[axis + 2]
        if (kernel[axis] - 1) * dilations[axis] + 1 > room:
            kernel[axis], dilations[axis] = 1, 1
            pads[axis] = pads[axis + 2] = 0
    out = [(image[a] + pads[a] + pads[a + 2] - (kernel[a] - 1) * dilations[a] - 1) // strides[a] + 1 for a in (0, 1)]
    return {"strides": tuple(strides), "dilations": tuple(dilations), "pads": tuple(pads)}, out


def conv2d(seed: int, *, depthwise: bool = False) -> Single:
    """conv2d and depthwise_conv2d, with constant and run-time zero points of x."""
    m = Maker(seed)
    channels = m.size(33) if depthwise or m.c.chance(80) else m.c.pick(128, 300)
    image, kernel = [m.c.integer(1, 6), m.c.integer(1, 7)], [m.c.pick(1, 3, 2, 5), m.c.pick(1, 3, 2, 5)]
    params, out = window(m, image, kernel)
    group = channels if depthwise else m.c.pick(*[g for g in (1, 1, 2, 4, channels) if channels % g == 0])
    per_group = channels // group
    filters = group * (m.c.pick(1, 1, 2, 3) if group > 1 else m.size(65))
    x_dtype, w_dtype = m.dtype(), m.dtype()
    batch = m.c.integer(1, 3)
    operands = [m.data((batch, *image, channels), x_dtype), m.data((filters, *kernel, per_group), w_dtype)]
    if m.c.chance(25):
        operands.append(np.array([m.point(x_dtype)], x_dtype))
    else:
        params["x_zero_point"] = m.point(x_dtype)
    if not depthwise:
        params["group"] = group
    points = (
        m.rng.integers(*limits(w_dtype), filters, endpoint=True)
        if m.c.chance(30)
        else [m.c.pick(0, m.point(w_dtype))] * filters
    )
    large = batch * prod(out) * filters > 4000
    dtype, more, arrays = output_stage(
        m, per_group * prod(kernel), filters, ("int32",) if large else ("int8", "uint8", "int32", "float32")
    )
    arrays |= {"w_zero_point": np.asarray(points, np.int32)} | bias(m, filters)
    kind = "depthwise_conv2d" if depthwise else "conv2d"
    more |= pairs(m, x_dtype, w_dtype) if not depthwise and not more.get("overflow") else {}
    return m.single(kind, operands, [(dtype, (batch, *out, filters))], {**params, **more}, arrays, constant=(1,))


def depthwise_conv2d(seed: int) -> Single:
    """Each group has one input channel."""
    return conv2d(seed, depthwise=True)


def matmul(seed: int) -> Single:
    """Matrices and batches, b constant or not, zero points constant or not."""
    m = Maker(seed)
    rows, columns = m.size(17), m.size(65)
    depth = m.c.pick(*SIZES, 300, 1031)
    batch = m.c.pick((), (1,), (2,), (2, 3))
    a_dtype, b_dtype = m.dtype(), m.dtype()
    a_batch, b_batch = (tuple(1 if m.c.chance(25) else d for d in batch) for _ in range(2))
    operands = [m.data((*a_batch, rows, depth), a_dtype), m.data((*b_batch, depth, columns), b_dtype)]
    out = tuple(max(i, j) for i, j in zip(a_batch, b_batch, strict=True))
    params: Dict = {"a_zero_point": m.point(a_dtype)}
    many = columns if m.c.chance(30) else 1
    arrays = {"b_zero_point": m.rng.integers(*limits(b_dtype), many, endpoint=True).astype(np.int32)}
    for side, dtype in (("a", a_dtype), ("b", b_dtype)):
        has = int(m.c.chance(25))
        params[f"has_{side}_zero_point_input"] = has
        if has:
            operands.append(np.array([m.point(dtype)], dtype))
    large = prod(out) * rows * columns > 4000
    kinds = ("int32",) if large else ("int8", "uint8", "int32", "float32")
    dtype, more, stage = output_stage(m, depth, columns if m.c.chance(50) else 1, kinds)
    added = bias(m, columns)
    if added:
        tall = rows if m.c.chance(20) else 1
        added = {"bias": np.resize(added["bias"], (tall, columns))}
    constant = (1,) if m.c.chance(60) else ()
    more |= pairs(m, a_dtype, b_dtype) if not more.get("overflow") else {}
    return m.single(
        "matmul", operands, [(dtype, (*out, rows, columns))], {**params, **more}, arrays | stage | added, constant
    )


def pair(m: Maker) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Two shapes of one rank that broadcast, and the result."""
    shape = tuple(m.c.pick(1, 2, 3, m.size()) for _ in range(m.c.integer(1, 4)))
    if prod(shape) > 5000:
        shape = shape[-2:]
    a, b = (tuple(1 if m.c.chance(20) else d for d in shape) for _ in range(2))
    return a, b, tuple(max(i, j) for i, j in zip(a, b, strict=True))


def add_fma(seed: int) -> Single:
    """Ratios that are powers of two or anything; the constant moves one of the sums onto a tie, or next to it."""
    m = Maker(seed)
    a, b, out = pair(m)
    dtype = m.dtype()
    x, y = m.data(a, dtype), m.data(b, dtype)
    ratios = [2.0 ** m.c.integer(-6, 2) if m.c.chance(40) else float(m.rng.uniform(0.01, 3)) for _ in range(2)]
    one, other = (np.float32(r) for r in ratios)
    total = float(one) * float(m.rng.choice(x.reshape(-1))) + float(other) * float(m.rng.choice(y.reshape(-1)))
    fixed = (
        np.float32(m.c.integer(*limits(dtype)) + 0.5 - total)
        if m.c.chance(70)
        else np.float32(m.rng.uniform(-300, 300))
    )
    params = {"a_ratio_bits": bit(one), "b_ratio_bits": bit(other), "fixed_bits": bit(fixed)}
    return m.single("add_fma", [x, y], [(dtype, out)], params | m.clamp(dtype))


def mul_ratio(seed: int) -> Single:
    """Ratios that are powers of two, or bring one of the products onto a tie, or anything."""
    m = Maker(seed)
    a, b, out = pair(m)
    dtype = m.dtype()
    points = {side: m.point(dtype) for side in "aby"}
    x, y = m.data(a, dtype), m.data(b, dtype)
    product = (int(m.rng.choice(x.reshape(-1))) - points["a"]) * (int(m.rng.choice(y.reshape(-1))) - points["b"])
    power, other = 2.0 ** m.c.integer(-14, 0), float(m.rng.uniform(1e-5, 0.1))
    ratio = m.c.pick(power, other, m.c.pick(1e5, 3e38), *[(m.c.integer(0, 255) + 0.5) / max(abs(product), 1)] * 2)
    params = {f"{side}_zero_point": point for side, point in points.items()} | {"ratio_bits": bit(ratio)}
    params |= {"fused": 1} if m.c.chance(50) else {}
    return m.single("mul_ratio", [x, y], [(dtype, out)], params | m.clamp(dtype))


def float_binary(seed: int) -> Single:
    """Add, sub and mul in float32; three dtypes, three scales."""
    m = Maker(seed)
    a, b, out = pair(m)
    dtypes = [m.dtype() for _ in range(3)]
    params: dict[str, int | tuple[int, ...]] = {"operator": m.c.integer(0, 2)}
    for side, dtype in zip("aby", dtypes, strict=True):
        params[f"{side}_zero_point"] = m.point(dtype)
        scale = 2.0 ** m.c.integer(-6, 0) if m.c.chance(50) else m.rng.uniform(0.01, 1)
        params[f"{side}_scale_bits"] = bit(scale)
    if m.c.chance(50):
        params["rounding"] = m.c.pick(0, 2, 4, 5)
    operands = [m.data(a, dtypes[0]), m.data(b, dtypes[1])]
    return m.single("float_binary", operands, [(dtypes[2], out)], params | m.clamp(dtypes[2]))


def lut(seed: int) -> Single:
    """Any table, from either dtype to either."""
    m = Maker(seed)
    shape = tuple(m.size() for _ in range(m.c.integer(1, 3)))
    dtype = m.dtype()
    table = m.rng.integers(*limits(dtype), 256, endpoint=True).astype(dtype)
    return m.single("lut", [m.data(shape[:2], m.dtype())], [(dtype, shape[:2])], {}, {"table": table})
