# SPDX-License-Identifier: Apache-2.0
"""Relu: y = Q(max(x, 0)) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from q8emu.graph import Node
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, Constant, lower_unary

if TYPE_CHECKING:
    from q8emu.canonical.builder import Builder
    from q8emu.lower import Lowering


def attributes(node: Node, builder: Builder) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    lower_unary(node, low, unary.relu)


def bounds(node: Node, constant: Constant) -> tuple[float, float]:
    """The clamp that the activation is."""
    return 0.0, float("inf")
