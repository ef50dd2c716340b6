# SPDX-License-Identifier: Apache-2.0
"""The bias of a product: int32 in the accumulator as the model has it, or float32 under the profile's rule."""

from __future__ import annotations

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node
from q8emu.lowering import Lowering

INT32 = (-(2**31), 2**31 - 1)


def integer_bias(node: Node, low: Lowering, x_scale: np.ndarray, w_scale: np.ndarray) -> np.ndarray | None:
    """The bias in the accumulator, in the scale f32(x_scale * w_scale); None where it has none, or is added later.

    Args:
        node: a product whose operand 2 is its bias.
        low: the program under construction.
        x_scale: float32[1].
        w_scale: float32[1 or O].
    """
    if not node.input(2) or is_added_in_float(node, low):
        return None
    bias: np.ndarray = low.graph.constants[node.inputs[2]]
    if bias.dtype == np.int32:
        return bias
    scale = _checked(node, bias, x_scale, w_scale)
    if low.numerics.float_bias == "reciprocal":
        v = np.rint(f32_product(bias, np.float32(1) / scale)).astype(np.float64)
        limited: np.ndarray = np.clip(v, *INT32).astype(np.int32)
        return limited
    return _quantized(bias, scale)


def is_added_in_float(node: Node, low: Lowering) -> bool:
    """Is the bias added to the float32 accumulator?"""
    is_float = bool(node.input(2)) and low.graph.constants[node.inputs[2]].dtype == np.float32
    return is_float and low.numerics.float_bias == "added" and node.out_quant[0] is not None


def float_bias(
    node: Node, low: Lowering, x_scale: np.ndarray, w_scale: np.ndarray
) -> tuple[np.ndarray, np.float32 | None]:
    """float32[O], what is added to the float32 accumulator; its scale, where it is to be multiplied on the way.

    Raises:
        BadQuantization: it leaves the range of float32.
    """
    bias = low.graph.constants[node.inputs[2]].reshape(-1)
    scale = _checked(node, bias, x_scale, w_scale)
    weights = node.in_quant[1]
    whole = weights is not None and weights.is_per_tensor
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        reciprocal = np.float32(1) / scale
        added = f32_product(bias, reciprocal) if whole else (bias / scale).astype(np.float32)
    if not np.isfinite(added).all():
        raise BadQuantization(f"{node.where()}: its bias over x_scale * w_scale leaves the range of float32.")
    return (bias, reciprocal[0]) if whole else (added, None)


def f32_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """f32(a * b)."""
    with np.errstate(over="ignore", invalid="ignore"):
        product: np.ndarray = (a * b).astype(np.float32)
    return product


def _checked(node: Node, bias: np.ndarray, x_scale: np.ndarray, w_scale: np.ndarray) -> np.ndarray:
    """float32[1 or O]: f32(x_scale * w_scale).

    Raises:
        BadQuantization: the bias has a value that is not finite, or the scale is not a positive float32.
    """
    scale: np.ndarray = (x_scale * w_scale).astype(np.float32)
    if not np.isfinite(bias).all():
        raise BadQuantization(f"{node.where()}: its float bias has a value that is not finite.")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise BadQuantization(f"{node.where()}: x_scale * w_scale leaves the range of float32. Requantize the model.")
    return scale


def _quantized(bias: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """rne(f32(bias / scale)); beyond int32 it becomes -2^31, as on x86-64."""
    with np.errstate(over="ignore"):
        v = np.rint((bias / scale).astype(np.float32)).astype(np.float64)
    return np.where((v >= INT32[0]) & (v <= INT32[1]), v, INT32[0]).astype(np.int32)
