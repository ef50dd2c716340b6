# SPDX-License-Identifier: Apache-2.0
"""The operators of a canonical Graph in TOSA, one function each."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from q8emu.backends.tosa_graph import LEFT_SHIFT, Emit, Emitters, TosaGraph, out_quant, require
from q8emu.backends.tosa_softmax import softmax
from q8emu.graph import Node, QuantParams


def operand(node: Node, index: int) -> QuantParams:
    """Parameters of a quantized operand."""
    params = node.in_quant[index]
    require(params is not None, node, "operands that are not quantized")
    assert params is not None
    return params


def conv(node: Node, target: TosaGraph) -> None:
    """CONV2D or DEPTHWISE_CONV2D, RESCALE."""
    weights = target.graph.constants[node.inputs[1]]  # OIHW
    x = target.image(node)
    group, channels = node.attrs["group"], x.shape[3]
    is_depthwise = group == channels and group > 1
    if group > 1 and not is_depthwise:
        return target.define_image(node, _grouped(node, target, x, weights))
    if is_depthwise:
        repeated = weights.reshape(channels, -1, *weights.shape[2:])
        kernel, name = repeated.transpose(2, 3, 0, 1), "DEPTHWISE_CONV2D"
    else:
        kernel, name = weights.transpose(0, 2, 3, 1), "CONV2D"
    x, pads, (height, width) = target.window(node, x)
    shape = (x.shape[0], height, width, weights.shape[0])
    attribute = "DepthwiseConv2d" if is_depthwise else "Conv2d"
    values = (pads, list(node.attrs["strides"]), list(node.attrs["dilations"]), False, target.dtype("int32"))
    y = product(node, target, x, kernel, slice(weights.shape[0]), (name, shape, attribute, values))
    target.define_image(node, y)
    return None


def _grouped(node: Node, target: TosaGraph, x: Any, weights: np.ndarray) -> Any:
    """One CONV2D and RESCALE per group, CONCAT."""
    group, (inside, outside) = node.attrs["group"], (weights.shape[1], weights.shape[0] // node.attrs["group"])
    x, pads, (height, width) = target.window(node, x)
    values = (pads, list(node.attrs["strides"]), list(node.attrs["dilations"]), False, target.dtype("int32"))
    parts = []
    for index in range(group):
        begin, sizes = [0, 0, 0, index * inside], [*x.shape[:3], inside]
        part = target.op("SLICE", (x, target.shape(begin), target.shape(sizes)), sizes, "int8", "Slice")
        own = slice(index * outside, (index + 1) * outside)
        form = ("CONV2D", (x.shape[0], height, width, outside), "Conv2d", values)
        parts.append(product(node, target, part, weights[own].transpose(0, 2, 3, 1), own, form))
    return target.op("CONCAT", parts, (x.shape[0], height, width, weights.shape[0]), "int8", "Concat", 3)


def gemm(node: Node, target: TosaGraph) -> None:
    """CONV2D over an image of 1 by 1, RESCALE."""
    x, weights = target.value(node.inputs[0]), target.graph.constants.get(node.inputs[1])
    require(weights is not None and weights.ndim == 2 and len(x.shape) == 2, node, "weights computed at run time")
    require(not node.attrs.get("transA", 0) and node.attrs.get("alpha", 1.0) == 1.0, node, "transA or alpha")
    assert weights is not None
    rows = weights if node.attrs.get("transB", 0) else weights.T
    image = target.reshaped(x, (x.shape[0], 1, 1, x.shape[1]))
    values = ([0, 0, 0, 0], [1, 1], [1, 1], False, target.dtype("int32"))
    form = ("CONV2D", (x.shape[0], 1, 1, rows.shape[0]), "Conv2d", values)
    y = product(node, target, image, rows[:, None, None, :], slice(rows.shape[0]), form)
    target.tensors[node.outputs[0]] = target.reshaped(y, (x.shape[0], rows.shape[0]))


def product(node: Node, target: TosaGraph, x: Any, kernel: np.ndarray, channels: slice, form: Any) -> Any:
    """The sum of products in int32 for some output channels, then RESCALE per channel."""
    x_quant, w_quant, y_quant = operand(node, 0), operand(node, 1), out_quant(node)
    require(len(set(w_quant.zero_point)) == 1, node, "weight zero points per channel")
    count = target.graph.tensors[node.inputs[1]].shape[0] if "group" in node.attrs else channels.stop
    bias = target.graph.constants[node.inputs[2]].reshape(-1) if node.input(2) else np.zeros(count, np.int32)
    require(bias.size == count, node, "a bias that is not one per channel")
    zeros = target.scalar(x_quant.zero_point[0]), target.scalar(w_quant.zero_point[0])
    name, shape, attribute, values = form
    inputs = (x, target.constant(kernel), target.constant(bias[channels]), *zeros)
    acc = target.op(name, inputs, shape, "int32", attribute, *values)
    factors = [float(x_quant.scale[0]) * float(w) / float(y_quant.scale[0]) for w in w_quant.scale]
    factors = factors[channels] if len(factors) > 1 else factors
    return target.quantized(node, acc, factors)


def binary(name: str) -> Emit:
    """ADD or SUB of two operands rescaled to twice the larger scale with LEFT_SHIFT fraction bits."""

    def emit(node: Node, target: TosaGraph) -> None:
        a, b, y = operand(node, 0), operand(node, 1), out_quant(node)
        twice = 2 * max(float(a.scale[0]), float(b.scale[0]))
        sides = [_widened(node, target, index, float(q.scale[0]) / twice) for index, q in ((0, a), (1, b))]
        acc = _aligned(target, node, sides, name, ())
        target.tensors[node.outputs[0]] = target.quantized(node, acc, [twice / (2**LEFT_SHIFT * float(y.scale[0]))])

    return emit


def _widened(node: Node, target: TosaGraph, index: int, factor: float) -> Any:
    """One RESCALE; two under DOUBLE_ROUND, where the shift to the left comes first and the factor is not 1/2."""
    x, zero = target.value(node.inputs[index]), operand(node, index).zero_point[0]
    if target.is_single or factor == 0.5:
        return target.rescale(x, [factor * 2**LEFT_SHIFT], zero, 0, ("int8", "int32"))
    wide = target.rescale(x, [float(2**LEFT_SHIFT)], zero, 0, ("int8", "int32"))
    return target.rescale(wide, [factor], 0, 0, ("int32", "int32"))


def _aligned(target: TosaGraph, node: Node, sides: list[Any], name: str, extra: tuple[Any, ...]) -> Any:
    """An element-wise operator on int32 operands of one rank."""
    shape = target.graph.tensors[node.outputs[0]].shape
    full = [
        s if len(s.shape) == len(shape) else target.reshaped(s, (1,) * (len(shape) - len(s.shape)) + tuple(s.shape))
        for s in sides
    ]
    return target.op(name, (*full, *extra), shape, "int32", name.title())


def mul(node: Node, target: TosaGraph) -> None:
    """MUL of the centred operands, RESCALE."""
    a, b, y = operand(node, 0), operand(node, 1), out_quant(node)
    sides = [target.centred(target.value(node.inputs[i]), q) for i, q in ((0, a), (1, b))]
    acc = _aligned(target, node, sides, "MUL", (target.scalar(0),))
    factor = float(a.scale[0]) * float(b.scale[0]) / float(y.scale[0])
    target.tensors[node.outputs[0]] = target.quantized(node, acc, [factor])


def average_pool(node: Node, target: TosaGraph) -> None:
    """AVG_POOL2D."""
    x_quant, y_quant = operand(node, 0), out_quant(node)
    require(x_quant == y_quant, node, "other parameters at the output")
    require(not (node.attrs["count_include_pad"] and any(node.attrs["pads"])), node, "count_include_pad")
    require(set(node.attrs["dilations"]) == {1}, node, "dilations")
    x, pads, (height, width) = target.window(node, target.image(node))
    zeros = target.scalar(x_quant.zero_point[0]), target.scalar(y_quant.zero_point[0])
    values = (list(node.attrs["kernel"]), list(node.attrs["strides"]), pads, target.dtype("int32"))
    shape = (x.shape[0], height, width, x.shape[3])
    y = target.op("AVG_POOL2D", (x, *zeros), shape, "int8", "AvgPool2d", *values)
    target.define_image(node, target.clamped(node, y))


def max_pool(node: Node, target: TosaGraph) -> None:
    """MAX_POOL2D."""
    require(set(node.attrs["dilations"]) == {1}, node, "dilations")
    x, pads, (height, width) = target.window(node, target.image(node))
    values = (list(node.attrs["kernel"]), list(node.attrs["strides"]), pads, target.modes.PROPAGATE)
    y = target.op("MAX_POOL2D", (x,), (x.shape[0], height, width, x.shape[3]), "int8", "MaxPool2d", *values)
    target.define_image(node, target.clamped(node, target.converted(node, 0, y)))


def mean(node: Node, target: TosaGraph) -> None:
    """The centred values as int32, REDUCE_SUM per axis, RESCALE by the scales' quotient over the count."""
    x_quant, y_quant = operand(node, 0), out_quant(node)
    info = target.graph.tensors[node.inputs[0]]
    axes = node.attrs.get("axes") or ((1, 2) if target.graph.layout == "NHWC" else (2, 3))
    acc, shape = target.centred(target.value(node.inputs[0]), x_quant), list(info.shape)
    for axis in axes:
        shape[axis] = 1
        acc = target.op("REDUCE_SUM", (acc,), shape, "int32", "ReduceSum", axis)
    count = prod(info.shape[axis] for axis in axes)
    factor = 1.0 / count * (float(x_quant.scale[0]) / float(y_quant.scale[0]))
    y = target.quantized(node, acc, [factor])
    target.tensors[node.outputs[0]] = target.reshaped(y, target.graph.tensors[node.outputs[0]].shape)


def reshape(node: Node, target: TosaGraph) -> None:
    """RESHAPE."""
    y = target.reshaped(target.value(node.inputs[0]), target.graph.tensors[node.outputs[0]].shape)
    target.tensors[node.outputs[0]] = target.clamped(node, target.converted(node, 0, y))


def transpose(node: Node, target: TosaGraph) -> None:
    """TRANSPOSE."""
    y = target.transposed(target.value(node.inputs[0]), node.attrs["perm"])
    target.tensors[node.outputs[0]] = target.clamped(node, target.converted(node, 0, y))


def concat(node: Node, target: TosaGraph) -> None:
    """RESCALE where an operand has other parameters, CONCAT."""
    parts = [target.converted(node, i, target.value(name)) for i, name in enumerate(node.inputs)]
    shape = target.graph.tensors[node.outputs[0]].shape
    y = target.op("CONCAT", parts, shape, "int8", "Concat", node.attrs["axis"])
    target.tensors[node.outputs[0]] = target.clamped(node, y)


def pad(node: Node, target: TosaGraph) -> None:
    """PAD with a constant."""
    x_quant, pads = operand(node, 0), node.attrs["pads"]
    require(node.attrs["mode"] == "constant" and min(pads) >= 0, node, f"mode {node.attrs['mode']} or negative pads")
    require(node.attrs["value"] == 0.0 and x_quant == node.out_quant[0], node, "other padding than the zero point")
    rank = len(pads) // 2
    both = target.shape([pads[axis + end * rank] for axis in range(rank) for end in (0, 1)])
    inputs = (target.value(node.inputs[0]), both, target.scalar(x_quant.zero_point[0]))
    shape = target.graph.tensors[node.outputs[0]].shape
    target.tensors[node.outputs[0]] = target.clamped(node, target.op("PAD", inputs, shape, "int8", "Pad"))


def requantize(node: Node, target: TosaGraph) -> None:
    """RESCALE."""
    target.tensors[node.outputs[0]] = target.converted(node, 0, target.value(node.inputs[0]))


def relu(node: Node, target: TosaGraph) -> None:
    """RESCALE, CLAMP from the zero point on."""
    x, y = operand(node, 0), out_quant(node)
    factor = float(x.scale[0]) / float(y.scale[0])
    scaled = target.rescale(target.value(node.inputs[0]), [factor], x.zero_point[0], y.zero_point[0], ("int8", "int8"))
    low, high = node.attrs["clamp"]
    target.tensors[node.outputs[0]] = target.clamped(node, scaled, (max(low, y.zero_point[0]), high))


EMIT: Emitters = {
    "Add": binary("ADD"),
    "AveragePool": average_pool,
    "Concat": concat,
    "Conv": conv,
    "Flatten": reshape,
    "Gemm": gemm,
    "GlobalAveragePool": mean,
    "Identity": reshape,
    "MaxPool": max_pool,
    "Mul": mul,
    "Pad": pad,
    "ReduceMean": mean,
    "Relu": relu,
    "Requantize": requantize,
    "Reshape": reshape,
    "Softmax": softmax,
    "Squeeze": reshape,
    "Sub": binary("SUB"),
    "Transpose": transpose,
    "Unsqueeze": reshape,
}
