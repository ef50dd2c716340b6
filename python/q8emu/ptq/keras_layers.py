# SPDX-License-Identifier: Apache-2.0
"""The layers of Keras that are converted, and the ONNX nodes that each becomes. What is not here is refused by name.

A layer's result keeps the layer's name. A BatchNormalization behind a convolution is folded into its weights, see
docs/decisions/0008-keras-becomes-onnx-without-keras.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from q8emu.ptq.keras_config import Layer, input_shape
from q8emu.ptq.keras_graph import Graph, Tensor

ACTIVATIONS = {
    "elu": "Elu",
    "exponential": "Exp",
    "linear": "",
    "relu": "Relu",
    "selu": "Selu",
    "sigmoid": "Sigmoid",
    "softmax": "Softmax",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "tanh": "Tanh",
}
"""Activations by Keras's name, and the ONNX operator with the same constants."""

MERGES = {"Add": "Add", "Maximum": "Max", "Minimum": "Min", "Multiply": "Mul", "Subtract": "Sub"}

Convert = Callable[[Graph, Layer, Sequence[Tensor], "Layer | None"], Tensor]


def activation_name(layer: Layer) -> str:
    """The activation of a layer; Keras 3 may write it as an object.

    Raises:
        UnsupportedOperator: one that is not converted.
    """
    found = layer.config.get("activation") or "linear"
    name = found.get("config") if isinstance(found, dict) else found
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise layer.refuse(f"the activation {name!r}; known are {', '.join(ACTIVATIONS)}")
    return name


def pads(layer: Layer, sizes: Sequence[int], kernel: Sequence[int], strides: Sequence[int]) -> list[tuple[int, int]]:
    """Padding before and behind each axis: TensorFlow's "same" puts the odd one behind.

    out = ceil(in / stride); total = max((out − 1)·stride + (kernel − 1)·dilation + 1 − in, 0); before = total // 2
    """
    padding = layer.config.get("padding", "valid")
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    if padding != "same":
        raise layer.refuse(f"the padding {padding!r}")
    found = []
    for size, window, stride, spread in zip(sizes, kernel, strides, dilations(layer), strict=True):
        total = max((-(-size // stride) - 1) * stride + (window - 1) * spread + 1 - size, 0)
        found.append((total // 2, total - total // 2))
    return found


def pair(layer: Layer, name: str, default: Any = None) -> tuple[int, int]:
    """Two sizes of a layer's configuration, of 1 or more."""
    found = layer.config.get(name)
    found = default if found is None else found
    both = [found, found] if isinstance(found, int) else list(found or ())
    if len(both) != 2 or not all(isinstance(v, int) and 0 < v < 2**16 for v in both):
        raise layer.refuse(f"{name} {found!r}; expected two sizes")
    return both[0], both[1]


def dilations(layer: Layer) -> tuple[int, int]:
    """Of a convolution; a pool has none."""
    return pair(layer, "dilation_rate", 1)


def image(layer: Layer, x: Tensor) -> tuple[int, int, int]:
    """Height, width and channels of a layer's input."""
    if not x.is_image:
        raise layer.refuse(f"an input of shape {list(x.shape)}; expected an image")
    if layer.config.get("data_format") not in (None, "channels_last"):
        raise layer.refuse(f"the data_format {layer.config['data_format']!r}; expected channels_last")
    return x.shape[0], x.shape[1], x.shape[2]


def normalization(net: Graph, layer: Layer, channels: int) -> tuple[np.ndarray, ...]:
    """gamma, beta, mean and variance as float64, and epsilon."""
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if axis not in (-1, 1, 3):
        raise layer.refuse(f"the axis {axis!r}; expected the last one")
    ones, zeros = np.ones(channels), np.zeros(channels)
    gamma = net.weight(layer, "gamma", [channels]) if layer.config.get("scale", True) else ones
    beta = net.weight(layer, "beta", [channels]) if layer.config.get("center", True) else zeros
    mean, variance = (net.weight(layer, f"moving_{n}", [channels]) for n in ("mean", "variance"))
    epsilon = np.float64(layer.config.get("epsilon", 1e-3))
    return tuple(np.asarray(v, np.float64) for v in (gamma, beta, mean, variance, epsilon))


def _input(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    return net.input(layer, input_shape(layer))


def _identity(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    return xs[0]


def _convolution(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    """Conv2D and DepthwiseConv2D; kernel [KH, KW, I / groups, O] or [KH, KW, I, multiplier]."""
    height, width, channels = image(layer, xs[0])
    depthwise = layer.kind == "DepthwiseConv2D"
    kernel, strides = pair(layer, "kernel_size"), pair(layer, "strides", 1)
    groups = channels if depthwise else layer.config.get("groups", 1)
    count = layer.config.get("depth_multiplier", 1) * channels if depthwise else layer.config["filters"]
    if not isinstance(groups, int) or not isinstance(count, int) or groups < 1 or channels % groups or count < 1:
        raise layer.refuse(f"{count} filters in {groups} groups for {channels} channels")
    name, last = (
        ("depthwise_kernel", [channels, count // channels]) if depthwise else ("kernel", [channels // groups, count])
    )
    weights = net.weight(layer, name, [*kernel, *last]).astype(np.float64)
    weights = weights.reshape(*kernel, channels // groups, count).transpose(3, 2, 0, 1)
    bias = (
        net.weight(layer, "bias", [count]).astype(np.float64) if layer.config.get("use_bias", True) else np.zeros(count)
    )
    if fold is not None:
        gamma, beta, mean, variance, epsilon = normalization(net, fold, count)
        with np.errstate(all="ignore"):
            factor = gamma / np.sqrt(variance + epsilon)
            weights, bias = weights * factor[:, None, None, None], (bias - mean) * factor + beta
    (top, bottom), (left, right) = pads(layer, (height, width), kernel, strides)
    rate = dilations(layer)
    sizes = [
        (size + sum(both) - (window - 1) * spread - 1) // stride + 1
        for size, both, window, spread, stride in zip(
            (height, width), ((top, bottom), (left, right)), kernel, rate, strides, strict=True
        )
    ]
    operands = [net.constant(f"{layer.name}/kernel", weights), net.constant(f"{layer.name}/bias", bias)]
    window = {"kernel_shape": kernel, "strides": strides, "dilations": rate, "pads": [top, left, bottom, right]}
    result = fold or layer
    made = _linear_name(layer, result.name)
    y = net.add("Conv", made, [xs[0].name, *operands], (*sizes, count), node=layer.name, group=groups, **window)
    return _activated(net, layer, y)


def _linear_name(layer: Layer, name: str) -> str:
    """What a layer's sum is called, which an activation of its own turns into its result."""
    return name if activation_name(layer) == "linear" else f"{name}/linear"


def _activated(net: Graph, layer: Layer, x: Tensor) -> Tensor:
    name = activation_name(layer)
    if name == "linear":
        return x
    attributes = {"axis": 1} if name == "softmax" else {}  # of the channels, the last axis in Keras
    node = layer.name if layer.kind == "Activation" else f"{layer.name}/{name}"
    return net.add(ACTIVATIONS[name], layer.name, [x.name], x.shape, node=node, **attributes)


def _dense(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    if len(xs[0].shape) != 1:
        raise layer.refuse(
            f"an input of shape {list(xs[0].shape)}", "put a Flatten or a GlobalAveragePooling2D before it"
        )
    units = layer.config["units"]
    weights = net.weight(layer, "kernel", [xs[0].shape[0], units])
    operands = [net.constant(f"{layer.name}/kernel", weights.T)]
    if layer.config.get("use_bias", True):
        operands.append(net.constant(f"{layer.name}/bias", net.weight(layer, "bias", [units])))
    made = _linear_name(layer, layer.name)
    return _activated(net, layer, net.add("Gemm", made, [xs[0].name, *operands], (units,), node=layer.name, transB=1))


def _batch_normalization(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    *values, epsilon = normalization(net, layer, xs[0].shape[-1])
    names = ("gamma", "beta", "mean", "variance")
    operands = [net.constant(f"{layer.name}/{n}", v) for n, v in zip(names, values, strict=True)]
    return net.add("BatchNormalization", layer.name, [xs[0].name, *operands], xs[0].shape, epsilon=float(epsilon))


def _activation(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    return _activated(net, layer, xs[0])


def _softmax(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    axis = layer.config.get("axis", -1)
    if axis not in (-1, len(xs[0].shape)):
        raise layer.refuse(f"the axis {axis!r}; expected the last one")
    return net.add("Softmax", layer.name, [xs[0].name], xs[0].shape, axis=1)


def _relu(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    config = layer.config
    slope = config.get("negative_slope", config.get("alpha", 0.3 if layer.kind == "LeakyReLU" else 0)) or 0
    slope = float(np.asarray(slope))
    most, threshold = config.get("max_value"), config.get("threshold") or 0
    if threshold or (slope and most is not None):
        raise layer.refuse(f"the threshold {threshold}, slope {slope} and max_value {most}")
    if slope:
        return net.add("LeakyRelu", layer.name, [xs[0].name], xs[0].shape, alpha=slope)
    if most is None:
        return net.add("Relu", layer.name, [xs[0].name], xs[0].shape)
    bounds = [net.constant(f"{layer.name}/{n}", np.asarray(v, np.float64)) for n, v in (("min", 0), ("max", most))]
    return net.add("Clip", layer.name, [xs[0].name, *bounds], xs[0].shape)


def _merge(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    if len(xs) < 2 or len({x.shape for x in xs}) > 1:
        raise layer.refuse(f"inputs of shapes {[list(x.shape) for x in xs]}; expected two or more of one shape")
    y = xs[0]
    for number, x in enumerate(xs[1:], 2):
        name = layer.name if number == len(xs) else f"{layer.name}/{number}"
        y = net.add(MERGES[layer.kind], name, [y.name, x.name], y.shape)
    return y


def _pool(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    """An average does not count the padding, as in TensorFlow."""
    height, width, channels = image(layer, xs[0])
    kernel = pair(layer, "pool_size", 2)
    strides = pair(layer, "strides", kernel)
    (top, bottom), (left, right) = pads(layer, (height, width), kernel, strides)
    sizes = (height + top + bottom - kernel[0]) // strides[0] + 1, (width + left + right - kernel[1]) // strides[1] + 1
    op = "MaxPool" if layer.kind == "MaxPooling2D" else "AveragePool"
    window = {"kernel_shape": kernel, "strides": strides, "pads": [top, left, bottom, right]}
    return net.add(op, layer.name, [xs[0].name], (*sizes, channels), **window)


def _global_pool(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    _, _, channels = image(layer, xs[0])
    op = "GlobalMaxPool" if layer.kind == "GlobalMaxPooling2D" else "GlobalAveragePool"
    if layer.config.get("keepdims"):
        return net.add(op, layer.name, [xs[0].name], (1, 1, channels))
    y = net.add(op, f"{layer.name}/pool", [xs[0].name], (1, 1, channels))
    return net.add("Flatten", layer.name, [y.name], (channels,), axis=1)


def _flatten(net: Graph, layer: Layer, xs: Sequence[Tensor], fold: Layer | None) -> Tensor:
    """Keras counts the features of an image in the order NHWC, and so does whatever stands behind.

    A Transpose back keeps it, for any layer that follows; to reorder the weights of a Dense would be right for a Dense
    alone. One pixel needs none: both orders are the same.
    """
    x = xs[0]
    if not x.is_image:
        return x
    height, width, channels = image(layer, x)
    name = x.name
    if height * width > 1:
        name = f"{layer.name}/nhwc"
        net.add("Transpose", name, [x.name], x.shape, perm=[0, 2, 3, 1])
    return net.add("Flatten", layer.name, [name], (height * width * channels,), axis=1)


LAYERS: dict[str, Convert] = {
    "Activation": _activation,
    "AveragePooling2D": _pool,
    "BatchNormalization": _batch_normalization,
    "Conv2D": _convolution,
    "Dense": _dense,
    "DepthwiseConv2D": _convolution,
    "Dropout": _identity,
    "Flatten": _flatten,
    "GlobalAveragePooling2D": _global_pool,
    "GlobalMaxPooling2D": _global_pool,
    "InputLayer": _input,
    "LeakyReLU": _relu,
    "MaxPooling2D": _pool,
    "ReLU": _relu,
    "Softmax": _softmax,
    **dict.fromkeys(MERGES, _merge),
}
"""Layers by class."""
