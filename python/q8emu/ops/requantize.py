# SPDX-License-Identifier: Apache-2.0
"""Requantize: DequantizeLinear followed by QuantizeLinear, from one scale and zero point to another, a table."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.numerics.multiplier import RULES
from q8emu.ops.base import out_quant, quant
from q8emu.tables import requantization_table

GROUP = 16  # elements that a vector kernel takes at once


def lower(node: Node, low: Lowering) -> None:
    """One lut; two where the profile rounds the last elements by another rule and the tables differ."""
    x, y = quant(node, 0), out_quant(node)
    most = last = requantization_table(node, low.numerics, x, y, spec.limits(y.dtype))
    if low.numerics.requantize == "rescaling_by_16":
        most = requantization_table(node, low.numerics, x, y, spec.limits(y.dtype), RULES["ruy_x86"])
    tensor = low.graph.tensors[node.inputs[0]]
    whole = tensor.elements // GROUP * GROUP
    if np.array_equal(most, last) or whole == 0:
        return low.unary(node, last)
    if whole == tensor.elements:
        return low.unary(node, most)
    parts = []
    for values, begin, end in ((most, 0, whole), (last, whole, tensor.elements)):
        part = low.gathered(low.reshaped(node.inputs[0], (tensor.elements,)), [np.arange(begin, end)])
        out = low.new(y.dtype, (end - begin,))
        low.add("lut", (part,), (out,), {}, {"table": values})
        parts.append(out)
    low.joined(node.outputs[0], parts)
    return None
