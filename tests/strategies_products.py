# SPDX-License-Identifier: Apache-2.0
"""Generators of products: Conv, MatMul, Gemm in both spellings, and the integer operators with run-time zero points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from strategies_builder import MICROSOFT, ModelBuilder, Tensor, evaluate
from strategies_functions import activated
from strategies_numbers import Chooser, limits, scale, values, zero_point


@dataclass(frozen=True)
class Weights:
    """A constant operand: integers, their scale and zero point (one or one per channel), the channels' axis."""

    values: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int

    @property
    def dtype(self) -> str:
        """int8 or uint8."""
        return str(self.values.dtype)

    def along(self, per_channel: np.ndarray) -> np.ndarray:
        """Per-channel numbers shaped to broadcast against the values."""
        rank = self.values.ndim
        return (
            per_channel.reshape([-1 if a == self.axis % rank else 1 for a in range(rank)])
            if per_channel.ndim
            else per_channel
        )

    def real(self) -> np.ndarray:
        """float32."""
        centred = self.values.astype(np.int32) - self.along(self.zero_point).astype(np.int32)
        return np.asarray(centred.astype(np.float32) * self.along(self.scale), np.float32)


def weights(b: ModelBuilder, shape: Sequence[int], axis: int, activation: str, *, per_channel: bool = True) -> Weights:
    """Constant weights in a legal dtype for activations of this dtype."""
    c = b.c
    dtype = c.pick("int8", "uint8") if activation == "uint8" else "uint8" if c.chance(3) else "int8"
    size = scale(c, b.style)
    channels = shape[axis]
    many = per_channel and b.opset >= 13 and c.chance(50)
    steps = (
        np.exp2(c.rng.integers(-3, 3, channels, endpoint=True))
        if b.style == "powers of two"
        else c.rng.uniform(0.1, 3, channels)
    )
    scales = np.asarray(steps * size, np.float32) if many else np.asarray(size)
    point = zero_point(c, dtype) if c.chance(30) else 128 if dtype == "uint8" and c.chance(60) else 0
    points = np.asarray([point] * channels if many else point, dtype)
    if many and c.chance(3):
        points = c.rng.integers(*limits(dtype), channels, dtype=dtype, endpoint=True)
    return Weights(values(c, tuple(shape), dtype, point), scales, points, axis)


def weight_real(b: ModelBuilder, w: Weights) -> str:
    """The weights as a float tensor: a DequantizeLinear, sometimes behind a QuantizeLinear of float weights."""
    axis = w.axis if w.scale.ndim else None
    params = b.params(w.scale, w.zero_point, w.dtype)
    if b.c.chance(6):
        source = b.constant("float_w", w.real())
        (name,) = b.node("QuantizeLinear", [source, *params], axis=axis)
    else:
        name = b.constant("w", w.values)
    return b.node("DequantizeLinear", [name, *params], axis=axis)[0]


def bias_values(c: Chooser, channels: int) -> np.ndarray:
    """int32: ordinary, or far out."""
    largest = c.pick(300, 5000, 5000, 2**20, 2**30)
    return c.rng.integers(-largest, largest, channels, dtype=np.int32, endpoint=True)


def bias_real(b: ModelBuilder, bias: np.ndarray, product: np.ndarray) -> str:
    """The bias as a float tensor: float32 constant, or int32 behind a DequantizeLinear."""
    c = b.c
    per_channel = product.ndim > 0
    if (per_channel and b.opset < 13) or c.chance(25):
        noise = c.rng.uniform(-0.6, 0.6, bias.shape) if c.chance(50) else 0.0
        return b.constant("float_bias", ((bias + noise) * product).astype(np.float32))
    factor = c.pick(*[1.0] * 12, 1.004, 2.0)
    scales = np.asarray(product * np.float32(factor), np.float32)
    given = [b.constant("bias", bias), b.constant("bias_scale", scales)]
    if c.chance(60):
        given.append(b.constant("bias_zero_point", np.zeros(scales.shape, np.int32)))
    return b.node("DequantizeLinear", given, axis=0 if per_channel and b.opset >= 13 else None)[0]


def exact(real: np.ndarray, product: np.ndarray) -> np.ndarray:
    """Real values moved onto whole accumulators: the float operator's own error would miss the ties."""
    product64 = product.astype(np.float64)
    return np.asarray(np.rint(real.astype(np.float64) / product64) * product64)


def conv(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """Conv, 1-D or 2-D: groups, depthwise, strides, dilations, every form of padding."""
    c = b.c
    channels = x.shape[1]
    group = c.pick(1, 1, channels, *[g for g in range(1, channels + 1) if channels % g == 0])
    multiplier = c.pick(1, 1, 2, 3) if group == channels else c.pick(1, 2, 3, 5, 9)
    attrs, kernel = window(c, x.shape[2:])
    w = weights(b, (group * multiplier, channels // group, *kernel), 0, x.dtype)
    bias = bias_values(c, group * multiplier) if c.chance(65) else None
    attrs["group"] = group if group > 1 or c.chance(50) else None
    attrs["kernel_shape"] = kernel if c.chance(70) else None
    product = np.asarray(x.scale * w.scale, np.float32)
    operands = [x.real(), w.real(), None if bias is None else (bias * product).astype(np.float32)]
    (real,) = evaluate("Conv", operands if bias is not None else operands[:2], b.opset, **attrs)
    real = exact(real, product.reshape(-1, *[1] * len(kernel)) if product.ndim else product)
    return _product(b, "Conv", x, w, bias, real, attrs)


def window(c: Chooser, image: Sequence[int]) -> tuple[dict[str, Any], list[int]]:
    """Attributes of a window that gives at least one output, and its kernel."""
    rank = len(image)
    kernel = [c.pick(1, 3, 2, 4, 5) for _ in image]
    strides = [c.pick(1, 2, 3) for _ in image] if c.chance(50) else [1] * rank
    dilations = [c.pick(1, 2, 3) for _ in image] if c.chance(25) else [1] * rank
    auto = c.pick("pads", "pads", "none", *(["SAME_UPPER", "SAME_LOWER"] if max(dilations) == 1 else []), "VALID")
    pads = [c.integer(0, 3) for _ in range(2 * rank)] if auto == "pads" else [0] * (2 * rank)
    for axis, length in enumerate(image):
        room = length + pads[axis] + pads[axis + rank]
        if not auto.startswith("SAME") and (kernel[axis] - 1) * dilations[axis] + 1 > room:
            kernel[axis], dilations[axis] = min(kernel[axis], length), 1
    return {
        "strides": strides if max(strides) > 1 or c.chance(50) else None,
        "dilations": dilations if max(dilations) > 1 or c.chance(50) else None,
        "auto_pad": auto if auto[0].isupper() else "NOTSET" if c.chance(20) else None,
        "pads": pads if auto == "pads" else None,
    }, kernel


def _product(
    b: ModelBuilder,
    op: str,
    x: Tensor,
    w: Weights,
    bias: np.ndarray | None,
    real: np.ndarray,
    attrs: dict[str, Any],
) -> list[Tensor]:
    """Write a product with constant weights in one of its spellings."""
    dtype = x.dtype if b.c.chance(96) else b.c.pick("uint8", "int8")
    product = np.asarray(np.float32(attrs.get("alpha", 1.0)) * x.scale * w.scale, np.float32)
    if b.is_qoperator(op, dtype == x.dtype):
        return [_qlinear(b, op, x, w, bias, real, attrs)]
    operands = [b.real(x), weight_real(b, w)]
    if bias is not None:
        operands.append(bias_real(b, bias, product))
    (out,) = b.node(op, operands, **attrs)
    if b.c.chance(4):
        b.outputs[out] = ("float32", real.shape)
        return []
    return [activated(b, out, real, dtype)]


def _qlinear(
    b: ModelBuilder, op: str, x: Tensor, w: Weights, bias: np.ndarray | None, real: np.ndarray, attrs: dict[str, Any]
) -> Tensor:
    params = b.described(real, x.dtype)
    first = [x.name, *b.both(x.scale, x.zero_point, x.dtype)]
    second = [b.constant("w", w.values), *b.both(w.scale, w.zero_point, w.dtype)]
    last = b.both(*params, x.dtype)
    added = [] if bias is None else [b.constant("bias", bias)]
    if op == "Gemm":
        inputs, domain = [*first, *second, *(added or [""]), *last], MICROSOFT
    else:
        inputs, domain = [*first, *second, *last, *added], ""
    (out,) = b.node(
        {"Conv": "QLinearConv", "MatMul": "QLinearMatMul", "Gemm": "QGemm"}[op], inputs, domain=domain, **attrs
    )
    return b.defined(out, real, params, x.dtype)


def gemm(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """Gemm: both transpositions, alpha, a bias."""
    c = b.c
    transposed, columns = int(c.chance(20)), c.pick(1, 2, 3, 7, 8, 17)
    depth = x.shape[0] if transposed else x.shape[1]
    trans_b = int(c.chance(50))
    w = weights(b, (columns, depth) if trans_b else (depth, columns), 0 if trans_b else 1, x.dtype)
    bias = bias_values(c, columns) if b.opset < 11 or c.chance(60) else None
    alpha = c.pick(*[None] * 8, 0.5, 1.7)
    product = np.asarray(np.float32(alpha or 1.0) * x.scale * w.scale, np.float32)
    attrs: dict[str, Any] = {"transA": transposed or None, "transB": trans_b or None, "alpha": alpha}
    operands = [x.real(), w.real(), (np.zeros(columns) if bias is None else bias * product).astype(np.float32)]
    (real,) = evaluate("Gemm", operands, b.opset, **attrs)
    attrs = {key: value for key, value in attrs.items() if value is not None}
    return _product(b, "Gemm", x, w, bias, exact(real, product), attrs)


def matmul(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """MatMul: vectors, matrices and batches; the second operand constant or computed at run time."""
    c = b.c
    columns, depth = c.pick(1, 2, 3, 8, 17), x.shape[-1]
    batch = [c.pick(1, d) for d in x.shape[:-2]][c.integer(0, max(len(x.shape) - 2, 0)) :]
    shape = (depth,) if c.chance(8) else (*batch, depth, columns)
    if c.chance(40):
        return [_matmul_of_two(b, x, b.input(shape, "int8" if x.dtype == "int8" else None))]
    w = weights(b, shape, len(shape) - 1, x.dtype, per_channel=len(shape) == 2)
    (real,) = evaluate("MatMul", [x.real(), w.real()], b.opset)
    product = np.asarray(x.scale * w.scale, np.float32)
    return _product(b, "MatMul", x, w, None, exact(real, product), {})


def _matmul_of_two(b: ModelBuilder, x: Tensor, y: Tensor) -> Tensor:
    (real,) = evaluate("MatMul", [x.real(), y.real()], b.opset)
    real = exact(real, np.asarray(x.scale * y.scale))
    if b.is_qoperator("MatMul"):
        params = b.described(real, x.dtype)
        operands = [n for t in (x, y) for n in (t.name, *b.both(t.scale, t.zero_point, t.dtype))]
        (out,) = b.node("QLinearMatMul", [*operands, *b.both(*params, x.dtype)])
        return b.defined(out, real, params, x.dtype)
    (out,) = b.node("MatMul", [b.real(x), b.real(y)])
    return activated(b, out, real, x.dtype)


def integer_product(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """ConvInteger or MatMulInteger on a quantized tensor, or on one quantized dynamically; the end of its branch."""
    c = b.c
    is_conv = len(x.shape) in (3, 4) and c.chance(50)
    source, point, dtype = x.name, x.zero_point, x.dtype
    zero_points = [b.constant("zero_point", point, dtype) if point or c.chance(50) else ""]
    if b.opset >= 11 and ((is_conv and dtype == "int8") or c.chance(30)):
        source, _, zero = b.node("DynamicQuantizeLinear", [b.real(x)], 3)
        b.operators.append("DynamicQuantizeLinear")
        zero_points, dtype = [zero], "uint8"
    shape = _conv_weights(c, x) if is_conv else (x.shape[-1], c.pick(1, 3, 8))
    w = weights(b, shape, 0, dtype, per_channel=False)
    operands = [source, b.constant("w", w.values), *zero_points]
    if w.zero_point.any() or c.chance(30):
        operands.append(b.constant("zero_point", w.zero_point))
    while not operands[-1]:
        operands.pop()
    op = "ConvInteger" if is_conv else "MatMulInteger"
    b.operators.append(op)
    (out,) = b.node(op, operands)
    (real,) = evaluate("Conv" if is_conv else "MatMul", [x.real(), w.real()], b.opset)
    b.outputs[out] = ("int32", real.shape)
    return []


def _conv_weights(c: Chooser, x: Tensor) -> tuple[int, ...]:
    return (c.pick(1, 2, 5), x.shape[1], *[c.integer(1, min(3, d)) for d in x.shape[2:]])
