# SPDX-License-Identifier: Apache-2.0
"""LeakyRelu: y = Q(x if x >= 0 else alpha * x) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, FileView, lower_unary


def attributes(node: Node, view: FileView) -> Attributes:
    """alpha."""
    return {"alpha": float(node.attrs.get("alpha", 0.01))}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    lower_unary(node, low, lambda x: unary.leaky_relu(x, node.attrs["alpha"]))
