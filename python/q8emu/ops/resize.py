# SPDX-License-Identifier: Apache-2.0
"""Resize with mode nearest: each output coordinate picks one input coordinate per axis.

Source: ONNX Resize; microsoft/onnxruntime core/providers/cpu/tensor/upsample.cc, which takes a coordinate within 1e-6
of a half for a tie.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.ops.base import Attributes, FileView, require

COORDINATES = (
    "align_corners",
    "asymmetric",
    "half_pixel",
    "half_pixel_symmetric",
    "pytorch_half_pixel",
    "tf_half_pixel_for_nn",
)
NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
OPSET_10 = "floor, ceil when it shrinks"  # what the runtime does before opset 11
TIE = 1e-6  # closer to a half than this counts as a tie


def attributes(node: Node, view: FileView) -> Attributes:
    """index: per axis the input coordinate of each output coordinate."""
    require(node.attrs.get("mode", "nearest") == "nearest", node, "a mode other than nearest.")
    require(node.attrs.get("keep_aspect_ratio_policy", "stretch") == "stretch", node, "an aspect ratio policy.")
    v10 = view.graph.opsets[""] == 10
    transform = "asymmetric" if v10 else node.attrs.get("coordinate_transformation_mode", "half_pixel")
    nearest = OPSET_10 if v10 else node.attrs.get("nearest_mode", "round_prefer_floor")
    require(transform in COORDINATES and nearest in (*NEAREST, OPSET_10), node, f"{transform} with {nearest}.")
    shape, out = view.shape(node.inputs[0]), view.shape(node.outputs[0])
    scales = _scales(node, view, shape, out)
    lists = [_axis(n, m, s, transform, nearest) for n, m, s in zip(shape, out, scales, strict=True)]
    return {"index": tuple(tuple(map(int, i)) for i in lists)}


def indices(shape: Sequence[int], out: Sequence[int], transform: str, nearest: str) -> tuple[tuple[int, ...], ...]:
    """Per axis the input coordinate of each output coordinate, where the sizes alone are given.

    Example:
        >>> indices((2,), (4,), "asymmetric", "floor")
        ((0, 0, 1, 1),)
    """
    scales = [np.float32(m) / np.float32(n) for n, m in zip(shape, out, strict=True)]
    lists = [_axis(n, m, s, transform, nearest) for n, m, s in zip(shape, out, scales, strict=True)]
    return tuple(tuple(map(int, i)) for i in lists)


def _scales(node: Node, view: FileView, shape: tuple[int, ...], out: tuple[int, ...]) -> list[np.float32]:
    """float32 factor per axis: given, or output over input."""
    at = 1 if view.graph.opsets[""] == 10 else 2
    given = view.constant(node.input(at)) if node.input(at) else None
    require(given is not None or not node.input(at), node, "scales computed at run time.")
    scales = [np.float32(m) / np.float32(n) for n, m in zip(shape, out, strict=True)]
    if given is not None and given.size:
        axes = node.attrs.get("axes") or range(len(shape))
        require(given.size == len(tuple(axes)), node, "scales that do not fit the axes.")
        for axis, value in zip(axes, given.reshape(-1), strict=True):
            scales[int(axis) % len(shape)] = np.float32(value)
    return scales


def _axis(length: int, out: int, scale: np.float32, transform: str, nearest: str) -> np.ndarray:
    """The source index of each output index along one axis."""
    if scale == 1:
        return np.arange(out)
    x = _coordinates(length, out, scale, transform).astype(np.float64)
    below = np.floor(x)
    if nearest in ("floor", "ceil", OPSET_10):
        up = nearest == "ceil" or (nearest == OPSET_10 and scale < 1)
        index = np.ceil(x) if up else below
    else:
        tie = np.abs(x - below - 0.5) <= TIE
        index = np.where(tie, below + (nearest == "round_prefer_ceil"), np.floor(x + 0.5))
    return index.clip(0, length - 1).astype(np.int64)


def _coordinates(length: int, out: int, scale: np.float32, transform: str) -> np.ndarray:
    """float32[out]: where each output index lies in the input, every operation rounded."""
    at, half, one = np.arange(out, dtype=np.float32), np.float32(0.5), np.float32(1)
    if transform == "align_corners":
        return np.zeros_like(at) if out == 1 else at * np.float32(length - 1) / np.float32(out - 1)
    if transform == "asymmetric":
        return at / scale
    if transform == "tf_half_pixel_for_nn":
        return (at + half) / scale
    if transform == "half_pixel_symmetric":
        adjustment = np.float32(out) / (scale * np.float32(length))
        offset = (np.float32(length) / np.float32(2)) * (one - adjustment)
        return (float(offset) + (at.astype(np.float64) + 0.5) / float(scale) - 0.5).astype(np.float32)
    if transform == "pytorch_half_pixel" and out == 1:
        return np.zeros_like(at)
    return (at + half) / scale - half


def lower(node: Node, low: Lowering) -> None:
    """One gather."""
    lists = [np.array(i, np.int64) for i in node.attrs["index"]]
    low.moved(node, 0, low.gathered(low.value(node.inputs[0]), lists))
