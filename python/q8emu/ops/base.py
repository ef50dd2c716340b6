# SPDX-License-Identifier: Apache-2.0
"""What an operator file provides, and what several of them share.

An operator is a module with two functions:

    attributes(node, builder)   canonical attributes of a node as the file spells it, or UnsupportedOperator
    lower(node, low)            the steps of a canonical node, appended to the Lowering

and, where it makes sense, `bounds` (an activation that is only a clamp), `weight_axis` and `channel_axis_fits`
(a product with per-channel weights).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from q8emu.errors import UnsupportedOperator
from q8emu.graph import Node, QuantParams
from q8emu.numerics import spec

if TYPE_CHECKING:
    from q8emu.canonical.builder import Builder
    from q8emu.lower import Lowering

Attributes = Mapping[str, Any]
Constant = Callable[[str], "np.ndarray | None"]


class Op(Protocol):
    """The two functions of an operator module."""

    def attributes(self, node: Node, builder: Builder) -> Attributes:
        """Canonical attributes."""

    def lower(self, node: Node, low: Lowering) -> None:
        """Append the steps."""


def quant(node: Node, index: int) -> QuantParams:
    """Parameters of quantized operand `index` of a canonical node."""
    params = node.in_quant[index]
    assert params is not None
    return params


def out_quant(node: Node, index: int = 0) -> QuantParams:
    """Parameters of quantized output `index` of a canonical node."""
    params = node.out_quant[index]
    assert params is not None
    return params


def clamp_params(clamp: tuple[int, int]) -> dict[str, int]:
    """The clamp bounds as step parameters."""
    return {"qmin": clamp[0], "qmax": clamp[1]}


def ratio(*factors: np.floating | float, over: np.floating | float) -> np.float32:
    """f32(f32(a * b ...) / over), each operation rounded."""
    value = np.float32(factors[0])
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for factor in factors[1:]:
            value = value * np.float32(factor)
        return np.float32(value / np.float32(over))


def scale_bits(values: np.ndarray | np.floating) -> np.ndarray:
    """float32 array to the bit patterns that a step carries."""
    return np.atleast_1d(np.asarray(values, np.float32)).view(np.uint32).copy()


def table(
    function: Callable[[np.ndarray], np.ndarray], x: QuantParams, y: QuantParams, clamp: tuple[int, int]
) -> np.ndarray:
    """The 256 results of Q(function(DQ(x))), clamped, indexed by the bits of x read as uint8."""
    codes = np.arange(256, dtype=np.uint8).view(x.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        real = function(spec.dequantize(codes, x.scales(), x.zero_points()))
    q = spec.quantize(np.asarray(real, np.float32), y.scales(), y.zero_points(), y.dtype)
    clamped: np.ndarray = np.clip(q, *clamp).astype(y.dtype)
    return clamped


def lower_unary(node: Node, low: Lowering, function: Callable[[np.ndarray], np.ndarray]) -> None:
    """Lower an operator with one quantized operand to a table."""
    values = table(function, quant(node, 0), out_quant(node), node.attrs["clamp"])
    low.unary(node, values)


def require(condition: bool, node: Node, reason: str) -> None:
    """Refuse a node whose attribute is outside the integer form.

    Raises:
        UnsupportedOperator: the condition does not hold.
    """
    if not condition:
        raise UnsupportedOperator(f"{node.where()}: {reason}")
