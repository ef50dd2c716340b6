# SPDX-License-Identifier: Apache-2.0
"""Cases of the operators that pick and rearrange values, and of the boundary between real and quantized values."""

from __future__ import annotations

from typing import Any

import numpy as np

from golden.spelling import Model, Operand, Quant, codes, every_code, integers, qdq, qoperator

S8, U8 = "int8", "uint8"
SAME = {S8: Quant(S8, 2.0**-4, -9), U8: Quant(U8, 2.0**-4, 119)}
OTHER = {S8: Quant(S8, 2.0**-3, 4), U8: Quant(U8, 2.0**-3, 101)}
SHAPE = (2, 3, 4, 5)


def _shape(*values: int) -> list[np.ndarray]:
    return [np.array(values, np.int64)]


# What an operator needs besides its operand: constants behind it, attributes.
MOVES: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
    "Flatten": ([], {"axis": 2}),
    "MaxPool": ([], {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1], "dilations": [1, 2]}),
    "Reshape": (_shape(2, -1, 10), {}),
    "Squeeze": (_shape(0, 2), {}),
    "Transpose": ([], {"perm": [0, 2, 3, 1]}),
    "Unsqueeze": (_shape(0, 3), {}),
}
MOVES["Slice"] = (
    [np.array(v, np.int64) for v in ((3, 4), (-9, 0), (2, 3), (-1, -2))],  # starts, ends, axes, steps
    {},
)


def move(model: Model) -> None:
    """QDQ with equal and with changing parameters, and on the integers themselves."""
    extra, attrs = MOVES[model.operator]
    shape = (1, 6, 1, 5) if model.operator == "Squeeze" else SHAPE
    for dtype in (S8, U8):
        x = Operand(codes(f"move {dtype}", shape, dtype), SAME[dtype])
        qdq(model, dtype, [x], [SAME[dtype]], extra=extra, **attrs)
        qdq(model, f"{dtype}_rescaled", [x], [OTHER[dtype]], extra=extra, **attrs)
        integers(model, f"{dtype}_integers", [x.codes], [dtype], extra=extra, **attrs)


def pad(model: Model) -> None:
    """Every mode; the value of constant padding is a real one."""
    for dtype in (S8, U8):
        x = Operand(codes(f"pad {dtype}", SHAPE, dtype), SAME[dtype])
        for mode in ("reflect", "edge"):
            qdq(model, f"{dtype}_{mode}", [x], [SAME[dtype]], extra=_shape(0, 0, 1, 2, 0, 0, 2, 1), mode=mode)
        zero = [*_shape(0, 1, 1, 2, 0, 0, 2, 1), np.float32(0)]
        qdq(model, f"{dtype}_zero", [x], [SAME[dtype]], extra=[np.asarray(v) for v in zero])
    cut = _shape(0, 0, -1, 2, 0, 0, 2, -1)
    qdq(model, "cut", [Operand(codes("pad cut", SHAPE, S8), SAME[S8])], [SAME[S8]], extra=cut, mode="edge")


def resize(model: Model) -> None:
    """Nearest, by scales and by sizes, up and down."""
    ways: dict[str, tuple[list[np.ndarray], dict[str, Any]]] = {
        "double": ([np.array([1, 1, 2, 2], np.float32)], {"coordinate_transformation_mode": "asymmetric"}),
        "half_pixel": ([np.array([1, 1, 1.5, 0.6], np.float32)], {"coordinate_transformation_mode": "half_pixel"}),
        "sizes": ([np.zeros(0, np.float32), *_shape(2, 3, 7, 3)], {"coordinate_transformation_mode": "align_corners"}),
    }
    rounding = {"double": "floor", "half_pixel": "round_prefer_floor", "sizes": "ceil"}
    none = np.zeros(0, np.float32)
    for dtype in (S8, U8):
        x = Operand(codes(f"resize {dtype}", SHAPE, dtype), SAME[dtype])
        for way, (extra, attrs) in ways.items():
            how = {"mode": "nearest", "nearest_mode": rounding[way], **attrs}
            qdq(model, f"{dtype}_{way}", [x], [SAME[dtype]], extra=[none, *extra], **how)


def split(model: Model) -> None:
    """Three unequal parts, with equal and with changing parameters."""
    for dtype in (S8, U8):
        x = Operand(codes(f"split {dtype}", (2, 6, 3), dtype), SAME[dtype])
        qdq(model, dtype, [x], [SAME[dtype]] * 3, extra=_shape(1, 3, 2), axis=1)
        qdq(model, f"{dtype}_rescaled", [x], [SAME[dtype], OTHER[dtype], SAME[dtype]], extra=_shape(2, 2, 2), axis=1)
        integers(model, f"{dtype}_integers", [x.codes], [dtype] * 2, extra=_shape(4, 2), axis=-2)


def _parts(dtype: str) -> list[Operand]:
    parts = ((2, 3, 4), SAME), ((2, 1, 4), OTHER), ((2, 2, 4), SAME)
    return [Operand(codes(f"concat {dtype} {i}", shape, dtype), table[dtype]) for i, (shape, table) in enumerate(parts)]


def concat(model: Model) -> None:
    """Parts with parameters of their own, and on the integers themselves."""
    for dtype in (S8, U8):
        parts = _parts(dtype)
        qdq(model, dtype, parts, [SAME[dtype]], axis=1)
        qdq(model, f"{dtype}_equal", [parts[0], parts[2]], [SAME[dtype]], axis=-2)
        integers(model, f"{dtype}_integers", [parts[0].codes, parts[1].codes], [dtype], axis=1)


def qlinear_concat(model: Model) -> None:
    """QOperator."""
    for dtype in (S8, U8):
        qoperator(model, dtype, _parts(dtype), SAME[dtype], result_first=True, axis=1)


def _reals() -> np.ndarray:
    """Multiples of a sixteenth, which are exact ties of the scale 1/8, and values without a place in 8 bits."""
    steps = np.arange(-320, 320).astype(np.float32) / 16
    special = np.array([np.inf, -np.inf, np.nan, -0.0, 3e38, -3e38, 1e-45, 0.1], np.float32)
    return np.concatenate([steps, special]).reshape(3, 2, 108)


def quantize_linear(model: Model) -> None:
    """Ties, saturation, infinities and NaN; per tensor and per channel."""
    x = _reals()
    params: dict[str, tuple[list[Any], str, dict[str, Any]]] = {
        "int8": ([np.float32(0.125), np.int8(7)], S8, {}),
        "uint8": ([np.float32(0.125), np.uint8(128)], U8, {}),
        "decimal": ([np.float32(0.0437), np.int8(-3)], S8, {}),
        "absent": ([np.float32(0.125)], U8, {}),
        "channel": ([np.array([0.125, 0.25], np.float32), np.array([3, -4], np.int8)], S8, {"axis": 1}),
        "channel_uint8": ([np.array([0.1, 0.2, 0.3], np.float32), np.array([1, 2, 3], np.uint8)], U8, {"axis": -3}),
    }
    for branch, (constants, dtype, attrs) in params.items():
        integers(model, branch, [x], [dtype], extra=[np.asarray(v) for v in constants], **attrs)


def dequantize_linear(model: Model) -> None:
    """All codes; per tensor and per channel; int32."""
    s8, u8 = every_code(S8, (2, 128)), every_code(U8, (2, 128))
    wide = (codes("dequantize int32", (2, 64), S8).astype(np.int32) << 23) + 1
    params: dict[str, tuple[np.ndarray, list[Any], dict[str, Any]]] = {
        "int8": (s8, [np.float32(0.0437), np.int8(7)], {}),
        "uint8": (u8, [np.float32(0.0437), np.uint8(128)], {}),
        "absent": (u8, [np.float32(0.0437)], {}),
        "channel": (s8, [np.array([0.1, 0.7], np.float32), np.array([3, -4], np.int8)], {"axis": 0}),
        "int32": (wide, [np.float32(0.0437)], {}),
    }
    for branch, (x, constants, attrs) in params.items():
        integers(model, branch, [x], ["float32"], extra=[np.asarray(v) for v in constants], **attrs)


def dynamic_quantize_linear(model: Model) -> None:
    """Ranges on both sides of zero, on one side, and nothing but zeros."""
    values = codes("dynamic", (3, 40), S8).astype(np.float32) / 7
    above = np.abs(values) + 3
    for branch, x in (("both", values), ("above", above), ("below", -above), ("zero", values * 0)):
        integers(model, branch, [x], [U8, "float32", U8])
