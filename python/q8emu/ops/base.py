# SPDX-License-Identifier: Apache-2.0
"""What an operator file provides, and what several of them share.

An operator is a module with two functions:

    attributes(node, view)   canonical attributes of a node as the file spells it, or UnsupportedOperator
    lower(node, low)            the steps of a canonical node, appended to the Lowering

and, where it makes sense, `bounds` (an activation that is only a clamp), `weight_axis` and `channel_axis_fits`
(a product with per-channel weights).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from q8emu.errors import UnsupportedOperator
from q8emu.graph import Graph, Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.numerics import fixed_point
from q8emu.tables import integer_table, table

Attributes = Mapping[str, Any]
Constant = Callable[[str], "np.ndarray | None"]


class FileView(Protocol):
    """What an operator may ask about the file that its node is in."""

    graph: Graph
    constants: dict[str, np.ndarray]  # canonical ones
    dequantized: dict[str, tuple[str, QuantParams]]  # real tensor → its quantized tensor and parameters

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant of the file."""

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor."""


class Op(Protocol):
    """The two functions of an operator module."""

    def attributes(self, node: Node, view: FileView) -> Attributes:
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


def lower_unary(node: Node, low: Lowering, function: Callable[[np.ndarray], np.ndarray]) -> None:
    """Lower an operator with one quantized operand to a table, in float32.

    Raises:
        UnsupportedOperator: the profile has integer rules, and none for this operator.
    """
    if low.numerics.unary != "float":
        low.refuse(node, "has no rule for this operator; use another profile, or keep the operator in float")
    values = table(function, quant(node, 0), out_quant(node), node.attrs["clamp"], low.numerics)
    low.unary(node, values)


def lower_integer_unary(node: Node, low: Lowering, function: Callable[[int], int]) -> None:
    """Lower an operator with one quantized operand to a table of function(x - x_zero_point)."""
    low.unary(node, integer_table(function, quant(node, 0), out_quant(node), node.attrs["clamp"]))


def lower_fixed(node: Node, low: Lowering, function: Callable[[int], int], fraction_bits: int) -> None:
    """Lower a function of Q4.27 to a table; refuses scales below the least that the rule covers."""
    x, y = quant(node, 0), out_quant(node)
    if x.scale[0] < 2.0**-26:
        low.refuse(node, f"covers input scales from 2^-26; found {x}")
    at = fixed_point.at_scale(function, float(x.scale[0]), fraction_bits)
    lower_integer_unary(node, low, lambda d: at(d) + y.zero_point[0])


def require(condition: bool, node: Node, reason: str) -> None:
    """Refuse a node whose attribute is outside the integer form.

    Raises:
        UnsupportedOperator: the condition does not hold.
    """
    if not condition:
        raise UnsupportedOperator(f"{node.where()}: {reason}")
