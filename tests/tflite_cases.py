# SPDX-License-Identifier: Apache-2.0
"""Random TFLite files of one operator each: legal, with ties, saturations and extremes among the numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from q8emu.readers import tflite_schema as schema
from tflite_draw import Case as Case
from tflite_draw import Draw as Draw
from tflite_draw import Rng
from tflite_files import Options


def _image(d: Draw, channels: int) -> tuple[int, int, int, int]:
    return (d.integer(1, 2), d.integer(1, 9), d.integer(1, 9), channels)


def _window(
    d: Draw, image: Sequence[int], kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[int, list[int]]:
    """Padding, and the height and width of the output; SAME where VALID has no room."""
    spans = [(k - 1) * r + 1 for k, r in zip(kernel, dilations, strict=True)]
    fits = all(s <= i for s, i in zip(spans, image, strict=True))
    if fits and d.integer(0, 1):
        return schema.VALID, [(i - s) // t + 1 for i, s, t in zip(image, spans, strides, strict=True)]
    return schema.SAME, [-(-i // t) for i, t in zip(image, strides, strict=True)]


def _weights(
    d: Draw, shape: Sequence[int], axis: int, step: float, depth: int, *, bias: bool = False
) -> tuple[list[int], float]:
    """Indices of weights and a bias, sometimes none; the scale of an output that spreads over the range."""
    count = shape[axis]
    many = bool(d.integer(0, 1)) and d.dtype == "int8"
    scales = [d.scale(-10, -4) for _ in range(count if many else 1)]
    values = d.rng.integers(d.least + 1, d.least + 256, tuple(shape), dtype=d.dtype)
    points = [0] * len(scales) if d.dtype == "int8" else [d.integer(1, 255)]
    w = d.file.tensor("w", d.dtype, shape, scales, points, axis, values)
    found = [w]
    largest = max(scales) * step
    products = [float(np.float32(step) * np.float32(s)) for s in scales]  # what a converter writes for the bias
    if bias or d.integer(0, 3):
        size = 2**31 - 1 if d.integer(0, 19) == 0 else int(d.rng.choice([100, 10_000, 100_000]))
        values = d.rng.integers(-size, size, count, dtype=np.int32)
        found.append(d.file.tensor("b", "int32", (count,), products, [0] * len(products), data=values))
    return found, d.near(largest * np.sqrt(depth) * 5000 / 60, float(d.rng.choice([1, 4, 12], p=[0.7, 0.2, 0.1])))


def _ties(d: Draw, shape: Sequence[int], axis: int, step: float) -> tuple[list[int], float]:
    """Weights of 1 and biases at or next to ties of the output, for an input that is its zero point everywhere."""
    count = shape[axis]
    scales = [d.scale(-10, -4) for _ in range(count if d.integer(0, 1) and d.dtype == "int8" else 1)]
    w = d.file.tensor(
        "w", d.dtype, shape, scales, [0 if d.dtype == "int8" else 2] * len(scales), axis, np.ones(tuple(shape), d.dtype)
    )
    y_scale = d.near(step * max(scales) * 2.0 ** d.integer(5, 22))
    factors = np.float64(step) * np.array(scales, np.float64) / np.float64(np.float32(y_scale))
    wanted = (d.rng.integers(-140, 140, count) + 0.5) / factors
    values = np.clip(np.rint(wanted) + d.rng.integers(-1, 2, count), -(2**31), 2**31 - 1).astype(np.int32)
    products = [float(np.float32(step) * np.float32(s)) for s in scales]
    return [w, d.file.tensor("b", "int32", (count,), products, [0] * len(products), data=values)], y_scale


def _resting(d: Draw, shape: Sequence[int]) -> int:
    """An input that is its zero point everywhere; in further sets it lies a few steps beside."""
    x = d.input(shape)
    point, values = d.file.tensors[x].zero_point[0], d.feeds["x0"]
    beside = np.clip(point + d.rng.integers(-3, 4, values.shape), d.least, d.least + 255)
    beside[: shape[0]] = point
    d.feeds["x0"] = beside.astype(d.dtype)
    return x


def conv_2d_ties(d: Draw) -> Case:
    """CONV_2D of one pixel, its biases at ties."""
    units = d.integer(1, 200)
    x = _resting(d, (1, 1, 1, 1))
    more, scale = _ties(d, (units, 1, 1, 1), 0, d.step(x))
    f = schema.Conv2D
    ones: Options = dict.fromkeys((f.STRIDE_W, f.STRIDE_H, f.DILATION_W, f.DILATION_H), ("Int32", 1))
    return d.case("CONV_2D", [x, *more], d.output((1, 1, 1, units), scale), ones)


def depthwise_conv_2d_ties(d: Draw) -> Case:
    """DEPTHWISE_CONV_2D of one pixel, its biases at ties."""
    units = d.integer(1, 200)
    x = _resting(d, (1, 1, 1, units))
    more, scale = _ties(d, (1, 1, 1, units), 3, d.step(x))
    f = schema.DepthwiseConv2D
    fields = (f.STRIDE_W, f.STRIDE_H, f.DEPTH_MULTIPLIER, f.DILATION_W, f.DILATION_H)
    return d.case(
        "DEPTHWISE_CONV_2D", [x, *more], d.output((1, 1, 1, units), scale), dict.fromkeys(fields, ("Int32", 1))
    )


def fully_connected_ties(d: Draw) -> Case:
    """FULLY_CONNECTED of one value, its biases at ties."""
    units = d.integer(1, 200)
    x = _resting(d, (1, 1))
    more, scale = _ties(d, (units, 1), 0, d.step(x))
    return d.case("FULLY_CONNECTED", [x, *more], d.output((1, units), scale))


def conv_2d(d: Draw) -> Case:
    """CONV_2D, sometimes with groups."""
    group = d.integer(1, 3) if d.integer(0, 4) == 0 else 1
    channels, units = group * d.integer(1, 20), group * d.integer(1, 20)
    image = _image(d, channels)
    kernel, strides = [d.integer(1, 4), d.integer(1, 4)], [d.integer(1, 3), d.integer(1, 3)]
    dilations = [d.integer(1, 2), d.integer(1, 2)] if d.integer(0, 3) == 0 else [1, 1]
    padding, size = _window(d, image[1:3], kernel, strides, dilations)
    x = d.input(image)
    depth = kernel[0] * kernel[1] * channels // group
    more, scale = _weights(d, (units, *kernel, channels // group), 0, d.step(x), depth, bias=True)
    y = d.output((image[0], *size, units), scale)
    f = schema.Conv2D
    options: Options = {
        f.PADDING: ("Int8", padding),
        f.STRIDE_W: ("Int32", strides[1]),
        f.STRIDE_H: ("Int32", strides[0]),
        f.ACTIVATION: ("Int8", d.activation()),
        f.DILATION_W: ("Int32", dilations[1]),
        f.DILATION_H: ("Int32", dilations[0]),
    }
    return d.case("CONV_2D", [x, *more], y, options)


def depthwise_conv_2d(d: Draw) -> Case:
    """DEPTHWISE_CONV_2D with a multiplier."""
    channels, multiplier = d.integer(1, 40), int(d.rng.choice([1, 1, 1, 2, 3]))
    image = _image(d, channels)
    kernel, strides = [d.integer(1, 4), d.integer(1, 4)], [d.integer(1, 3)] * 2
    dilations = [d.integer(1, 2), d.integer(1, 2)] if d.integer(0, 3) == 0 else [1, 1]
    padding, size = _window(d, image[1:3], kernel, strides, dilations)
    x = d.input(image)
    more, scale = _weights(d, (1, *kernel, channels * multiplier), 3, d.step(x), kernel[0] * kernel[1], bias=True)
    y = d.output((image[0], *size, channels * multiplier), scale)
    f = schema.DepthwiseConv2D
    options: Options = {
        f.PADDING: ("Int8", padding),
        f.STRIDE_W: ("Int32", strides[1]),
        f.STRIDE_H: ("Int32", strides[0]),
        f.DEPTH_MULTIPLIER: ("Int32", multiplier),
        f.ACTIVATION: ("Int8", d.activation()),
        f.DILATION_W: ("Int32", dilations[1]),
        f.DILATION_H: ("Int32", dilations[0]),
    }
    return d.case("DEPTHWISE_CONV_2D", [x, *more], y, options)


def fully_connected(d: Draw) -> Case:
    """FULLY_CONNECTED, with one to four axes before the product."""
    units, depth = d.integer(1, 40), d.integer(1, 200)
    keep = bool(d.integer(0, 1))
    shape = [*(d.integer(1, 3) for _ in range(d.integer(1, 3))), depth]
    x = d.input(shape)
    more, scale = _weights(d, (units, depth), 0, d.step(x), depth)
    rows = int(np.prod(shape[:-1]))
    y = d.output([*shape[:-1], units] if keep else (rows, units), scale)
    f = schema.FullyConnected
    options: Options = {f.ACTIVATION: ("Int8", d.activation()), f.KEEP_NUM_DIMS: ("Bool", keep)}
    return d.case("FULLY_CONNECTED", [x, *more], y, options)


def _binary(operator: str) -> Callable[[Draw], Case]:
    def make(d: Draw) -> Case:
        shape = [d.integer(1, 5) for _ in range(d.integer(1, 4))]
        other = [1 if d.integer(0, 3) == 0 else n for n in shape] if d.integer(0, 1) else list(shape)
        a = d.input(shape)
        b = d.input(other, None if d.integer(0, 3) else d.step(a))
        size = d.step(a) * d.step(b) * 60 if operator == "MUL" else max(d.step(a), d.step(b))
        order = [a, b] if d.integer(0, 1) else [b, a]
        y = d.output(shape, d.near(size * (2.0**12 if d.integer(0, 7) == 0 else 1)))  # so large: a delegate leaves it
        return d.case(operator, order, y, {schema.ACTIVATION: ("Int8", d.activation())})

    return make


def _pool(operator: str) -> Callable[[Draw], Case]:
    def make(d: Draw) -> Case:
        image = _image(d, d.integer(1, 20))
        kernel, strides = [d.integer(1, 4), d.integer(1, 4)], [d.integer(1, 3), d.integer(1, 3)]
        if d.integer(0, 3) == 0:
            kernel = list(image[1:3])
        padding, size = _window(d, image[1:3], kernel, strides, (1, 1))
        x = d.input(image)
        f = schema.Pool2D
        options: Options = {
            f.PADDING: ("Int8", padding),
            f.STRIDE_W: ("Int32", strides[1]),
            f.STRIDE_H: ("Int32", strides[0]),
            f.FILTER_WIDTH: ("Int32", kernel[1]),
            f.FILTER_HEIGHT: ("Int32", kernel[0]),
            f.ACTIVATION: ("Int8", d.activation()),
        }
        return d.case(operator, [x], d.like(x, (image[0], *size, image[3])), options)

    return make


def mean(d: Draw) -> Case:
    """MEAN over one or more axes, often over the height and width of an image."""
    shape = [d.integer(1, 6) for _ in range(d.integer(1, 4))]
    axes = sorted({d.integer(0, len(shape) - 1) for _ in range(d.integer(1, 3))})
    if d.integer(0, 1):
        shape, axes = list(_image(d, d.integer(1, 40))), [1, 2]
    keep = bool(d.integer(0, 2))
    x = d.input(shape)
    given = d.constant([a - len(shape) if d.integer(0, 3) == 0 else a for a in axes])
    out = [1 if i in axes else n for i, n in enumerate(shape) if keep or i not in axes]
    y = d.output(out, d.near(d.step(x)))
    return d.case("MEAN", [x, given], y, {schema.KEEP_DIMS: ("Bool", keep)})


def softmax(d: Draw) -> Case:
    """SOFTMAX over the last axis."""
    shape = [*(d.integer(1, 4) for _ in range(d.integer(1, 2))), d.integer(1, 40)]
    x = d.input(shape, d.scale(-7, 1))
    return d.case("SOFTMAX", [x], d.output(shape, 2.0**-8, d.least), {schema.BETA: ("Float32", 1.0)})


def _function(operator: str, scale: float = 0, point: int | None = None) -> Callable[[Draw], Case]:
    def make(d: Draw) -> Case:
        count = 256 + d.integer(0, 20)  # every value, and some again where a vector kernel has its tail
        x = d.input([count], d.scale(-8, 4 if operator in ("HARD_SWISH", "LOGISTIC", "TANH") else -2))
        every = np.resize(np.arange(256) + d.least, count).astype(d.dtype)
        d.feeds["x0"] = every if d.sets == 1 else d.each_set(lambda: d.rng.permutation(every))
        spread = (
            2 if d.integer(0, 7) or operator == "HARD_SWISH" else 10
        )  # so wide that a delegate leaves the operator to others
        y = d.output([count], scale or d.near(d.step(x), spread), None if point is None else d.least + 128 + point)
        options: Options = {}
        if operator == "LEAKY_RELU":
            options = {schema.ALPHA: ("Float32", float(d.rng.choice([0.1, 0.01, 0.5, 0.25, d.rng.uniform(0, 1)])))}
        return d.case(operator, [x], y, options)

    return make


def quantize(d: Draw) -> Case:
    """QUANTIZE of floats, ties and values beyond the range among them."""
    shape = [d.integer(1, 5), d.integer(1, 40)]
    step = d.scale()

    def values() -> np.ndarray:
        real = d.rng.normal(size=shape) * step * 70
        return np.rint(real / step * 2) / 2 * step if d.integer(0, 1) else real

    d.feeds["x0"] = d.each_set(values).astype(np.float32)
    d.file.inputs.append(d.file.tensor("x0", "float32", shape))
    return d.case("QUANTIZE", [0], d.output(shape, step))


def dequantize(d: Draw) -> Case:
    """DEQUANTIZE of int8."""
    shape = [d.integer(1, 5), d.integer(1, 40)]
    x = d.input(shape)
    d.file.outputs.append(d.file.tensor("y", "float32", shape))
    return d.case("DEQUANTIZE", [x], d.file.outputs[0])


def reshape(d: Draw) -> Case:
    """RESHAPE."""
    shape = [d.integer(1, 4) for _ in range(3)]
    x, target = d.input(shape), [shape[0] * shape[1], shape[2]]
    return d.case("RESHAPE", [x, d.constant(target)], d.like(x, target))


def pad(d: Draw) -> Case:
    """PAD with the zero point."""
    shape = [d.integer(1, 4) for _ in range(d.integer(1, 4))]
    pads = [[d.integer(0, 2), d.integer(0, 2)] for _ in shape]
    x = d.input(shape)
    return d.case("PAD", [x, d.constant(pads)], d.like(x, [a + n + b for n, (a, b) in zip(shape, pads, strict=True)]))


def padv2(d: Draw) -> Case:
    """PADV2 with any value."""
    shape = [d.integer(1, 4) for _ in range(d.integer(1, 4))]
    pads = [[d.integer(0, 2), d.integer(0, 2)] for _ in shape]
    x = d.input(shape)
    t = d.file.tensors[x]
    fill = d.file.tensor(
        "fill", d.dtype, (1,), t.scale, t.zero_point, data=d.rng.integers(d.least, d.least + 256, 1, dtype=d.dtype)
    )
    y = d.like(x, [a + n + b for n, (a, b) in zip(shape, pads, strict=True)])
    return d.case("PADV2", [x, d.constant(pads), fill], y)


def resize_nearest_neighbor(d: Draw) -> Case:
    """RESIZE_NEAREST_NEIGHBOR, larger and smaller."""
    image = _image(d, d.integer(1, 5))
    size = [d.integer(1, 20), d.integer(1, 20)]
    x = d.input(image)
    corners, centers = [(False, False), (True, False), (False, True)][d.integer(0, 2)]
    f = schema.ResizeNearestNeighbor
    options: Options = {f.ALIGN_CORNERS: ("Bool", corners), f.HALF_PIXEL_CENTERS: ("Bool", centers)}
    y = d.like(x, (image[0], *size, image[3]))
    return d.case("RESIZE_NEAREST_NEIGHBOR", [x, d.constant(size)], y, options)


def concatenation(d: Draw) -> Case:
    """CONCATENATION of operands with the same parameters."""
    shape = [d.integer(1, 4) for _ in range(d.integer(1, 4))]
    axis = d.integer(0, len(shape) - 1)
    step, point = d.scale(), d.point()
    shapes = [[d.integer(1, 4) if i == axis else n for i, n in enumerate(shape)] for _ in range(d.integer(1, 3))]
    xs = [d.input(each, step, point) for each in shapes]
    total = sum(d.file.tensors[i].shape[axis] for i in xs)
    y = d.like(xs[0], [total if i == axis else n for i, n in enumerate(shape)])
    options: Options = {schema.Concatenation.AXIS: ("Int32", axis - (len(shape) if d.integer(0, 1) else 0))}
    return d.case("CONCATENATION", xs, y, options)


def transpose(d: Draw) -> Case:
    """TRANSPOSE."""
    shape = [d.integer(1, 4) for _ in range(d.integer(1, 4))]
    perm = [int(p) for p in d.rng.permutation(len(shape))]
    x = d.input(shape)
    return d.case("TRANSPOSE", [x, d.constant(perm)], d.like(x, [shape[p] for p in perm]))


def strided_slice(d: Draw) -> Case:
    """STRIDED_SLICE with masks and negative strides."""
    shape = [d.integer(1, 6) for _ in range(d.integer(1, 4))]
    bounds, masks, out = [], [0, 0, 0], []
    for axis, n in enumerate(shape):
        if d.integer(0, 4) == 0:
            bounds.append((d.integer(-n, n - 1), 0, 1))
            masks[2] |= 1 << axis
            continue
        stride = int(d.rng.choice([1, 1, 2, -1, -2]))
        begin, end = d.integer(-n, n), d.integer(-n, n)
        no_begin, no_end = d.integer(0, 1), d.integer(0, 1)
        kept = range(*slice(None if no_begin else begin, None if no_end else end, stride).indices(n))
        if len(kept) == 0:
            no_begin = no_end = 1
            kept = range(0, n, stride) if stride > 0 else range(n - 1, -1, stride)
        masks[0] |= no_begin << axis
        masks[1] |= no_end << axis
        bounds.append((begin, end, stride))
        out.append(len(kept))
    x = d.input(shape)
    given = [d.constant([b[i] for b in bounds]) for i in range(3)]
    f = schema.StridedSlice
    fields = (f.BEGIN_MASK, f.END_MASK, f.SHRINK_AXIS_MASK)
    options: Options = {field: ("Int32", mask) for field, mask in zip(fields, masks, strict=True)}
    return d.case("STRIDED_SLICE", [x, *given], d.like(x, out), options)


def expand_dims(d: Draw) -> Case:
    """EXPAND_DIMS."""
    shape = [d.integer(1, 4) for _ in range(d.integer(1, 3))]
    axis = d.integer(0, len(shape))
    x = d.input(shape)
    return d.case("EXPAND_DIMS", [x, d.constant([axis])], d.like(x, [*shape[:axis], 1, *shape[axis:]]))


def squeeze(d: Draw) -> Case:
    """SQUEEZE of every axis of length 1."""
    shape = [d.integer(1, 3) for _ in range(d.integer(1, 4))]
    x = d.input(shape)
    return d.case("SQUEEZE", [x], d.like(x, [n for n in shape if n > 1]))


CASES: dict[str, Callable[[Draw], Case]] = {
    "ADD": _binary("ADD"),
    "AVERAGE_POOL_2D": _pool("AVERAGE_POOL_2D"),
    "CONCATENATION": concatenation,
    "CONV_2D": conv_2d,
    "CONV_2D ties": conv_2d_ties,
    "DEPTHWISE_CONV_2D": depthwise_conv_2d,
    "DEPTHWISE_CONV_2D ties": depthwise_conv_2d_ties,
    "DEQUANTIZE": dequantize,
    "EXPAND_DIMS": expand_dims,
    "FULLY_CONNECTED": fully_connected,
    "FULLY_CONNECTED ties": fully_connected_ties,
    "HARD_SWISH": _function("HARD_SWISH"),
    "LEAKY_RELU": _function("LEAKY_RELU"),
    "LOGISTIC": _function("LOGISTIC", 2.0**-8, -128),
    "MAX_POOL_2D": _pool("MAX_POOL_2D"),
    "MEAN": mean,
    "MUL": _binary("MUL"),
    "PAD": pad,
    "PADV2": padv2,
    "QUANTIZE": quantize,
    "QUANTIZE int8": _function("QUANTIZE"),
    "RELU": _function("RELU"),
    "RELU6": _function("RELU6"),
    "RESHAPE": reshape,
    "RESIZE_NEAREST_NEIGHBOR": resize_nearest_neighbor,
    "SOFTMAX": softmax,
    "SQUEEZE": squeeze,
    "STRIDED_SLICE": strided_slice,
    "SUB": _binary("SUB"),
    "TANH": _function("TANH", 2.0**-7, 0),
    "TRANSPOSE": transpose,
}


# The same operators on uint8, whose weights have a zero point.
UINT8 = [f"{name} uint8" for name in CASES if name != "QUANTIZE int8"]


def case(kind: str, rng: Rng) -> Case:
    """A random case of one operator."""
    name = kind.removesuffix(" uint8")
    return CASES[name](Draw(rng, "int8" if name == kind else "uint8"))
