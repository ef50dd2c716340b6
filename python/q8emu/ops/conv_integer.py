# SPDX-License-Identifier: Apache-2.0
"""ConvInteger: y[o] = sum of (x - x_zero_point)(w[o] - w_zero_point[o]), int32, wraps."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops import conv
from q8emu.ops.accumulator import accumulator_params, refuse_unproven
from q8emu.ops.base import Attributes, FileView, require


def attributes(node: Node, view: FileView) -> Attributes:
    """As Conv; the weights and their zero point are constants, the zero point of x may be computed at run time."""
    require(node.inputs[1] in view.graph.constants, node, "weights computed at run time.")
    w_zero_point = node.input(3)
    require(not w_zero_point or w_zero_point in view.graph.constants, node, "a weight zero point of run time.")
    if node.input(2):
        require(int(np.prod(view.shape(node.inputs[2]))) == 1, node, "a zero point of x with several elements.")
    return conv.attributes(node, view)


def lower(node: Node, low: Lowering) -> None:
    """One conv2d with an int32 output."""
    w = low.graph.constants[node.inputs[1]]
    zero = np.zeros(1, np.int32)
    w_zero_point = low.graph.constants[node.inputs[3]].reshape(-1) if node.input(3) else zero
    arrays = {"w_zero_point": np.broadcast_to(w_zero_point.astype(np.int32), w.shape[:1]).copy()}
    params: dict[str, int | tuple[int, ...]] = {}
    extra: tuple[int, ...] = ()
    if node.input(2) and node.inputs[2] not in low.graph.constants:
        extra = (low.reshaped(node.inputs[2], (1,)),)
    else:
        params["x_zero_point"] = int(low.graph.constants[node.inputs[2]].reshape(-1)[0]) if node.input(2) else 0
    refuse_unproven(node, low)
    conv.emit(node, low, w, params, arrays, (accumulator_params(low), {}), extra)
