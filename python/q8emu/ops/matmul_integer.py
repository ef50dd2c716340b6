# SPDX-License-Identifier: Apache-2.0
"""MatMulInteger: y = sum over k of (a - a_zero_point)(b - b_zero_point), int32, wraps."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops import matmul
from q8emu.ops.accumulator import accumulator_params, refuse_unproven
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """Zero points of run time are single values; constant ones of b may be per column."""
    for index, name in enumerate(node.inputs[2:4]):
        if not name:
            continue
        size = int(np.prod(view.shape(name)))
        columns = view.shape(node.inputs[1])[-1] if index == 1 and name in view.graph.constants else 1
        flat = len(view.shape(name)) <= 1
        require(size == 1 or (size == columns and flat), node, "zero points per row, or per column at run time.")
    return matmul.attributes(node, view)


def lower(node: Node, low: Lowering) -> None:
    """One matmul with an int32 output."""
    params: dict[str, int | tuple[int, ...]] = {"a_zero_point": 0}
    arrays = {"b_zero_point": np.zeros(1, np.int32)}
    zero_points = []
    for name, side in zip((node.input(2), node.input(3)), "ab", strict=True):
        if not name:
            continue
        value = low.graph.constants.get(name)
        if value is None:
            params[f"has_{side}_zero_point_input"] = 1
            zero_points.append(low.reshaped(name, (1,)))
        elif side == "a":
            params["a_zero_point"] = int(value.reshape(-1)[0])
        else:
            arrays["b_zero_point"] = value.reshape(-1).astype(np.int32)
    refuse_unproven(node, low)
    matmul.emit(node, low, params, arrays, (accumulator_params(low), {}), tuple(zero_points))
