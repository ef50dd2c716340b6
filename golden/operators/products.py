# SPDX-License-Identifier: Apache-2.0
"""Cases of the operators with products: convolutions, matrix products, and their integer forms.

Scales that are powers of two make exact ties frequent: an accumulator times 2^-4 has the fraction 1/2 once in 16.
Tenths and hundredths make real ties, which binary32 meets or misses by the rounding of scale and product.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from golden.spelling import Activation, Model, Operand, Quant, codes, integers, qdq, qoperator

S8, U8 = "int8", "uint8"
RELU, RELU6 = Activation("Relu"), Activation("Clip", (0.0, 6.0))


@dataclass(frozen=True)
class Conv:
    """One convolution: parameters of x, w, y, shapes, and what makes it special."""

    x: Quant
    w: Quant
    y: Quant
    x_shape: tuple[int, ...] = (2, 4, 6, 7)
    w_shape: tuple[int, ...] = (6, 4, 3, 3)
    bias: str = "int32"
    activation: Activation | None = None
    attrs: dict[str, Any] = field(default_factory=dict)

    def operands(self, label: str) -> list[Operand]:
        x = Operand(codes(f"{label} x", self.x_shape, self.x.dtype), self.x)
        return [x, Operand(codes(f"{label} w", self.w_shape, self.w.dtype, 4), self.w, True)]

    def bias_of(self, label: str) -> np.ndarray | None:
        if not self.bias:
            return None
        values = codes(f"{label} bias", (self.w_shape[0],), S8).astype(np.int32) * 3
        if self.bias == "int32":
            return values
        scales = np.array(self.x.scale, np.float32) * np.array(self.w.scale, np.float32)
        return (values * scales + scales / 4).astype(np.float32)  # a quarter off the grid of the accumulator


def per_channel(dtype: str, *exponents: int, zero_points: tuple[int, ...] | int = 0, axis: int = 0) -> Quant:
    """Powers of two, another one for each channel."""
    return Quant(dtype, tuple(2.0**e for e in exponents), zero_points, axis)


SIX = (-4, -5, -6, -4, -5, -7)
TIES = {S8: Quant(S8, 2.0**-3, 5), U8: Quant(U8, 2.0**-3, 133)}  # of x; with w at 2^-4 and y at 2^-3: acc * 2^-4
HALF = {S8: Quant(S8, 2.0**-4, 0), U8: Quant(U8, 2.0**-4, 130)}  # of w
RESULT = {S8: Quant(S8, 2.0**-3, -3), U8: Quant(U8, 2.0**-3, 121)}  # odd: where the zero point is added shows
CONVS = {
    "int8": Conv(
        TIES[S8], HALF[S8], RESULT[S8], attrs={"pads": [1, 0, 2, 1], "strides": [2, 1], "kernel_shape": [3, 3]}
    ),
    "uint8": Conv(TIES[U8], HALF[U8], RESULT[U8], attrs={"pads": [0, 1, 1, 2], "dilations": [2, 1]}),
    "uint8_int8": Conv(TIES[U8], HALF[S8], RESULT[U8], attrs={"pads": [1, 1, 1, 1]}),
    "channel": Conv(TIES[S8], per_channel(S8, *SIX), RESULT[S8], attrs={"pads": [1, 1, 1, 1]}),
    "channel_uint8": Conv(TIES[U8], per_channel(S8, *SIX), RESULT[U8], bias="", attrs={"strides": [2, 2]}),
    "channel_points": Conv(TIES[U8], per_channel(U8, *SIX, zero_points=(120, 131, 128, 0, 255, 140)), RESULT[U8]),
    "decimal": Conv(Quant(S8, 0.0173, -128), Quant(S8, 0.0091), Quant(S8, 0.0437, 11), bias=""),
    "tenths": Conv(Quant(S8, 0.1, 7), per_channel(S8, 0, 1, 0, 2, -1, 0), Quant(S8, 2.0, 3)),
    "hundredths": Conv(Quant(S8, 0.1, 7), Quant(S8, (0.1, 0.3, 0.7, 0.1, 0.1, 0.9), 0, 0), Quant(S8, 0.2, 3)),
    "depthwise": Conv(TIES[S8], per_channel(S8, -4, -5, -4, -6), RESULT[S8], w_shape=(4, 1, 3, 3), attrs={"group": 4}),
    "multiplier": Conv(TIES[U8], HALF[U8], RESULT[U8], w_shape=(8, 1, 3, 3), attrs={"group": 4, "pads": [1, 1, 1, 1]}),
    "grouped": Conv(TIES[U8], HALF[S8], RESULT[U8], w_shape=(6, 2, 3, 3), attrs={"group": 2}),
    "pointwise": Conv(TIES[S8], HALF[S8], RESULT[S8], w_shape=(6, 4, 1, 1), attrs={"strides": [2, 2]}),
    "line": Conv(TIES[S8], HALF[S8], RESULT[S8], (2, 4, 11), (6, 4, 3), attrs={"pads": [2, 1], "dilations": [2]}),
    "same_upper": Conv(TIES[S8], HALF[S8], RESULT[S8], attrs={"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same_lower": Conv(TIES[U8], HALF[U8], RESULT[U8], attrs={"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "valid": Conv(TIES[U8], HALF[S8], RESULT[U8], attrs={"auto_pad": "VALID"}),
}
WITH_ACTIVATION = {
    "relu": Conv(TIES[S8], HALF[S8], Quant(S8, 2.0**-2, -128), activation=RELU),
    "relu6": Conv(TIES[U8], HALF[U8], Quant(U8, 6 / 255, 0), activation=RELU6),
    "float_bias": Conv(TIES[S8], per_channel(S8, *SIX), RESULT[S8], bias="float"),
}


def conv(model: Model) -> None:
    """QDQ, activations folded into the output among them."""
    for branch, case in (CONVS | WITH_ACTIVATION).items():
        label = f"conv {branch}"
        bias, activation = case.bias_of(label), case.activation
        qdq(model, branch, case.operands(label), [case.y], bias=bias, activation=activation, **case.attrs)


def qlinear_conv(model: Model) -> None:
    """The same as QOperator."""
    for branch, case in CONVS.items():
        label = f"conv {branch}"
        qoperator(model, branch, case.operands(label), case.y, bias=case.bias_of(label), domain="", **case.attrs)


def conv_integer(model: Model) -> None:
    """int32 results; zero points of run time, constant ones, and none."""
    x, w = codes("conv_integer x", (2, 4, 6, 7), U8), codes("conv_integer w", (6, 4, 3, 3), U8)
    points = [np.array(131, np.uint8), np.array(120, np.uint8)]
    integers(model, "constant", [x, w, *points], ["int32"], constants=(1, 2, 3), pads=[1, 0, 2, 1], strides=[2, 1])
    integers(model, "run_time", [x, w, points[0]], ["int32"], constants=(1,), pads=[1, 1, 1, 1])
    integers(model, "absent", [x, w], ["int32"], constants=(1,), dilations=[1, 2])
    integers(model, "depthwise", [x, w[:4, :1], points[0]], ["int32"], constants=(1, 2), group=4, auto_pad="SAME_UPPER")


@dataclass(frozen=True)
class Product:
    """One matrix product: parameters of a, b, y, shapes, and what makes it special."""

    a: Quant
    b: Quant
    y: Quant
    a_shape: tuple[int, ...] = (15, 12)
    b_shape: tuple[int, ...] = (12, 6)
    is_constant: bool = True
    has_bias: bool = False
    attrs: dict[str, Any] = field(default_factory=dict)

    def operands(self, label: str) -> list[Operand]:
        a = Operand(codes(f"{label} a", self.a_shape, self.a.dtype), self.a)
        return [a, Operand(codes(f"{label} b", self.b_shape, self.b.dtype, 4), self.b, self.is_constant)]

    def bias_of(self, label: str) -> np.ndarray | None:
        return codes(f"{label} bias", (6,), S8).astype(np.int32) * 3 if self.has_bias else None


MATMULS = {
    "int8": Product(TIES[S8], HALF[S8], RESULT[S8]),
    "uint8": Product(TIES[U8], HALF[U8], RESULT[U8]),
    "uint8_int8": Product(TIES[U8], HALF[S8], RESULT[U8], (15, 13), (13, 6)),
    "column": Product(TIES[U8], per_channel(S8, *SIX, axis=1), RESULT[U8]),
    "run_time": Product(TIES[S8], HALF[S8], RESULT[S8], is_constant=False),
    "batched": Product(TIES[S8], HALF[S8], RESULT[S8], (2, 3, 6, 8), (2, 3, 8, 5), False),
    "broadcast": Product(TIES[U8], HALF[U8], RESULT[U8], (2, 1, 4, 8), (3, 8, 5), False),
    "vector": Product(TIES[U8], HALF[U8], RESULT[U8], (2, 4, 8), (8,), False),
    "tenths": Product(Quant(S8, 0.1, 7), Quant(S8, 1.0), Quant(S8, 2.0, 3)),
    "hundredths": Product(Quant(S8, 0.1, 7), Quant(S8, 0.1), Quant(S8, 0.2, 3)),
    "decimal": Product(Quant(S8, 0.0173, -7), Quant(S8, 0.0091, 3), Quant(S8, 0.0337, 11), (7, 33), (33, 5)),
}


def matmul(model: Model) -> None:
    """QDQ: constant and run-time operands, batches, a bias added behind."""
    for branch, case in MATMULS.items():
        qdq(model, branch, case.operands(f"matmul {branch}"), [case.y])
    for branch in ("int8", "column"):
        case, label = MATMULS[branch], f"matmul {branch} bias"
        bias = codes(label, (6,), S8).astype(np.int32) * 3
        qdq(model, f"{branch}_bias", case.operands(label), [case.y], bias=bias, is_bias_added=True)


def qlinear_matmul(model: Model) -> None:
    """The same as QOperator."""
    for branch, case in MATMULS.items():
        qoperator(model, branch, case.operands(f"matmul {branch}"), case.y, domain="")


def matmul_integer(model: Model) -> None:
    """int32 results; zero points of run time, constant ones per column, and none."""
    a, b = codes("matmul_integer a", (2, 4, 9), U8), codes("matmul_integer b", (9, 5), S8)
    column = codes("matmul_integer column", (5,), S8, 4)
    integers(model, "run_time", [a, b, np.array(131, np.uint8), np.array(-7, np.int8)], ["int32"])
    integers(model, "column", [a, b, np.array(3, np.uint8), column], ["int32"], constants=(1, 2, 3))
    integers(model, "absent", [a, b], ["int32"], constants=(1,))


WIDE: dict[str, Any] = {"b_shape": (6, 12), "has_bias": True, "attrs": {"transB": 1}}
GEMMS = {
    "int8": Product(TIES[S8], HALF[S8], RESULT[S8], **WIDE),
    "uint8": Product(TIES[U8], HALF[U8], RESULT[U8], **WIDE),
    "uint8_int8": Product(TIES[U8], HALF[S8], RESULT[U8], (15, 13), (13, 6)),
    "column": Product(TIES[U8], per_channel(S8, *SIX, axis=0), RESULT[U8], **WIDE),
    "transposed": Product(TIES[U8], HALF[U8], RESULT[U8], (12, 15), has_bias=True, attrs={"transA": 1}),
    "tenths": Product(Quant(S8, 0.1, 7), Quant(S8, 1.0), Quant(S8, 2.0, 3), **WIDE),
    "hundredths": Product(Quant(S8, 0.1, 7), Quant(S8, 0.1), Quant(S8, 0.2, 3), **WIDE),
    "alpha": Product(TIES[S8], HALF[S8], RESULT[S8], attrs={"alpha": 0.5}),
}


def gemm(model: Model) -> None:
    """QDQ."""
    for branch, case in GEMMS.items():
        label = f"gemm {branch}"
        qdq(model, branch, case.operands(label), [case.y], bias=case.bias_of(label), **case.attrs)


def qgemm(model: Model) -> None:
    """QOperator, and a float output."""
    for branch, case in GEMMS.items():
        label = f"gemm {branch}"
        given = case.bias_of(label)
        bias = np.zeros(6, np.int32) if given is None else given
        qoperator(model, branch, case.operands(label), case.y, bias=bias, bias_first=True, **case.attrs)
    case, label = GEMMS["int8"], "gemm int8"
    qoperator(model, "float", case.operands(label), None, bias=case.bias_of(label), bias_first=True, **case.attrs)
