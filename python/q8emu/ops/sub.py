# SPDX-License-Identifier: Apache-2.0
"""Sub (QDQ): Q(f32(DQ(a) - DQ(b))), broadcast."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView
from q8emu.ops.binary import lower_float


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One float_binary."""
    lower_float(node, low, 1)
