# SPDX-License-Identifier: Apache-2.0
"""Sub (QDQ): Q(f32(DQ(a) - DQ(b))), broadcast; the other rules of Add: see `binary` and `add_branches`."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.add_branches import BRANCHES, lower_branches
from q8emu.ops.base import Attributes, FileView
from q8emu.ops.binary import lower_common_shift, lower_float, lower_left_shift


def attributes(node: Node, view: FileView) -> Attributes:
    """None."""
    return {}


def lower(node: Node, low: Lowering) -> None:
    """One float_binary, or one add_rescaled."""
    if low.numerics.add in BRANCHES:
        return lower_branches(node, low, -1)
    if low.numerics.add == "left_shift":
        return lower_left_shift(node, low, -1)
    if low.numerics.add == "common_shift":
        return lower_common_shift(node, low, -1)
    return lower_float(node, low, 1)
