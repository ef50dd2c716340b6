# SPDX-License-Identifier: Apache-2.0
"""Generators of functions: unary ones, activations, Add, Sub, Mul with broadcasting, pools, means, Softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from strategies_builder import MICROSOFT, Attributes, ModelBuilder, Tensor, evaluate
from strategies_numbers import Chooser, limits, scale, values, zero_point

UNARY = ("Relu", "Clip", "LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish")
SMALL_SCALE = 1e-4
"""Below about 1e-7 ONNX Runtime drops a Clip that changes values: it compares bounds with an absolute 2^-23."""
CONTRIB_UNARY = {"LeakyRelu": "QLinearLeakyRelu", "Sigmoid": "QLinearSigmoid"}


def activated(b: ModelBuilder, name: str, real: np.ndarray, dtype: str) -> Tensor:
    """A QuantizeLinear behind a float tensor, sometimes with Relu or Clip between, mostly one that folds."""
    c = b.c
    real = np.asarray(real, np.float32)
    kind = c.pick(*["none"] * 5, "Relu", "Relu", "Clip")
    if kind == "none":
        return b.quantized(name, real, b.described(real, dtype), dtype)
    point = limits(dtype)[0] if kind == "Relu" and c.chance(90) else None
    params = b.described(np.maximum(real, 0) if kind == "Relu" else real, dtype, point)
    if kind == "Clip" and params[0] < SMALL_SCALE:
        return b.quantized(name, real, params, dtype)
    b.operators.append(kind)
    if kind == "Relu":
        (out,) = b.node("Relu", [name])
        return b.quantized(out, np.maximum(real, 0), params, dtype)
    low, high = _clip_bounds(c, params, dtype)
    out = clip_node(b, name, low, high)
    clipped = np.clip(real, -np.inf if low is None else low, np.inf if high is None else high)
    return b.quantized(out, clipped, params, dtype)


def _clip_bounds(c: Chooser, params: tuple[np.float32, int], dtype: str) -> tuple[np.float32 | None, np.float32 | None]:
    """Mostly at or beyond the ends of the quantized range, sometimes within."""
    qmin, qmax = limits(dtype)
    ends = [np.float32(params[0] * np.float32(q - params[1])) for q in (qmin, qmax)]
    if c.chance(15):
        ends = [np.float32(ends[0] + params[0] * 20), np.float32(ends[1] - params[0] * 20)]
    low, high = ends[0] - params[0] * c.pick(0, 1), ends[1] + params[0] * c.pick(0, 1)
    return None if c.chance(10) else np.float32(low), None if c.chance(10) else np.float32(high)


def clip_node(b: ModelBuilder, name: str, low: np.float32 | None, high: np.float32 | None) -> str:
    """Clip, its bounds attributes before opset 11."""
    if b.opset < 11:
        ends: Attributes = {"min": None if low is None else float(low), "max": None if high is None else float(high)}
        return b.node("Clip", [name], **ends)[0]
    given = ["" if v is None else b.constant("bound", v) for v in (low, high)]
    while given and not given[-1]:
        given.pop()
    return b.node("Clip", [name, *given])[0]


def unary(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """One function of one value."""
    c = b.c
    op = c.pick(*UNARY) if b.opset >= 14 else c.pick(*UNARY[:-1])
    op = "Relu" if op == "Clip" and x.scale < SMALL_SCALE else op
    attrs = _unary_attributes(c, op)
    dtype = x.dtype if c.chance(90) else c.pick("uint8", "int8")
    low = high = np.float32(0)
    if op == "Clip":
        size = float(np.abs(x.real()).max(initial=0)) or 1.0
        low, high = np.float32(-size * c.rng.uniform(0, 1.2)), np.float32(size * c.rng.uniform(0, 1.2))
        real = np.clip(x.real(), low, high)
    else:
        (real,) = evaluate(op, [x.real()], b.opset, **attrs)
    params = b.described(real, dtype)
    if b.is_qoperator(op, dtype == x.dtype and op in CONTRIB_UNARY):
        inputs = [x.name, *b.both(x.scale, x.zero_point, x.dtype), *b.both(*params, dtype)]
        (out,) = b.node(CONTRIB_UNARY[op], inputs, domain=MICROSOFT, **attrs)
        return [b.defined(out, real, params, dtype)]
    if op == "Clip":
        out = clip_node(b, b.real(x), low, high)
    else:
        (out,) = b.node(op, [b.real(x)], **attrs)
    return [b.quantized(out, real, params, dtype)]


def _unary_attributes(c: Chooser, op: str) -> Attributes:
    if op == "LeakyRelu" and c.chance(70):
        return {"alpha": float(np.float32(c.pick(0.1, 0.3, -0.2, 1.7)))}
    if op == "HardSigmoid" and c.chance(70):
        return {"alpha": float(np.float32(c.pick(1 / 6, 0.1, 0.7))), "beta": float(np.float32(c.pick(0.5, 0.3)))}
    return {}


def binary(b: ModelBuilder, x: Tensor, others: Sequence[Tensor] = ()) -> list[Tensor]:
    """Add, Sub or Mul of x and a tensor that is there, a new input, or a constant; operands in either order."""
    c = b.c
    op = c.pick("Add", "Add", "Mul", "Sub")
    same = [t for t in others if t.shape == x.shape]
    kind = c.pick("tensor", "input", "constant", "scalar") if same else c.pick("input", "constant", "scalar")
    dtype = x.dtype if c.chance(92) else c.pick("uint8", "int8")
    if kind == "tensor":
        y = same[c.integer(0, len(same) - 1)]
    elif kind == "input":
        y = b.input(_broadcast_shape(c, x.shape), dtype)
    else:
        shape = () if kind == "scalar" else _broadcast_shape(c, x.shape)
        point = zero_point(c, dtype)
        y = Tensor("", values(c, shape, dtype, point), scale(c, b.style), point)
        y = Tensor(b.constant("constant", y.values), y.values, y.scale, y.zero_point)
    pair = (y, x) if c.chance(40) else (x, y)
    real = np.asarray(
        {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}[op](pair[0].real(), pair[1].real()), np.float32
    )
    out_dtype = x.dtype if c.chance(95) else c.pick("uint8", "int8")
    if b.is_qoperator(op, op != "Sub" and x.dtype == y.dtype == out_dtype):
        params = b.described(real, out_dtype)
        operands = [n for t in pair for n in (t.name, *b.both(t.scale, t.zero_point, t.dtype))]
        (out,) = b.node(f"QLinear{op}", [*operands, *b.both(*params, out_dtype)], domain=MICROSOFT)
        return [b.defined(out, real, params, out_dtype)]
    (out,) = b.node(op, [b.real(pair[0]), b.real(pair[1])])
    return [activated(b, out, real, out_dtype)]


def _broadcast_shape(c: Chooser, shape: Sequence[int]) -> tuple[int, ...]:
    """A shape that broadcasts to the given one, mostly the same."""
    if c.chance(50):
        return tuple(shape)
    return tuple(d if c.chance(50) else 1 for d in shape)[c.integer(0, len(shape) - 1) if shape else 0 :]


def pool(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """AveragePool or GlobalAveragePool."""
    c = b.c
    if c.chance(35):
        (real,) = evaluate("GlobalAveragePool", [x.real()], b.opset)
        return [quantized_unary(b, "GlobalAveragePool", "QLinearGlobalAveragePool", x, real, {"channels_last": 0})]
    attrs = pool_window(c, x.shape[2:], dilated=b.opset >= 19)
    attrs["count_include_pad"] = int(c.chance(50))
    (real,) = evaluate("AveragePool", [x.real()], b.opset, **attrs)
    return [quantized_unary(b, "AveragePool", "QLinearAveragePool", x, real, attrs)]


def pool_window(c: Chooser, image: Sequence[int], *, dilated: bool) -> dict[str, Any]:
    """Attributes of a pool: pads below the kernel size, every window touches the image."""
    rank = len(image)
    kernel = [min(c.pick(2, 3, 1, 4), d) for d in image] if c.chance(85) else list(image)
    strides = [c.pick(1, 2, 3) for _ in image]
    dilations = [
        c.pick(1, 2) if dilated and c.chance(10) and (k - 1) * 2 < d else 1 for k, d in zip(kernel, image, strict=True)
    ]
    auto = c.pick("pads", "none", "none", "SAME_UPPER", "SAME_LOWER", "VALID")
    pads = [c.integer(0, kernel[a % rank] - 1) for a in range(2 * rank)] if auto == "pads" else None
    if auto.startswith("SAME"):
        strides = [min(s, k) for s, k in zip(strides, kernel, strict=True)]
    if max(dilations) > 1:
        auto, pads = "none", None
    return {
        "kernel_shape": kernel,
        "strides": strides if max(strides) > 1 or c.chance(50) else None,
        "dilations": dilations if max(dilations) > 1 else None,
        "auto_pad": auto if auto[0].isupper() else None,
        "pads": pads,
        "ceil_mode": 1 if auto in ("pads", "none") and max(dilations) == 1 and c.chance(20) else None,
    }


def quantized_unary(
    b: ModelBuilder, op: str, contrib: str, x: Tensor, real: np.ndarray, attrs: Mapping[str, Any]
) -> Tensor:
    """An operator with one operand in one of its spellings; output of the same dtype."""
    params = b.described(real, x.dtype)
    if b.is_qoperator(op, not attrs.get("dilations")):
        inputs = [x.name, *b.both(x.scale, x.zero_point, x.dtype), *b.both(*params, x.dtype)]
        (out,) = b.node(contrib, inputs, domain=MICROSOFT, **attrs)
        return b.defined(out, real, params, x.dtype)
    plain = {key: value for key, value in attrs.items() if key not in ("channels_last", "opset")}
    (out,) = b.node(op, [b.real(x)], **plain)
    return b.quantized(out, real, params, x.dtype)


def softmax(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """Softmax along any axis; its output scale is one that fits [0, 1]."""
    c = b.c
    axis = c.integer(-len(x.shape), len(x.shape) - 1)
    (real,) = evaluate("Softmax", [x.real()], b.opset, axis=axis)
    size = np.float32(c.pick(1 / 256, 1 / 255, 1 / 128, 0.0039, 0.01))
    params = (size, limits(x.dtype)[0] if c.chance(60) else zero_point(c, x.dtype))
    if b.is_qoperator("Softmax"):
        inputs = [x.name, *b.both(x.scale, x.zero_point, x.dtype), *b.both(*params, x.dtype)]
        (out,) = b.node("QLinearSoftmax", inputs, domain=MICROSOFT, axis=axis, opset=b.opset)
        return [b.defined(out, real, params, x.dtype)]
    (out,) = b.node("Softmax", [b.real(x)], axis=axis)
    return [b.quantized(out, real, params, x.dtype)]


def reduce_mean(b: ModelBuilder, x: Tensor) -> list[Tensor]:
    """ReduceMean over any axes; ONNX Runtime computes it in float."""
    c = b.c
    rank = len(x.shape)
    axes = sorted({c.integer(0, rank - 1) for _ in range(c.integer(1, rank))})
    given = [a - rank if c.chance(40) else a for a in axes]
    keep = int(c.chance(60))
    real = np.asarray(x.real().mean(axis=tuple(axes), keepdims=bool(keep)), np.float32)
    b.operators.append("ReduceMean/qdq")
    if b.opset >= 18:
        (out,) = b.node("ReduceMean", [b.real(x), b.constant("axes", given, "int64")], keepdims=keep)
    else:
        (out,) = b.node("ReduceMean", [b.real(x)], axes=given, keepdims=keep)
    return [b.quantized(out, real, b.described(real, x.dtype), x.dtype)]
