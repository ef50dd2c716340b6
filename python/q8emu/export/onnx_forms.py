# SPDX-License-Identifier: Apache-2.0
"""How each canonical operator is spelled in ONNX: its attributes and its constant operands, on real tensors.

`Form` leaves out the tensors themselves, which the writer puts in front of the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

import numpy as np

from q8emu.errors import UnsupportedOperator
from q8emu.graph import Graph, Node
from q8emu.ops import resize

TO_FRONT = -(2**62)  # an end of a Slice that lies before index 0


@dataclass(frozen=True)
class Form:
    """Attributes, and the operands behind the tensors; None stands for an absent one."""

    attrs: dict[str, Any] = field(default_factory=dict)
    constants: Sequence[np.ndarray | None] = ()


def form(node: Node, graph: Graph, wider: Graph, opset: int) -> Form:
    """The ONNX spelling of a node.

    Args:
        node: canonical.
        graph: where its tensors are.
        wider: the same graph for another batch where the batch is open, else again `graph`.
        opset: that the model will have.

    Raises:
        UnsupportedOperator: ONNX has no operator for it in this opset.
    """
    if node.op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze"):
        return _reshaped(node, graph, wider)
    return FORMS[node.op](node, graph, opset) if node.op in FORMS else Form()


def _shapes(node: Node, graph: Graph) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return graph.tensors[node.inputs[0]].shape, graph.tensors[node.outputs[0]].shape


def _integers(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def _window(node: Node, graph: Graph) -> dict[str, Any]:
    """Kernel, strides, dilations and pads; a 1-D image has no height."""
    rank = len(graph.tensors[node.inputs[0]].shape) - 2
    pads = node.attrs["pads"]
    names = {"kernel": "kernel_shape", "strides": "strides", "dilations": "dilations"}
    return {name: list(node.attrs[key][-rank:]) for key, name in names.items()} | {
        "pads": list(pads) if rank == 2 else [pads[1], pads[3]]
    }


def _conv(node: Node, graph: Graph, opset: int) -> Form:
    return Form(_window(node, graph) | {"group": node.attrs["group"]})


def _pool(node: Node, graph: Graph, opset: int) -> Form:
    attrs = _window(node, graph)
    if node.op == "AveragePool":
        attrs["count_include_pad"] = node.attrs["count_include_pad"]
        if set(attrs["dilations"]) == {1}:
            del attrs["dilations"]
        elif opset < 19:
            raise UnsupportedOperator(f"{node.where()}: its dilation needs opset 19; the model has {opset}.")
    image, out = (_image(shape, graph.layout) for shape in _shapes(node, graph))
    attrs["ceil_mode"] = node.attrs.get("ceil_mode", 0) or int(image_size(image, attrs) != out)
    return Form(attrs)


def _image(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    return shape[1:-1] if layout == "NHWC" else shape[2:]


def image_size(image: Sequence[int], window: dict[str, Any]) -> tuple[int, ...]:
    """The size of a window's output where it rounds down.

    Example:
        >>> image_size((8,), {"kernel_shape": [3], "strides": [2], "pads": [0, 0]})
        (3,)
    """
    rank, sizes = len(image), []
    for axis, size in enumerate(image):
        padded = size + window["pads"][axis] + window["pads"][axis + rank]
        span = (window["kernel_shape"][axis] - 1) * window.get("dilations", [1] * rank)[axis] + 1
        sizes.append((padded - span) // window["strides"][axis] + 1)
    return tuple(sizes)


def _gemm(node: Node, graph: Graph, opset: int) -> Form:
    return Form({key: node.attrs[key] for key in ("alpha", "transA", "transB")})


def _attributes(*names: str) -> Callable[[Node, Graph, int], Form]:
    return lambda node, graph, opset: Form({name: node.attrs[name] for name in names})


def _clip(node: Node, graph: Graph, opset: int) -> Form:
    ends = (np.array(node.attrs[key], np.float32) for key in ("low", "high"))
    return Form({}, [None if np.isinf(end) else end for end in ends])


def _softmax(node: Node, graph: Graph, opset: int) -> Form:
    first, last = node.attrs["axes"]
    if last != first + 1:
        raise UnsupportedOperator(f"{node.where()}: it sums over axes {first} to {last - 1} together; expected one.")
    return Form({"axis": first})


def _reduce_mean(node: Node, graph: Graph, opset: int) -> Form:
    axes = node.attrs["axes"]
    before, after = _shapes(node, graph)
    attrs: dict[str, Any] = {"keepdims": int(len(before) == len(after))}
    return Form(attrs, [_integers(*axes)]) if opset >= 18 else Form(attrs | {"axes": list(axes)})


def _reshaped(node: Node, graph: Graph, wider: Graph) -> Form:
    before, after = _shapes(node, wider)
    if node.op == "Flatten":
        return Form({"axis": next(i for i in range(len(before) + 1) if prod(before[:i]) == after[0])})
    if node.op != "Reshape":
        fewer, more = sorted((before, after), key=len)
        return Form({}, [_integers(*_ones(fewer, more))])
    sizes = [m if m == n else -1 for m, n in zip(_shapes(node, graph)[1], after, strict=True)]
    if sizes.count(-1) > 1:
        raise UnsupportedOperator(f"{node.where()}: several of its axes grow with the batch; expected one.")
    return Form({}, [_integers(*sizes)])


def _ones(fewer: Sequence[int], more: Sequence[int]) -> list[int]:
    """Axes of length 1 of the longer shape that the shorter one lacks."""
    axes, at = [], 0
    for axis, size in enumerate(more):
        if at < len(fewer) and fewer[at] == size:
            at += 1
        else:
            axes.append(axis)
    return axes


def _slice(node: Node, graph: Graph, opset: int) -> Form:
    shape, _ = _shapes(node, graph)
    cut = [(*r, axis) for axis, r in enumerate(node.attrs["ranges"]) if tuple(r) != (0, shape[axis], 1)]
    starts, ends, steps, axes = ([row[i] for row in cut] for i in range(4))
    ends = [TO_FRONT if step < 0 and end < 0 else end for end, step in zip(ends, steps, strict=True)]
    return Form({}, [_integers(*v) for v in (starts, ends, axes, steps)])


def _split(node: Node, graph: Graph, opset: int) -> Form:
    return Form({"axis": node.attrs["axis"]}, [_integers(*node.attrs["lengths"])])


def _pad(node: Node, graph: Graph, opset: int) -> Form:
    constants = [_integers(*node.attrs["pads"])]
    if node.attrs["mode"] == "constant":
        constants.append(np.array(node.attrs["value"], np.float32))
    return Form({"mode": node.attrs["mode"]}, constants)


def _resize(node: Node, graph: Graph, opset: int) -> Form:
    """The first of ONNX's modes that picks the same coordinates; by scales, which leave an open batch open."""
    before, after = _shapes(node, graph)
    scales = np.array(after, np.float32) / np.array(before, np.float32)
    by_scales = np.array_equal(np.floor(scales * np.array(before, np.float32)), after)
    sizes = [None, scales] if by_scales else [None, None, _integers(*after)]
    for transform, nearest in product(resize.COORDINATES, resize.NEAREST):
        if transform == "half_pixel_symmetric" and opset < 19:
            continue
        if resize.indices(before, after, transform, nearest) == node.attrs["index"]:
            modes = {"coordinate_transformation_mode": transform, "nearest_mode": nearest, "mode": "nearest"}
            return Form(modes, sizes)
    raise UnsupportedOperator(f"{node.where()}: no mode of ONNX's Resize picks the coordinates that it picks.")


FORMS: dict[str, Callable[[Node, Graph, int], Form]] = {
    "AveragePool": _pool,
    "Clip": _clip,
    "Concat": _attributes("axis"),
    "Conv": _conv,
    "ConvInteger": _conv,
    "Gemm": _gemm,
    "HardSigmoid": _attributes("alpha", "beta"),
    "LeakyRelu": _attributes("alpha"),
    "MaxPool": _pool,
    "Pad": _pad,
    "ReduceMean": _reduce_mean,
    "Resize": _resize,
    "Slice": _slice,
    "Softmax": _softmax,
    "Split": _split,
    "Transpose": _attributes("perm"),
}
