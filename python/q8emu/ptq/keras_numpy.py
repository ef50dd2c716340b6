# SPDX-License-Identifier: Apache-2.0
"""The layers of Keras as they are defined, on NumPy in float64 and in Keras's own order NHWC.

A conversion is held to it. It shares no code with `keras_layers`: nothing is folded, and nothing transposed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from q8emu.ptq.keras_config import Layer, Network

Array = np.ndarray
Weights = Mapping[str, Array]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "exponential": np.exp,
    "linear": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "selu": lambda x: 1.05070098 * np.where(x > 0, x, 1.67326324 * np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softmax": lambda x: _softmax(x),
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "tanh": np.tanh,
}
MERGES: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Multiply": np.multiply,
    "Subtract": np.subtract,
}


def forward(layers: Network, weights: Mapping[str, Weights], inputs: Mapping[str, Array]) -> tuple[Array, ...]:
    """The results of a model, float64.

    Args:
        layers: what `keras_config.network` read.
        weights: by layer and name.
        inputs: float32[N, ...] by the name of the InputLayer.
    """
    results: dict[str, Array] = {}
    with np.errstate(over="ignore", under="ignore"):
        for layer in layers.layers:
            if layer.kind == "InputLayer":
                results[layer.name] = inputs[layer.name].astype(np.float64)
            else:
                taken = [results[name] for name in layer.inputs]
                results[layer.name] = _layer(layer, taken, weights.get(layer.name, {}))
    return tuple(results[name] for name in layers.outputs)


def _layer(layer: Layer, xs: Sequence[Array], weights: Weights) -> Array:
    x, config = xs[0], layer.config
    if layer.kind in MERGES:
        for other in xs[1:]:
            x = MERGES[layer.kind](x, other)
        return x
    if layer.kind in ("Conv2D", "DepthwiseConv2D", "Dense", "Activation"):
        y = _sums(layer, x, weights) if layer.kind != "Activation" else x
        name = config.get("activation") or "linear"
        return ACTIVATIONS[name["config"] if isinstance(name, dict) else name](y)
    if layer.kind == "BatchNormalization":
        spread = np.sqrt(weights["moving_variance"].astype(np.float64) + config.get("epsilon", 1e-3))
        return (x - weights["moving_mean"]) / spread * weights.get("gamma", 1) + weights.get("beta", 0)
    if layer.kind in ("MaxPooling2D", "AveragePooling2D"):
        return _pool(layer, x)
    if layer.kind in ("GlobalAveragePooling2D", "GlobalMaxPooling2D"):
        fold = np.mean if layer.kind == "GlobalAveragePooling2D" else np.max
        return np.asarray(fold(x, axis=(1, 2), keepdims=bool(config.get("keepdims"))))
    if layer.kind in ("ReLU", "LeakyReLU"):
        slope = config.get("negative_slope", config.get("alpha", 0.3 if layer.kind == "LeakyReLU" else 0)) or 0
        most = config.get("max_value")
        return np.minimum(np.where(x > 0, x, np.asarray(slope) * x), np.inf if most is None else most)
    if layer.kind == "Softmax":
        return _softmax(x)
    return x.reshape(len(x), -1) if layer.kind == "Flatten" else x


def _softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(powers / powers.sum(-1, keepdims=True))


def _sums(layer: Layer, x: Array, weights: Weights) -> Array:
    bias = weights["bias"] if layer.config.get("use_bias", True) else 0
    if layer.kind == "Dense":
        return np.asarray(x @ weights["kernel"].astype(np.float64) + bias)
    if layer.kind == "DepthwiseConv2D":
        kernel = weights["depthwise_kernel"].astype(np.float64)
        windows = _windows(layer, x, kernel.shape[:2], 0.0)
        made = np.einsum("nhwcij,ijcm->nhwcm", windows, kernel, optimize=True)
        return made.reshape(*made.shape[:3], -1) + bias
    kernel = weights["kernel"].astype(np.float64)
    groups = layer.config.get("groups", 1)
    parts = zip(np.split(x, groups, -1), np.split(kernel, groups, -1), strict=True)
    made = [
        np.einsum("nhwcij,ijco->nhwo", _windows(layer, part, own.shape[:2], 0.0), own, optimize=True)
        for part, own in parts
    ]
    return np.asarray(np.concatenate(made, -1) + bias)


def _pool(layer: Layer, x: Array) -> Array:
    size = _both(layer.config.get("pool_size", 2))
    if layer.kind == "MaxPooling2D":
        return np.asarray(_windows(layer, x, size, -np.inf).max((-2, -1)))
    counted = _windows(layer, np.ones_like(x), size, 0.0).sum((-2, -1))
    return np.asarray(_windows(layer, x, size, 0.0).sum((-2, -1)) / counted)


def _windows(layer: Layer, x: Array, size: Sequence[int], outside: float) -> Array:
    """What each position of a window sees: [N, H, W, C, KH, KW]; "same" begins total // 2 before the image."""
    default = size if "pool_size" in layer.config else 1
    strides = _both(layer.config.get("strides") or default)
    rate = _both(layer.config.get("dilation_rate") or 1)
    reach = [(k - 1) * d + 1 for k, d in zip(size, rate, strict=True)]
    if layer.config.get("padding", "valid") == "same":
        for axis, (stride, far) in enumerate(zip(strides, reach, strict=True), 1):
            length = x.shape[axis]
            missing = max(far - (length % stride or stride), 0)
            amounts = [(0, 0)] * 4
            amounts[axis] = (missing // 2, missing - missing // 2)
            x = np.pad(x, amounts, constant_values=outside)
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, (1, 2))
    return seen[:, :: strides[0], :: strides[1], :, :: rate[0], :: rate[1]]


def _both(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])
