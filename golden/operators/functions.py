# SPDX-License-Identifier: Apache-2.0
"""Cases of the operators that compute without weights: element-wise, pools, means, softmax."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden.spelling import Activation, Model, Operand, Quant, codes, every_code, qdq, qoperator

S8, U8 = "int8", "uint8"

# Two operands

PAIRS: dict[str, tuple[Quant, Quant, Quant]] = {
    "int8": (Quant(S8, 2.0**-3, 3), Quant(S8, 2.0**-4, -5), Quant(S8, 2.0**-2, 1)),
    "uint8": (Quant(U8, 2.0**-3, 120), Quant(U8, 2.0**-4, 133), Quant(U8, 2.0**-2, 128)),
    "decimal": (Quant(S8, 0.01, -11), Quant(S8, 0.03, 4), Quant(S8, 0.1, -3)),  # real ties, which float32 misses
}
PRODUCT = {"int8": Quant(S8, 2.0**-1, 1), "uint8": Quant(U8, 2.0**-1, 128), "decimal": Quant(S8, 0.03, -3)}
SHAPES = {
    "scalar": ((), (2, 3, 4, 5)),
    "channel": ((2, 3, 4, 5), (3, 1, 1)),
    "row": ((4, 1), (2, 1, 4, 5)),
    "equal": ((2, 3, 4, 5), (2, 3, 4, 5)),
}


def _binary(product: bool) -> dict[str, tuple[list[Operand], Quant]]:
    """All 65,536 pairs of codes for each parameter set, then the ways to broadcast."""
    results = PRODUCT if product else {name: y for name, (_, _, y) in PAIRS.items()}
    cases = {}
    for name, (a, b, _) in PAIRS.items():
        columns = Operand(every_code(a.dtype, (256, 1)), a)
        cases[f"pairs_{name}"] = ([columns, Operand(every_code(b.dtype), b)], results[name])
    for name, (first, second) in SHAPES.items():
        a, b, _ = PAIRS["decimal"]  # the order of the two products shows
        left = Operand(codes(f"binary {name} a", first, S8), a, not first)
        cases[name] = ([left, Operand(codes(f"binary {name} b", second, S8), b)], results["decimal"])
    return cases


def binary(model: Model) -> None:
    """QDQ, with operands and results of different dtypes and an activation behind."""
    cases = _binary(model.operator == "Mul")
    for branch, (operands, y) in cases.items():
        qdq(model, branch, operands, [y])
    (a, _), y = cases["equal"]
    other = Operand(codes("binary mixed", a.codes.shape, U8), PAIRS["uint8"][1])
    qdq(model, "mixed", [a, other], [y])
    qdq(model, "mixed_result", [a, other], [Quant(U8, 2.0**-2, 100)])
    qdq(model, "relu", cases["equal"][0], [Quant(S8, 2.0**-2, -128)], activation=Activation("Relu"))
    qdq(model, "clip", cases["equal"][0], [y], activation=Activation("Clip", (-1.5, 2.25)))


def qlinear_binary(model: Model) -> None:
    """QOperator."""
    for branch, (operands, y) in _binary(model.operator == "QLinearMul").items():
        qoperator(model, branch, operands, y)


# One operand, value by value

UNARY = {
    "int8": (Quant(S8, 2.0**-5, 3), Quant(S8, 2.0**-6, -10)),
    "uint8": (Quant(U8, 2.0**-5, 120), Quant(U8, 2.0**-6, 64)),
    "decimal": (Quant(S8, 0.0613, -17), Quant(S8, 0.0097, 5)),
    "narrow": (Quant(U8, 2.0**-3, 128), Quant(U8, 1 / 256, 0)),
}
MIXED = {
    "to_uint8": (Quant(S8, 2.0**-5, 3), Quant(U8, 2.0**-6, 64)),
    "to_int8": (Quant(U8, 2.0**-5, 120), Quant(S8, 2.0**-6, -10)),
}


def unary(model: Model) -> None:
    """QDQ over all 256 codes."""
    attributes: dict[str, dict[str, Any]] = {
        "LeakyRelu": {"alpha": 0.1},
        "HardSigmoid": {"alpha": 0.25, "beta": 0.375},
    }
    bounds = [np.float32(-0.75), np.float32(1.109375)] if model.operator == "Clip" else []
    for branch, (x, y) in (UNARY | MIXED).items():
        attrs = attributes.get(model.operator, {})
        qdq(model, branch, [Operand(every_code(x.dtype), x)], [y], extra=[np.asarray(v) for v in bounds], **attrs)


def qlinear_unary(model: Model) -> None:
    """QOperator over all 256 codes."""
    attrs: dict[str, Any] = {"alpha": 0.1} if model.operator == "QLinearLeakyRelu" else {}
    for branch, (x, y) in UNARY.items():
        qoperator(model, branch, [Operand(every_code(x.dtype), x)], y, **attrs)


# Sums over several values

IMAGE = {S8: Quant(S8, 2.0**-4, -9), U8: Quant(U8, 2.0**-4, 119)}
POOLED = {S8: Quant(S8, 2.0**-5, 3), U8: Quant(U8, 2.0**-5, 101)}
POOLS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "int8": (S8, (2, 3, 6, 7), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "uint8": (U8, (2, 3, 6, 7), {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1]}),
    "include_pad": (S8, (2, 3, 6, 7), {"kernel_shape": [3, 3], "pads": [1, 2, 0, 1], "count_include_pad": 1}),
    "same_upper": (U8, (2, 3, 6, 7), {"kernel_shape": [3, 3], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "line": (S8, (2, 3, 9), {"kernel_shape": [4], "strides": [2], "pads": [1, 1]}),
    "whole": (S8, (2, 5, 4, 6), {"kernel_shape": [4, 6]}),
}
NEAR_TIES = {"tenths": 0.1, "ones": 1.0}  # scale of x; half of the sums of nine are real ties of y


def _near_ties() -> dict[str, tuple[Operand, Quant]]:
    values = codes("pool near ties", (2, 3, 8, 9), S8, 6)
    return {
        name: (Operand(values, Quant(S8, scale, 0)), Quant(S8, scale * 2 / 9, 3)) for name, scale in NEAR_TIES.items()
    }


def _image(label: str, dtype: str, shape: tuple[int, ...]) -> Operand:
    return Operand(codes(label, shape, dtype), IMAGE[dtype])


def average_pool(model: Model) -> None:
    """QDQ, then padding that counts or not."""
    for branch, (dtype, shape, attrs) in POOLS.items():
        qdq(model, branch, [_image(f"pool {branch}", dtype, shape)], [POOLED[dtype]], **attrs)
    for branch, (image, y) in _near_ties().items():
        qdq(model, branch, [image], [y], kernel_shape=[3, 3])


def qlinear_average_pool(model: Model) -> None:
    """QOperator."""
    for branch, (dtype, shape, attrs) in POOLS.items():
        qoperator(model, branch, [_image(f"pool {branch}", dtype, shape)], POOLED[dtype], **attrs)
    for branch, (image, y) in _near_ties().items():
        qoperator(model, branch, [image], y, kernel_shape=[3, 3])


GLOBAL = {
    "int8": (S8, (2, 24, 4, 4)),
    "uint8": (U8, (2, 24, 2, 8)),
    "line": (U8, (2, 24, 16)),
    "square": (S8, (3, 32, 8, 8)),
    "odd": (U8, (2, 5, 7, 3)),
}


EIGHTH = Quant(S8, 0.125, 3)  # times 16 pixels: 2


def _tenths() -> Operand:
    return Operand(codes("global tenths", (2, 24, 4, 4), S8), Quant(S8, 0.1, 0))


def global_average_pool(model: Model) -> None:
    """QDQ; images of 16 and 64 pixels have many ties."""
    for branch, (dtype, shape) in GLOBAL.items():
        qdq(model, branch, [_image(f"global {branch}", dtype, shape)], [POOLED[dtype]])
    qdq(model, "tenths", [_tenths()], [EIGHTH])


def qlinear_global_average_pool(model: Model) -> None:
    """QOperator."""
    for branch, (dtype, shape) in GLOBAL.items():
        qoperator(model, branch, [_image(f"global {branch}", dtype, shape)], POOLED[dtype], channels_last=0)
    qoperator(model, "tenths", [_tenths()], EIGHTH, channels_last=0)


def reduce_mean(model: Model) -> None:
    """QDQ; the float32 sum runs in another order for each pattern of axes.

    Half of the sums of tenths are real ties of the output's scale, so that their rounding errors, and with them their
    order, decide.
    """
    cases: dict[str, tuple[str, dict[str, Any], int]] = {
        "int8": (S8, {"axes": [2, 3]}, 32),
        "uint8": (U8, {"axes": [2, 3], "keepdims": 0}, 32),
        "last": (S8, {"axes": [-1]}, 8),
        "channels": (U8, {"axes": [1]}, 10),
        "first": (S8, {"axes": [0], "keepdims": 0}, 6),
        "all": (U8, {}, 1920),
    }
    for branch, (dtype, attrs, count) in cases.items():
        x, y = Quant(dtype, 0.1, 0 if dtype == S8 else 128), Quant(dtype, 0.1 * 2 / count, 3)
        qdq(model, branch, [Operand(codes(f"mean {branch}", (6, 10, 4, 8), dtype, 5), x)], [y], **attrs)


SOFTMAX = {
    "int8": (Quant(S8, 2.0**-4, 9), Quant(S8, 1 / 256, -128), (5, 10), -1),
    "uint8": (Quant(U8, 2.0**-4, 119), Quant(U8, 1 / 256, 0), (5, 10), -1),
    "decimal": (Quant(S8, 0.0613, -17), Quant(S8, 0.003921569, -128), (2, 3, 17), 2),
    "axis": (Quant(U8, 2.0**-3, 128), Quant(U8, 1 / 128, 10), (2, 7, 4), 1),
}


def softmax(model: Model) -> None:
    """QDQ."""
    for branch, (x, y, shape, axis) in SOFTMAX.items():
        qdq(model, branch, [Operand(codes(f"softmax {branch}", shape, x.dtype), x)], [y], axis=axis)


def qlinear_softmax(model: Model) -> None:
    """QOperator."""
    for branch, (x, y, shape, axis) in SOFTMAX.items():
        operand = Operand(codes(f"softmax {branch}", shape, x.dtype), x)
        qoperator(model, branch, [operand], y, axis=axis, opset=13)
