# SPDX-License-Identifier: Apache-2.0
"""Pad: constant (the value is quantized with the input's parameters), edge, reflect, wrap; negative pads crop."""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.ops.base import Attributes, FileView, require

MODES = ("constant", "reflect", "edge", "wrap")


def attributes(node: Node, view: FileView) -> Attributes:
    """mode, pads (all begins, all ends), value: the real padding value."""
    rank = len(view.shape(node.inputs[0]))
    mode = node.attrs.get("mode", "constant")
    require(mode in MODES, node, f"mode '{mode}' is unknown.")
    pads = node.attrs.get("pads")
    if pads is None:
        given = view.constant(node.input(1))
        require(given is not None, node, "pads computed at run time.")
        assert given is not None
        pads = tuple(int(v) for v in given.reshape(-1))
    axes = view.constant(node.input(3)) if node.input(3) else np.arange(rank)
    require(axes is not None and len(pads) == 2 * axes.size, node, "pads that do not fit the axes.")
    assert axes is not None
    full = [0] * (2 * rank)
    for i, axis in enumerate(int(a) % rank for a in axes):
        full[axis], full[axis + rank] = int(pads[i]), int(pads[i + axes.size])
    return {"mode": mode, "pads": tuple(full), "value": _value(node, view)}


def _value(node: Node, view: FileView) -> float:
    if not node.input(2):
        return float(node.attrs.get("value", 0.0))
    name = node.inputs[2]
    if name in view.dequantized:
        quantized, params = view.dequantized[name]
        value = view.constants.get(quantized)
        require(value is not None and value.size == 1, node, "a padding value computed at run time.")
        assert value is not None
        return float(spec.dequantize(value, params.scales(), params.zero_points()).reshape(-1)[0])
    value = view.constant(name)
    require(value is not None and value.size == 1, node, "a padding value computed at run time.")
    assert value is not None
    return float(value.reshape(-1)[0])


def lower(node: Node, low: Lowering) -> None:
    """One gather; the padding value goes through the output's parameters like every other value."""
    x = low.value(node.inputs[0])
    shape, pads, mode = low.buffers[x].shape, node.attrs["pads"], node.attrs["mode"]
    lists = [_axis(d, pads[i], pads[i + len(shape)], mode) for i, d in enumerate(shape)]
    source = low.requantized(node, 0, x, node.in_quant[0])
    out = node.out_quant[0]
    value = np.array([node.attrs["value"]], np.float32)
    if out is None:
        fill = int(value[0])
    else:
        fill = int(spec.quantize(value, out.scales(), out.zero_points(), out.dtype)[0])
        fill = spec.clamp(fill, *node.attrs["clamps"][0])
    low.define(node.outputs[0], low.gathered(source, lists, fill))


def _axis(length: int, before: int, after: int, mode: str) -> np.ndarray:
    at = np.arange(-before, length + after)
    if mode == "constant":
        return np.where((at >= 0) & (at < length), at, -1)
    if mode == "edge":
        return at.clip(0, length - 1)
    if mode == "wrap" or length == 1:
        return at % length
    folded = at % (2 * length - 2)
    return np.where(folded < length, folded, 2 * length - 2 - folded)
