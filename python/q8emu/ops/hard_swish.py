# SPDX-License-Identifier: Apache-2.0
"""HardSwish: y = Q(x * max(0, min(1, x / 6 + 1 / 2))) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, FileView, lower_unary


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    lower_unary(node, low, unary.hard_swish)
