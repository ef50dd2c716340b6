# SPDX-License-Identifier: Apache-2.0
"""LeakyRelu: y = Q(x if x >= 0 else alpha * x) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from q8emu.graph import Node
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, lower_unary

if TYPE_CHECKING:
    from q8emu.canonical.builder import Builder
    from q8emu.lower import Lowering


def attributes(node: Node, builder: Builder) -> Attributes:
    """alpha."""
    return {"alpha": float(node.attrs.get("alpha", 0.01))}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    lower_unary(node, low, lambda x: unary.leaky_relu(x, node.attrs["alpha"]))
