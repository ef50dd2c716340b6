# SPDX-License-Identifier: Apache-2.0
"""HardSigmoid: y = Q(max(0, min(1, alpha * x + beta))) of the dequantized x, a table of 256 entries."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, FileView, lower_unary


def attributes(node: Node, view: FileView) -> Attributes:
    """alpha, beta."""
    return {name: float(np.float32(node.attrs.get(name, usual))) for name, usual in (("alpha", 0.2), ("beta", 0.5))}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    lower_unary(node, low, lambda x: unary.hard_sigmoid(x, node.attrs["alpha"], node.attrs["beta"]))
