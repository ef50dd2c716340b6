# SPDX-License-Identifier: Apache-2.0
"""Single operators that compute, against ONNX Runtime, systematically where random models only take samples.

All 256 inputs of unary functions, all 65,536 pairs of binary ones, every pattern of reduced axes. The definition, the
reference kernels and every ISA are compared along the way.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from q8emu.backends.cpu import this_cpu
from q8emu.numerics import spec
from strategies_agreement import check
from strategies_builder import Tensor
from strategies_functions import clip_node
from strategies_numbers import limits
from strategies_one import DTYPES, One, a_point, a_scale, codes, compare_fast, full

# Functions of one value

UNARY: dict[str, dict[str, float]] = {
    "Relu": {},
    "Sigmoid": {},
    "Tanh": {},
    "HardSwish": {},
    "LeakyRelu": {"alpha": 0.1},
    "LeakyRelu negative": {"alpha": -0.3},
    "LeakyRelu default": {},
    "HardSigmoid": {"alpha": 0.3, "beta": 0.4},
    "HardSigmoid default": {},
    "Clip": {"low": -0.7, "high": 1.3},
    "Clip low": {"low": 0.25},
    "Clip high": {"high": 0.4},
    "Clip nothing": {},
    "Clip empty": {"low": 2.0, "high": -2.0},
}


@pytest.mark.parametrize("pair", [(a, b) for a in DTYPES for b in DTYPES], ids="-".join)
@pytest.mark.parametrize("name", UNARY)
def test_unary_on_all_inputs(name: str, pair: tuple[str, str], rng: np.random.Generator) -> None:
    """Both spellings, several draws of scales."""
    op, attrs = name.split()[0], UNARY[name]
    for draw in range(6):
        b = One(opset=17 if draw % 2 else 14, seed=draw)
        x = b.given(codes(pair[0]), a_scale(rng, -8, -3), a_point(rng, pair[0]))
        params = (a_scale(rng, -9, -3), a_point(rng, pair[1]))
        if op == "Clip":
            low, high = (None if k not in attrs else np.float32(attrs[k]) for k in ("low", "high"))
            case = b.quantized_to(clip_node(b, b.real(x), low, high), params, pair[1])
        elif draw % 3 == 2 and pair[0] == pair[1] and op in ("Sigmoid", "LeakyRelu"):
            operands = [x.name, *b.both(x.scale, x.zero_point, x.dtype)]
            case = b.contrib(f"QLinear{op}", operands, params, pair[1], **attrs)
        else:
            case = b.through(op, [b.real(x)], params, pair[1], **attrs)
        full(case)


@pytest.mark.parametrize("pair", [(a, b) for a in DTYPES for b in DTYPES], ids="-".join)
def test_requantize_on_all_inputs(pair: tuple[str, str], rng: np.random.Generator) -> None:
    """DequantizeLinear and QuantizeLinear with other parameters."""
    for draw in range(20):
        b = One(seed=draw)
        x = b.given(codes(pair[0]), a_scale(rng), a_point(rng, pair[0]))
        full(b.quantized_to(b.real(x), (a_scale(rng), a_point(rng, pair[1])), pair[1]))


# Functions of two values


@pytest.mark.parametrize("exponent", [20, 22, 24, 25, 30, 100])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_values_beyond_int32(op: str, dtype: str, exponent: int) -> None:
    """From 2^31 on, the runtime's conversion to int32 gives -2^31 and so the least value, not the greatest."""
    low, high = limits(dtype)
    b = One(seed=exponent)
    operands = []
    for values in ([low, high, 3, 100], [low, high, 1, 100]):
        x = b.given(np.array(values * 5, dtype), np.float32(1), 0)
        operands += [x.name, *b.both(x.scale, x.zero_point, x.dtype)]
    full(b.contrib(op, operands, (np.float32(2.0**-exponent), 0), dtype))


@pytest.mark.parametrize("is_clipped", [True, False])
@pytest.mark.parametrize("vector", ["none", "x scale", "x zero point", "y scale", "y zero point"])
@pytest.mark.parametrize("op", ["Add", "Mul"])
def test_a_vector_of_one_keeps_an_operator_in_float(op: str, vector: str, is_clipped: bool) -> None:
    """ONNX Runtime makes an integer Add or Mul of scalar scales and zero points only; a Clip that changes nothing goes.

    With an odd zero point the two round ties to different sides.
    """
    b = One()
    x = b.given(np.arange(256).astype(np.uint8), np.float32(0.5), 128)
    given = {"x scale": np.float32(0.5), "x zero point": 128, "y scale": np.float32(2), "y zero point": 131}
    dtypes = ("float32", "uint8", "float32", "uint8")
    shaped = [np.reshape(np.array(v, t), [1] * (n == vector)) for (n, v), t in zip(given.items(), dtypes, strict=True)]
    names = [b.constant("p", value) for value in shaped]
    (moved,) = b.node("Reshape", [b.node("DequantizeLinear", [x.name, *names[:2]])[0], b.constant("shape", [16, 16])])
    (real,) = b.node(op, [moved, moved])
    real = clip_node(b, real, np.float32(-1e6), np.float32(1e6)) if is_clipped else real
    (out,) = b.node("QuantizeLinear", [real, *names[2:]])
    b.output(out, "uint8")
    full(b.finish())


@pytest.mark.parametrize("exponent", [20, 24, 25, 30, 100, 149])
@pytest.mark.parametrize("spelling", ["QDQ", "QOperator"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_average_pools_beyond_int32(dtype: str, spelling: str, exponent: int) -> None:
    """As above; the image has room for whole vectors and a remainder, and both signs."""
    low, high = limits(dtype)
    b = One(seed=exponent)
    values = np.resize(np.array([low, high, 3, 100, 64, 2, 1], dtype), (1, 3, 5, 7))
    x = b.given(values, np.float32(1), 5)
    params = (np.float32(2.0**-exponent), 1)
    if spelling == "QDQ":
        case = b.through("AveragePool", [b.real(x)], params, dtype, kernel_shape=[2, 2])
    else:
        operands = [x.name, *b.both(x.scale, x.zero_point, dtype)]
        case = b.contrib("QLinearAveragePool", operands, params, dtype, kernel_shape=[2, 2])
    full(case)


@pytest.mark.parametrize("types", ["uuu", "sss", "uus", "usu", "ssu", "sus"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul"])
def test_binary_on_all_pairs(op: str, types: str, rng: np.random.Generator) -> None:
    """All 65,536 pairs, in scales that make ties and in random ones."""
    a, b, y = ("uint8" if t == "u" else "int8" for t in types)
    for draw in range(3):
        model = One(seed=draw)
        one = model.given(np.repeat(codes(a), 256), a_scale(rng, -8, -4), a_point(rng, a))
        other = model.given(np.tile(codes(b), 256), a_scale(rng, -8, -4), a_point(rng, b))
        params = (a_scale(rng, -8, -3), a_point(rng, y))
        if draw == 2 and op != "Sub" and a == b == y:
            operands = [n for t in (one, other) for n in (t.name, *model.both(t.scale, t.zero_point, t.dtype))]
            case = model.contrib(f"QLinear{op}", operands, params, y)
        else:
            case = model.through(op, [model.real(one), model.real(other)], params, y)
        compare_fast(case)


SHAPES = (
    ((1, 4, 3, 3), (1, 4, 3, 3)),
    ((2, 4, 3, 3), (4, 1, 1)),
    ((2, 4, 3, 3), (1,)),
    ((2, 4, 3, 3), ()),
    ((2, 4, 3, 1), (4, 1, 3)),
    ((2, 4, 1, 1), (2, 4, 3, 3)),
    ((1, 4, 1, 1), (2, 1, 3, 3)),
    ((5, 1), (1, 5)),
    ((5, 1, 1), ()),
    ((5, 1, 1), (1,)),
    ((5, 1, 1), (1, 1)),
    ((5, 1, 1), (1, 1, 1)),
    ((1, 5, 1), (1,)),
    ((2, 3), (1, 1, 1)),
    ((5, 1), (1, 1)),
    ((1, 1), (1,)),
    ((1,), (1,)),
    ((7,), ()),
    ((3, 1, 2), (1, 4, 1)),
    ((3, 4, 1), (1, 1, 5)),
)


@pytest.mark.parametrize("op", ["Mul", "Sub"])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_broadcasting(shapes: tuple[tuple[int, ...], ...], op: str, rng: np.random.Generator) -> None:
    """Both orders of the operands."""
    for draw in range(6):
        dtype, pair = DTYPES[draw % 2], shapes if draw % 4 < 2 else shapes[::-1]
        b = One(seed=draw)
        operands = _operands(b, pair, dtype, rng)
        params = (np.float32(operands[0].scale * 2), a_point(rng, dtype))
        full(b.through(op, [b.real(t) for t in operands], params, dtype))


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_order_of_a_fused_sum(shapes: tuple[tuple[int, ...], ...], swap: bool, rng: np.random.Generator) -> None:
    """QLinearAdd is two fused multiply-adds; in every model here the order of its operands shows in some bit."""
    found = 0
    for draw in range(2000):
        if found == 4:
            break
        dtype, pair = DTYPES[draw % 2], shapes[::-1] if swap else shapes
        b = One(seed=draw)
        operands = _operands(b, pair, dtype, rng)
        params = (_near_tie(rng, operands), a_point(rng, dtype))
        if not _order_shows(operands, params):
            continue
        found += 1
        if draw % 2:
            case = b.through("Add", [b.real(t) for t in operands], params, dtype)
        else:
            names = [n for t in operands for n in (t.name, *b.both(t.scale, t.zero_point, dtype))]
            case = b.contrib("QLinearAdd", names, params, dtype)
        full(case)
    assert found


def _operands(b: One, shapes: Sequence[tuple[int, ...]], dtype: str, rng: np.random.Generator) -> list[Tensor]:
    size, found = rng.uniform(0.01, 0.02), []
    for shape in shapes:
        data = np.asarray(rng.integers(*limits(dtype), shape, dtype=dtype, endpoint=True))
        found.append(b.given(data, np.float32(size * rng.uniform(0.9, 1.1)), a_point(rng, dtype)))
    return found


def _near_tie(rng: np.random.Generator, pair: Sequence[Tensor]) -> np.float32:
    """An output scale for which some sum of the operands is a near tie."""
    total = pair[0].real() + pair[1].real()
    chosen = float(np.abs(total).reshape(-1)[rng.integers(total.size)]) or 1.0
    scale = np.float32(chosen / (int(rng.integers(0, 60)) + 0.5))
    return np.float32(np.nextafter(scale, np.float32(rng.choice([0, 9])), dtype=np.float32))


def _order_shows(pair: Sequence[Tensor], params: tuple[np.float32, int]) -> bool:
    """Do fma(a, A, fma(b, B, F)) and fma(b, B, fma(a, A, F)) round apart?"""
    results = []
    for one, other in (pair, pair[::-1]):
        first, second = (np.float32(t.scale / params[0]) for t in (one, other))
        zero = np.float32(second * np.float32(other.zero_point))
        fixed = np.float32(np.float32(params[1]) - spec.fma(first, one.zero_point, zero))
        inner = {int(q): spec.fma(q, second, fixed) for q in np.unique(other.values)}
        pairs = np.broadcast_arrays(one.values.astype(np.int32), other.values.astype(np.int32))
        sums = [spec.fma(p, first, inner[q]) for p, q in zip(*(a.reshape(-1).tolist() for a in pairs), strict=True)]
        results.append(np.clip(np.rint(np.array(sums)), *limits(one.dtype)))
    return not np.array_equal(results[0], results[1])


# Products


@pytest.mark.parametrize("op", ["Conv", "MatMul", "Gemm"])
@pytest.mark.parametrize("pair", [("uint8", "int8"), ("int8", "int8"), ("uint8", "uint8")], ids="-".join)
def test_product_at_near_ties(pair: tuple[str, str], op: str, rng: np.random.Generator) -> None:
    """Output scales for which one of the accumulators lands on k + 1/2, give or take a unit in the last place.

    Whether a scale is f32(f32(x_scale * w_scale) / y_scale) or the same product rounded elsewhere shows here only.
    """
    for draw in range(40):
        b = One(seed=draw)
        x = b.given(
            codes(pair[0]).reshape(256, 1, *[1] * (2 if op == "Conv" else 0)), a_scale(rng), a_point(rng, pair[0])
        )
        columns, per_channel = 5, draw % 2
        scales = rng.uniform(0.001, 0.1, columns if per_channel else 1).astype(np.float32)
        point = a_point(rng, pair[1]) if draw % 4 < 2 else 0
        weights = rng.integers(*limits(pair[1]), columns, dtype=pair[1], endpoint=True)
        product = x.scale * scales
        acc = np.multiply.outer(np.arange(256) + limits(pair[0])[0] - x.zero_point, weights.astype(np.int64) - point)
        real = np.abs(acc * product.astype(np.float64))
        chosen = float(real[real > 0].reshape(-1)[rng.integers((real > 0).sum())]) if real.any() else 1.0
        size = np.float32(chosen / (int(rng.integers(0, 120)) + 0.5))
        for _ in range(draw % 3):
            size = np.nextafter(size, np.float32(rng.choice([0, 9])), dtype=np.float32)
        axis = 0 if op == "Conv" else 1
        many = (scales, np.full(columns, point, pair[1])) if per_channel else (scales[0], np.asarray(point, pair[1]))
        shape = (columns, 1, 1, 1) if op == "Conv" else (1, columns)
        given = [
            b.constant("w", weights.reshape(shape)),
            b.constant("scale", many[0]),
            b.constant("zero_point", many[1]),
        ]
        (w,) = b.node("DequantizeLinear", given, axis=axis if per_channel else None)
        full(b.through(op, [b.real(x), w], (np.float32(size), a_point(rng, pair[0])), pair[0]))


# Means, pools, Softmax

REDUCED = (
    ((3, 7), (1,)),
    ((3, 37), (1,)),
    ((9,), (0,)),
    ((2, 3, 5, 7), (2, 3)),
    ((2, 3, 5, 7), (0, 1)),
    ((37, 5), (0,)),
    ((2, 13, 5), (1,)),
    ((3, 7, 4), (1,)),
    ((1, 7, 4), (1,)),
    ((2, 3, 4, 5), (1, 2)),
    ((2, 3, 4), (0, 1, 2)),
    ((1, 16, 1, 1), (2, 3)),
)


@pytest.mark.parametrize(("shape", "axes"), REDUCED, ids=str)
def test_reduce_mean(shape: tuple[int, ...], axes: tuple[int, ...], rng: np.random.Generator) -> None:
    """ONNX Runtime sums in float, in an order that follows the reduced axes; alone in a graph it is reproduced."""
    for draw in range(8):
        opset, dtype = (13, 18)[draw % 2], DTYPES[draw // 2 % 2]
        b = One(opset=opset, seed=draw)
        x = b.given(
            rng.integers(*limits(dtype), shape, dtype=dtype, endpoint=True), a_scale(rng, -7, 0), a_point(rng, dtype)
        )
        mean = float(np.abs(x.real().mean(axis=axes)).reshape(-1)[0]) or 1.0
        params = (np.float32(mean / (int(rng.integers(0, 50)) + 0.5)), a_point(rng, dtype))
        keep = draw % 3 % 2
        if opset == 13:
            case = b.through("ReduceMean", [b.real(x)], params, dtype, axes=list(axes), keepdims=keep)
        else:
            case = b.through("ReduceMean", [b.real(x), b.constant("axes", axes, "int64")], params, dtype, keepdims=keep)
        compare_fast(case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("depth", [1, 2, 3, 10, 100, 1000])
def test_softmax(depth: int, dtype: str, rng: np.random.Generator) -> None:
    """Both spellings, both meanings of the axis, scales from flat to one-hot."""
    for draw in range(10):
        b = One(opset=(11, 13, 17)[draw % 3], seed=draw)
        shape = (2, depth) if draw % 2 else (2, depth, 3)
        x = b.given(
            rng.integers(*limits(dtype), shape, dtype=dtype, endpoint=True), a_scale(rng, -9, 2), a_point(rng, dtype)
        )
        size = np.float32(rng.choice([1 / 256, 1 / 255, 1 / 128, 0.0039, 0.1, 0.7]))
        params = (size, limits(dtype)[0] if draw % 4 else a_point(rng, dtype))
        if draw % 5 == 4:
            operands = [x.name, *b.both(x.scale, x.zero_point, dtype)]
            case = b.contrib("QLinearSoftmax", operands, params, dtype, axis=1, opset=b.opset)
        else:
            case = b.through("Softmax", [b.real(x)], params, dtype, axis=1)
        full(case)


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 2]], ids=str)
@pytest.mark.parametrize("ceil", [0, 1])
def test_average_pool(include: int, pads: list[int], ceil: int, rng: np.random.Generator) -> None:
    for draw, dtype in enumerate(DTYPES * 3):
        b = One(opset=(17, 22)[draw % 2], seed=draw)
        values = rng.integers(*limits(dtype), (2, 3, 6, 7), dtype=dtype, endpoint=True)
        x = b.given(values, a_scale(rng, -5, 0), a_point(rng, dtype))
        params = (np.float32(x.scale * rng.choice([1.0, 0.5, 1 / 9, 0.37])), a_point(rng, dtype))
        attrs = {
            "kernel_shape": [3, 3],
            "strides": [2, 2],
            "pads": pads,
            "ceil_mode": ceil,
            "count_include_pad": include,
        }
        if draw >= 4:
            case = b.contrib(
                "QLinearAveragePool", [x.name, *b.both(x.scale, x.zero_point, dtype)], params, dtype, **attrs
            )
        else:
            case = b.through("AveragePool", [b.real(x)], params, dtype, **attrs)
        full(case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("image", [(1, 1), (2, 3), (7, 7), (13,), (8, 8)], ids=str)
def test_global_average_pool(dtype: str, image: tuple[int, ...], rng: np.random.Generator) -> None:
    for draw in range(6):
        b = One(seed=draw)
        values = rng.integers(*limits(dtype), (2, 5, *image), dtype=dtype, endpoint=True)
        x = b.given(values, a_scale(rng, -5, 0), a_point(rng, dtype))
        params = (np.float32(x.scale * rng.choice([1.0, 0.5, 0.37])), a_point(rng, dtype))
        if draw % 2:
            operands = [x.name, *b.both(x.scale, x.zero_point, dtype)]
            case = b.contrib("QLinearGlobalAveragePool", operands, params, dtype, channels_last=0)
        else:
            case = b.through("GlobalAveragePool", [b.real(x)], params, dtype)
        full(case)


# Integer operators


@pytest.mark.parametrize("pair", [(a, b) for a in DTYPES for b in DTYPES], ids="-".join)
def test_matmul_integer(pair: tuple[str, str], rng: np.random.Generator) -> None:
    """Operands and zero points computed at run time, or constant, per column for b."""
    for draw in range(6):
        b = One(seed=draw)
        a, c = (
            rng.integers(*limits(d), s, dtype=d, endpoint=True) for d, s in zip(pair, ((3, 9), (9, 5)), strict=True)
        )
        operands = [b.given(a, 1, 0).name, b.given(c, 1, 0).name if draw % 2 else b.constant("b", c)]
        points = [np.asarray(a_point(rng, d), d) for d in pair]
        if draw == 4 and not draw % 2:
            points[1] = rng.integers(*limits(pair[1]), 5, dtype=pair[1], endpoint=True)
        names = [b.given(p, 1, 0).name if draw in (1, 2) else b.constant("zero_point", p) for p in points]
        (out,) = b.node("MatMulInteger", [*operands, *names])
        b.output(out, "int32")
        case = b.finish()
        agreement = check(case)
        saturates = this_cpu().saturates_pairs and pair == ("uint8", "int8")
        refusal = "AVX2 without VNNI" if saturates else "NOT_IMPLEMENTED"
        assert agreement.is_full or refusal in agreement.refused or "NOT_IMPLEMENTED" in agreement.refused, agreement


def test_conv_integer(rng: np.random.Generator) -> None:
    """A zero point of x that is computed at run time; padding is that zero point."""
    for draw in range(6):
        b = One(seed=draw)
        x = rng.integers(0, 255, (2, 4, 5, 6), dtype=np.uint8, endpoint=True)
        w = rng.integers(0, 255, (6, 2, 3, 2), dtype=np.uint8, endpoint=True)
        point = np.asarray(a_point(rng, "uint8"), np.uint8)
        zero = b.given(point, 1, 0).name if draw % 2 else b.constant("zero_point", point)
        operands = [
            b.given(x, 1, 0).name,
            b.constant("w", w),
            zero,
            b.constant("zero_point", a_point(rng, "uint8"), "uint8"),
        ]
        (out,) = b.node("ConvInteger", operands, group=2, pads=[1, 0, 2, 1], strides=[2, 1])
        b.output(out, "int32")
        full(b.finish())


def test_dynamic_quantize_linear(rng: np.random.Generator) -> None:
    """Ranges on both sides of zero, on one side, and empty."""
    draws = [rng.normal(0, s, 50) for s in (1e-3, 1, 1e4)]
    draws += [abs(draws[1]), -abs(draws[1]), draws[1] * 0, np.round(draws[1] * 3) / 2, np.array([1e-38, 3e-38])]
    for values in draws:
        b = One()
        name = b.fresh("x")
        b.feeds[name] = values.astype(np.float32)
        outs = b.node("DynamicQuantizeLinear", [name], 3)
        for out, dtype in zip(outs, ("uint8", "float32", "uint8"), strict=True):
            b.output(out, dtype)
        full(b.finish())


@pytest.mark.parametrize("dtype", DTYPES)
def test_boundary_per_channel(dtype: str, rng: np.random.Generator) -> None:
    """QuantizeLinear and DequantizeLinear along every axis, ties and values that are not finite."""
    for axis in (0, 1, 2, -1):
        b = One(seed=axis % 3)
        shape = (3, 4, 5)
        scales = np.exp2(rng.integers(-4, 1, shape[axis])).astype(np.float32)
        points = rng.integers(*limits(dtype), shape[axis], dtype=dtype, endpoint=True)
        x = (rng.integers(-900, 900, shape) / 8).astype(np.float32)
        x.reshape(-1)[:3] = np.inf, -np.inf, np.nan
        name = b.fresh("x")
        b.feeds[name] = x
        given = [b.constant("scale", scales), b.constant("zero_point", points)]
        (q,) = b.node("QuantizeLinear", [name, *given], axis=axis)
        (real,) = b.node("DequantizeLinear", [q, *given], axis=axis)
        b.output(q, dtype)
        b.output(real, "float32")
        full(b.finish())
