# SPDX-License-Identifier: Apache-2.0
"""Products of chosen shapes: where the SIMD kernels take another way, they give the sums of the definition."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest

from strategies_steps import Dict, Maker, Single
from test_kernels import compare, run

DTYPES = list(product(("uint8", "int8"), repeat=2))


@dataclass(frozen=True)
class Shape:
    """A convolution: image, channels, window. One int is both of a pair; group 0 is depthwise."""

    image: tuple[int, int]
    c: int
    o: int
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (1, 1, 1, 1)
    group: int = 1
    batch: int = 1

    @property
    def out(self) -> tuple[int, int]:
        """OH and OW."""
        spans = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilations, strict=True)]
        rooms = [self.image[a] + self.pads[a] + self.pads[a + 2] for a in (0, 1)]
        return (
            (rooms[0] - spans[0]) // self.strides[0] + 1,
            (rooms[1] - spans[1]) // self.strides[1] + 1,
        )


NONE = (0, 0, 0, 0)
SHAPES = {
    # runs of odd length, one column of weights and around a block of them, groups of one to six pixels
    **{
        f"c{c}-o{o}-w{w}": Shape((4, w), c, o)
        for c, o, w in zip((1, 3, 5, 7), (1, 15, 16, 17), (1, 5, 6, 7), strict=True)
    },
    **{f"first-layer-w{w}": Shape((9, w), 3, 16) for w in (1, 2, 11, 12, 13)},
    # pointwise, with and without gaps between the windows
    **{f"pointwise-s{s}": Shape((7, 8), 18, 33, (1, 1), (s, s), pads=NONE, batch=2) for s in (1, 2, 3)},
    "pointwise-padded": Shape((3, 3), 16, 16, (1, 1), pads=(2, 1, 0, 3)),
    "one-pixel-images": Shape((1, 1), 40, 20, (1, 1), pads=NONE, batch=9),
    # windows that overlap, touch, and leave gaps, along one axis or both
    **{
        f"k{k}-s{s}": Shape((11, 10), 4, 8, (k, k), (s, s), pads=(k // 2, 0, 0, k // 2))
        for k in (2, 3, 5)
        for s in (1, 2, 3)
    },
    "1x7": Shape((5, 15), 6, 17, (1, 7), pads=(0, 3, 0, 3)),
    "7x1": Shape((15, 5), 6, 17, (7, 1), pads=(3, 0, 3, 0)),
    "strides-differ": Shape((9, 13), 3, 5, (3, 2), (1, 4), pads=(2, 0, 1, 3)),
    "dilated": Shape((9, 9), 5, 16, dilations=(2, 3), pads=(2, 3, 2, 3)),
    "dilated-stride": Shape((12, 12), 2, 6, strides=(2, 3), dilations=(3, 2), pads=(3, 0, 1, 2)),
    "dilated-beyond": Shape((4, 4), 3, 4, dilations=(6, 6), pads=(7, 7, 7, 7)),
    "only-padding": Shape((2, 2), 3, 4, (2, 2), pads=(5, 4, 3, 5)),
    # deeper than a piece of the depth: pieces of one run and of several, one long run
    "deep-runs": Shape((3, 4), 160, 16, batch=2),
    "deep-many-runs": Shape((9, 4), 100, 17, (9, 3), pads=(4, 1, 4, 1)),
    "deep-run": Shape((1, 3), 1300, 17, (1, 1), pads=NONE, batch=3),
    # more pixels than a tile, with rows and images that a tile cuts
    "wide": Shape((3, 301), 2, 40),
    "tiles-cut-rows": Shape((9, 37), 4, 65, batch=2),
    # groups
    "grouped": Shape((6, 6), 12, 20, group=4),
    "grouped-stride": Shape((7, 7), 6, 3, (3, 3), (2, 2), group=3),
    "one-channel-per-group": Shape((5, 5), 4, 12, group=4),
    # depthwise: around blocks of 8 and 16 channels, first rows of both parities, several outputs per channel
    **{f"depthwise-c{c}": Shape((5, 9), c, c, group=0) for c in (1, 3, 7, 8, 9, 15, 16, 17, 24, 33)},
    **{
        f"depthwise-k{k}-s{s}": Shape((12, 11), 20, 20, (k, k), (s, s), pads=(1, 0, k // 2, 1), group=0)
        for k in (1, 2, 3, 5)
        for s in (1, 2, 3)
    },
    "depthwise-times-3": Shape((6, 6), 5, 15, group=0),
    "depthwise-times-2": Shape((6, 6), 16, 32, strides=(2, 2), group=0),
    "depthwise-dilated": Shape((9, 9), 10, 10, dilations=(2, 3), pads=(2, 3, 2, 3), group=0),
    "depthwise-wide": Shape((4, 300), 33, 33, group=0),
    "depthwise-cut": Shape((19, 23), 66, 66, batch=2, group=0),
    "depthwise-1x7": Shape((3, 20), 8, 8, (1, 7), pads=(0, 3, 0, 3), group=0),
    "depthwise-only-padding": Shape((2, 2), 16, 16, (2, 2), pads=(5, 4, 3, 5), group=0),
}


def single(shape: Shape, x_dtype: str, w_dtype: str, kind: str, m: Maker, more: Dict | None = None) -> Single:
    """Its program: `kind` says whether data are drawn or at an end; biases make sums wrap."""
    group = shape.group or shape.c
    x_shape, w_shape = (shape.batch, *shape.image, shape.c), (shape.o, *shape.kernel, shape.c // group)
    ends = {d: np.iinfo(d) for d in (x_dtype, w_dtype)}
    if kind == "drawn":
        operands = [
            m.rng.integers(ends[d].min, ends[d].max, s, d, endpoint=True)
            for s, d in ((x_shape, x_dtype), (w_shape, w_dtype))
        ]
        x_zero_point, w_zero_point = m.point(x_dtype), m.rng.integers(ends[w_dtype].min, ends[w_dtype].max, shape.o)
    else:  # the largest differences from the zero points
        operands = [np.full(s, ends[d].max, d) for s, d in ((x_shape, x_dtype), (w_shape, w_dtype))]
        x_zero_point, w_zero_point = int(ends[x_dtype].min), np.full(shape.o, ends[w_dtype].min)
    params: Dict = {
        "x_zero_point": x_zero_point,
        "strides": shape.strides,
        "dilations": shape.dilations,
        "pads": shape.pads,
    }
    arrays = {
        "w_zero_point": w_zero_point.astype(np.int32),
        "bias": m.rng.integers(-(2**31), 2**31, shape.o).astype(np.int32),
    }
    name = "depthwise_conv2d" if shape.group == 0 else "conv2d"
    if shape.group:
        params["group"] = shape.group
    params |= more or {}
    return m.single(name, operands, [("int32", (shape.batch, *shape.out, shape.o))], params, arrays, (1,))


@pytest.mark.parametrize("name", SHAPES)
def test_a_convolution_of_this_shape(name: str, isa: str, seed: int) -> None:
    """Every pair of dtypes, drawn data and the largest, on one thread and on two."""
    for number, (x_dtype, w_dtype) in enumerate(DTYPES):
        for kind in ("drawn", "largest"):
            given = single(SHAPES[name], x_dtype, w_dtype, kind, Maker(seed + number))
            expected = run(given, "spec", 1)
            for threads in (1, 2):
                compare(given, isa, seed + number, run(given, isa, threads), expected)


@pytest.mark.parametrize("name", [name for name, shape in SHAPES.items() if shape.group])
def test_pairs_of_a_convolution_of_this_shape(name: str, isa: str, seed: int) -> None:
    """Products that saturate in pairs, with padding in the middle of a pair and depths of all remainders."""
    for number, kind in enumerate(("drawn", "largest")):
        given = single(SHAPES[name], "uint8", "int8", kind, Maker(seed + number), {"saturates_pairs": 1})
        expected = run(given, "spec", 1)
        for threads in (1, 2):
            compare(given, isa, seed + number, run(given, isa, threads), expected)


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7, 13, 70])
@pytest.mark.parametrize(("depth", "columns"), [(1, 1), (3, 15), (16, 16), (33, 17), (640, 32), (1301, 100)])
def test_a_product_of_this_shape(rows: int, depth: int, columns: int, isa: str, seed: int) -> None:
    """Groups of one to six rows, odd depths, depths of several pieces; a bias for all rows, per row, or none."""
    for number, (a_dtype, b_dtype) in enumerate(DTYPES):
        m = Maker(seed + number)
        a = m.rng.integers(*_ends(a_dtype), (rows, depth), a_dtype, endpoint=True)
        b = m.rng.integers(*_ends(b_dtype), (depth, columns), b_dtype, endpoint=True)
        params: Dict = {"a_zero_point": m.point(a_dtype), "has_a_zero_point_input": 0, "has_b_zero_point_input": 0}
        points = {"b_zero_point": m.rng.integers(*_ends(b_dtype), columns).astype(np.int32)}
        saturating: list[Dict] = [{"saturates_pairs": 1}] if (a_dtype, b_dtype) == ("uint8", "int8") else []
        for bias_rows, more in product((0, 1, rows), ({}, *saturating)):
            bias = {"bias": m.rng.integers(-(2**31), 2**31, (bias_rows, columns)).astype(np.int32)} if bias_rows else {}
            given = m.single("matmul", [a, b], [("int32", (rows, columns))], params | more, points | bias, (1,))
            compare(given, isa, seed + number, run(given, isa, 2), run(given, "spec", 1))


def _ends(dtype: str) -> tuple[int, int]:
    return np.iinfo(dtype).min, np.iinfo(dtype).max
