# SPDX-License-Identifier: Apache-2.0
"""Single operators that move values, against ONNX Runtime: every mode, on the integers and between Q and DQ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from strategies_builder import MICROSOFT
from strategies_numbers import limits
from strategies_one import DTYPES, One, full


def _moves(
    op: str, values: np.ndarray, constants: Callable[[One], Sequence[str]], opset: int = 17, **attrs: Any
) -> None:
    for dtype in DTYPES:
        for same in (True, False):
            b = One(opset=opset)
            x = b.given((values + (128 if dtype == "uint8" else 0)).astype(dtype), 0.25, 3)
            params = (np.float32(0.25), 3) if same else (np.float32(0.125), 5)
            full(b.through(op, [b.real(x), *constants(b)], params, dtype, **attrs))


IMAGE = (np.arange(2 * 3 * 5 * 6).reshape(2, 3, 5, 6) * 7 % 251 - 125).astype(np.int64)


FACTORS = (2.0, 3.0, 0.5, 1.5, 0.7, 1.0)


@pytest.mark.parametrize("factor", FACTORS)
def test_resize_in_its_first_version(factor: float) -> None:
    """Opset 10: asymmetric, downwards to the next greater coordinate, upwards to the next smaller one."""
    _moves("Resize", IMAGE, lambda b: [b.constant("scales", [1, 1, factor, factor], "float32")], 10, mode="nearest")


@pytest.mark.parametrize("opset", [11, 13, 18])
@pytest.mark.parametrize("nearest", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
@pytest.mark.parametrize("coordinates", ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("factor", FACTORS)
def test_resize_nearest(factor: float, coordinates: str, nearest: str, opset: int) -> None:
    """Every coordinate transformation with every nearest mode."""
    _moves(
        "Resize",
        IMAGE,
        lambda b: [b.constant("roi", [], "float32"), b.constant("scales", [1, 1, factor, factor], "float32")],
        opset,
        mode="nearest",
        nearest_mode=nearest,
        coordinate_transformation_mode=coordinates,
    )


@pytest.mark.parametrize("opset", [13, 18, 21])
@pytest.mark.parametrize("coordinates", ["asymmetric", "half_pixel", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("sizes", [(10, 12), (3, 4), (7, 9), (1, 1), (5, 11)], ids=str)
def test_resize_to_sizes(sizes: tuple[int, int], coordinates: str, opset: int) -> None:
    _moves(
        "Resize",
        IMAGE,
        lambda b: ["", "", b.constant("sizes", [2, 3, *sizes], "int64")],
        opset,
        mode="nearest",
        coordinate_transformation_mode=coordinates,
    )


OUTWARD: tuple[list[int], ...] = ([0, 0, 1, 2, 0, 0, 2, 1], [1, 0, 0, 3, 0, 2, 0, 0])


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("pads", OUTWARD, ids=str)
def test_pad(mode: str, pads: list[int]) -> None:
    image = np.tile(IMAGE, (2, 1, 1, 1)) if mode == "reflect" else IMAGE
    _moves("Pad", image, lambda b: [b.constant("pads", pads, "int64")], 19, mode=mode)


@pytest.mark.parametrize("pads", [*OUTWARD, [0, 0, -1, 1, 0, 0, 0, -2]], ids=str)
def test_pad_with_a_value(pads: list[int]) -> None:
    """The value is quantized with the output's parameters; negative pads crop."""
    _moves("Pad", IMAGE, lambda b: [b.constant("pads", pads, "int64"), b.constant("value", -1.7, "float32")], 13)


def test_pad_with_a_quantized_value() -> None:
    b = One()
    x = b.given(IMAGE.astype(np.int8), 0.25, 3)
    point = b.constant("zero_point", 3, "int8")
    (value,) = b.node(
        "DequantizeLinear", [b.constant("value", 50, "int8"), b.constant("scale", 0.25, "float32"), point]
    )
    full(
        b.through(
            "Pad",
            [b.real(x), b.constant("pads", [0, 0, 1, 1, 0, 0, 1, 1], "int64"), value],
            (np.float32(0.25), 3),
            "int8",
        )
    )


SLICES = (
    ([0, 0], [2, 3], [2, 3], [1, 1]),
    ([-1], [-100], [3], [-1]),
    ([4], [-(2**63)], [2], [-2]),
    ([1], [2**63 - 1], [-1], [2]),
    ([-100], [100], [0], [1]),
    ([3], [1], [2], [-1]),
)


@pytest.mark.parametrize("slices", SLICES, ids=str)
def test_slice(slices: tuple[list[int], ...]) -> None:
    _moves("Slice", IMAGE, lambda b: [b.constant("slice", v, "int64") for v in slices])


@pytest.mark.parametrize("perm", [[0, 2, 3, 1], [3, 2, 1, 0], [1, 0, 2, 3], None], ids=str)
def test_transpose(perm: list[int] | None) -> None:
    _moves("Transpose", IMAGE, lambda b: [], perm=perm)


@pytest.mark.parametrize("shape", [[2, -1], [0, 0, 30], [-1], [5, 6, 2, 3], [0, -1, 1]], ids=str)
def test_reshape(shape: list[int]) -> None:
    _moves("Reshape", IMAGE, lambda b: [b.constant("shape", shape, "int64")])


def test_flatten_squeeze_unsqueeze_identity() -> None:
    for axis in (-2, 0, 1, 3, 4):
        _moves("Flatten", IMAGE, lambda b: [], axis=axis)
    _moves("Unsqueeze", IMAGE, lambda b: [b.constant("axes", [0, -1], "int64")])
    _moves("Squeeze", IMAGE[:1, :1], lambda b: [b.constant("axes", [0, 1], "int64")])
    _moves("Squeeze", IMAGE[:1, :, :1], lambda b: [])
    _moves("Identity", IMAGE, lambda b: [])


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat(axis: int, rng: np.random.Generator) -> None:
    """Operands with the output's parameters, and with others."""
    for draw, dtype in enumerate(DTYPES * 2):
        b = One(seed=draw)
        parts = [
            b.given(rng.integers(*limits(dtype), (2, 3, 4), dtype=dtype, endpoint=True), s, 7)
            for s in (0.25, 0.1, 0.33)
        ]
        params = (np.float32(0.25), 7)
        if draw < 2:
            case = b.through("Concat", [b.real(t) for t in parts], params, dtype, axis=axis)
        else:
            operands = [n for t in parts for n in (t.name, *b.both(t.scale, t.zero_point, dtype))]
            (out,) = b.node("QLinearConcat", [*b.both(*params, dtype), *operands], domain=MICROSOFT, axis=axis)
            b.output(out, dtype)
            case = b.finish()
        full(case)


@pytest.mark.parametrize("lengths", [[1, 5], [2, 2, 2], [6], None], ids=str)
def test_split(lengths: list[int] | None) -> None:
    """Given lengths, or equal parts."""
    count = 2 if lengths is None else len(lengths)
    for quantized in (True, False):
        b = One(opset=18)
        x = b.given(IMAGE.astype(np.int8), 0.25, 3)
        attrs: dict[str, Any] = {"axis": 3, "num_outputs": 2} if lengths is None else {"axis": 3}
        more = [] if lengths is None else [b.constant("lengths", lengths, "int64")]
        for name in b.node("Split", [b.real(x) if quantized else x.name, *more], count, **attrs):
            if quantized:
                (out,) = b.node("QuantizeLinear", [name, *b.both(0.25, 3, "int8")])
            b.output(out if quantized else name, "int8")
        full(b.finish())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ceil", [0, 1])
def test_max_pool(dtype: str, ceil: int) -> None:
    """Padding never wins, whatever the zero point; on the integers and in the QDQ form."""
    values = (IMAGE % 100 - (128 if dtype == "int8" else 0)).astype(dtype)
    attrs: dict[str, Any] = {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 1, 1, 0], "ceil_mode": ceil}
    for params in ((np.float32(0.5), 9), (np.float32(0.25), 0)):
        b = One()
        full(b.through("MaxPool", [b.real(b.given(values, 0.5, 9))], params, dtype, **attrs))
    b = One()
    (out,) = b.node("MaxPool", [b.given(values, 0.5, 9).name], **attrs, dilations=[1, 2])
    b.output(out, dtype)
    full(b.finish())
