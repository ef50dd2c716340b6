# SPDX-License-Identifier: Apache-2.0
"""Requantize: DequantizeLinear followed by QuantizeLinear, from one scale and zero point to another, a table."""

from __future__ import annotations

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.base import out_quant, quant
from q8emu.tables import requantization_table


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    y = out_quant(node)
    low.unary(node, requantization_table(low.numerics, quant(node, 0), y, spec.limits(y.dtype)))
