# SPDX-License-Identifier: Apache-2.0
"""Sub (QDQ): Q(f32(DQ(a) - DQ(b))), broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from q8emu.graph import Node
from q8emu.ops.base import Attributes
from q8emu.ops.binary import lower_float

if TYPE_CHECKING:
    from q8emu.canonical.builder import Builder
    from q8emu.lower import Lowering


def attributes(node: Node, builder: Builder) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One float_binary."""
    lower_float(node, low, 1)
