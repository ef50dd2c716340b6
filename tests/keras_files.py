# SPDX-License-Identifier: Apache-2.0
"""Small Keras HDF5 files, written with h5py in the spelling of Keras 2 and of Keras 3, and what their layers compute.

`plain` is the definition of each layer as loops over positions: it shares nothing with the package.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

Weights = Mapping[str, np.ndarray]


@dataclass
class Entry:
    """One layer of a file: its class, name, configuration, the layers it takes, its weights by name."""

    kind: str
    name: str
    config: dict[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    weights: Weights = field(default_factory=dict)


def write(
    path: Path, layers: Sequence[Entry], *, keras: int = 2, sequential: bool = False, outputs: Sequence[str] = ()
) -> Path:
    """The file that model.save(path) writes."""
    import h5py

    config: dict[str, Any] = {"name": "model", "layers": [_entry(layer, keras, sequential) for layer in layers]}
    if not sequential:
        ends = [[name, 0, 0] for name in (outputs or [layers[-1].name])]
        config["output_layers"] = ends[0] if keras == 3 and len(ends) == 1 else ends
    model = {"class_name": "Sequential" if sequential else "Functional", "config": config}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model) if keras == 3 else json.dumps(model).encode()
        for layer in layers:
            group = file.create_group(f"model_weights/{layer.name}")
            suffix = "" if keras == 3 else ":0"
            names = [f"{layer.name}/{name}{suffix}" for name in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, array in zip(names, layer.weights.values(), strict=True):
                group[name] = array
    return path


def _entry(layer: Entry, keras: int, sequential: bool) -> dict[str, Any]:
    config = {"name": layer.name, **layer.config}
    if layer.kind == "InputLayer" and keras == 3 and "batch_input_shape" in config:
        config["batch_shape"] = config.pop("batch_input_shape")
    if keras == 3 and "activation" in config and layer.kind == "Dense":
        config["activation"] = {"class_name": "function", "config": config["activation"], "registered_name": None}
    entry: dict[str, Any] = {"class_name": layer.kind, "config": config}
    if sequential:
        return entry
    entry["name"] = layer.name
    if keras == 2:
        entry["inbound_nodes"] = [[[name, 0, 0, {}] for name in layer.inputs]] if layer.inputs else []
        return entry
    tensors = [
        {"class_name": "__keras_tensor__", "config": {"shape": None, "keras_history": [name, 0, 0]}}
        for name in layer.inputs
    ]
    arguments: list[Any] = tensors if len(tensors) == 1 else [tensors]
    entry["inbound_nodes"] = [{"args": arguments, "kwargs": {}}] if tensors else []
    return entry


def chain(*layers: Entry, shape: Sequence[int | None] = (7, 6, 4)) -> list[Entry]:
    """An input and layers that take one another."""
    made = [Entry("InputLayer", "image", {"batch_input_shape": [None, *shape]})]
    for layer in layers:
        layer.inputs = layer.inputs or [made[-1].name]
        made.append(layer)
    return made


def conv(name: str, rng: np.random.Generator, shape: Sequence[int], **config: Any) -> Entry:
    """A Conv2D with a kernel of this shape."""
    weights = {"kernel": draw(rng, shape), "bias": draw(rng, shape[-1:])}
    if config.get("use_bias") is False:
        del weights["bias"]
    return Entry("Conv2D", name, {"filters": shape[3], "kernel_size": list(shape[:2]), **config}, (), weights)


def dense(name: str, rng: np.random.Generator, shape: Sequence[int], **config: Any) -> Entry:
    """A Dense layer."""
    weights = {"kernel": draw(rng, shape), "bias": draw(rng, shape[-1:])}
    return Entry("Dense", name, {"units": shape[1], **config}, (), weights)


def normalization(name: str, rng: np.random.Generator, channels: int, **config: Any) -> Entry:
    """A BatchNormalization."""
    weights = {n: draw(rng, [channels]) for n in ("gamma", "beta", "moving_mean")}
    weights["moving_variance"] = draw(rng, [channels]) ** 2
    weights = {n: w for n, w in weights.items() if config.get({"gamma": "scale", "beta": "center"}.get(n, ""), True)}
    return Entry("BatchNormalization", name, {"axis": [3], "epsilon": 0.002, **config}, (), weights)


def draw(rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
    """float32 around 0."""
    return rng.normal(0, 0.5, list(shape)).astype(np.float32)


# What the layers compute

FUNCTIONS: dict[str, Any] = {
    "elu": lambda x: x if x > 0 else np.exp(x) - 1,
    "exponential": np.exp,
    "linear": lambda x: x,
    "relu": lambda x: max(x, 0),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * (np.exp(x) - 1)),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "tanh": np.tanh,
}


def plain(layers: Sequence[Entry], x: np.ndarray) -> np.ndarray:
    """The last layer's result for images [N, H, W, C], float64."""
    results: dict[str, np.ndarray] = {}
    for layer in layers:
        taken = [results[name] for name in layer.inputs]
        results[layer.name] = _one(layer, taken) if taken else x.astype(np.float64)
    return results[layers[-1].name]


def _one(layer: Entry, xs: Sequence[np.ndarray]) -> np.ndarray:
    x, config, w = xs[0], layer.config, layer.weights
    if layer.kind in MERGES:
        return np.asarray(MERGES[layer.kind](xs))
    if layer.kind in ("Conv2D", "DepthwiseConv2D"):
        return _activated(_window(layer, x, _products(layer)) + w.get("bias", 0), config.get("activation"))
    if layer.kind == "Dense":
        return _activated(x @ w["kernel"] + w["bias"], config.get("activation"))
    if layer.kind == "BatchNormalization":
        centred = (x - w["moving_mean"]) / np.sqrt(w["moving_variance"] + config["epsilon"])
        return np.asarray(centred * w.get("gamma", 1) + w.get("beta", 0))
    return np.asarray(SIMPLE[layer.kind](layer, x))


MERGES: dict[str, Any] = {
    "Add": sum,
    "Maximum": lambda xs: np.max(xs, axis=0),
    "Minimum": lambda xs: np.min(xs, axis=0),
    "Multiply": lambda xs: np.prod(xs, axis=0),
    "Subtract": lambda xs: xs[0] - xs[1],
}


def _rectified(layer: Entry, x: np.ndarray) -> np.ndarray:
    config = layer.config
    slope, most = config.get("negative_slope", config.get("alpha", 0)), config.get("max_value") or np.inf
    return np.asarray(np.minimum(np.where(x > 0, x, slope * x), most))


SIMPLE: dict[str, Any] = {
    "Activation": lambda layer, x: _activated(x, layer.config["activation"]),
    "AveragePooling2D": lambda layer, x: _window(layer, x, lambda cells: np.mean(cells, axis=0)),
    "Dropout": lambda layer, x: x,
    "Flatten": lambda layer, x: x.reshape(len(x), -1),
    "GlobalAveragePooling2D": lambda layer, x: np.mean(x, axis=(1, 2), keepdims=layer.config["keepdims"]),
    "GlobalMaxPooling2D": lambda layer, x: np.max(x, axis=(1, 2), keepdims=layer.config["keepdims"]),
    "LeakyReLU": _rectified,
    "MaxPooling2D": lambda layer, x: _window(layer, x, lambda cells: np.max(cells, axis=0)),
    "ReLU": _rectified,
    "Softmax": lambda layer, x: _activated(x, "softmax"),
}


def _activated(x: np.ndarray, name: str | None) -> np.ndarray:
    if name == "softmax":
        return np.asarray(np.exp(x) / np.exp(x).sum(-1, keepdims=True))
    return np.asarray(np.vectorize(FUNCTIONS[name or "linear"], otypes=[float])(x))


def _products(layer: Entry) -> Any:
    """The sums at one position, of the cells (row, column, values) that are inside the image."""

    def convolve(cells: Any) -> np.ndarray:
        kernel, total = layer.weights["kernel"].astype(np.float64), 0.0
        groups = layer.config.get("groups", 1)
        for i, j, values in cells:
            parts = [v @ k for v, k in zip(np.split(values, groups), np.split(kernel[i, j], groups, -1), strict=True)]
            total = total + np.concatenate(parts)
        return np.asarray(total)

    def depthwise(cells: Any) -> np.ndarray:
        kernel = layer.weights["depthwise_kernel"].astype(np.float64)
        return np.asarray(sum((values[:, None] * kernel[i, j]).reshape(-1) for i, j, values in cells))

    made = depthwise if layer.kind == "DepthwiseConv2D" else convolve
    made.with_places = True  # type: ignore[attr-defined]
    return made


def _window(layer: Entry, x: np.ndarray, fold: Any) -> np.ndarray:
    """A window over the image; "same" as TensorFlow documents it: the odd row and column of padding at the end."""
    config = layer.config
    size = config.get("pool_size") or config["kernel_size"]
    strides = config.get("strides") or (size if "pool_size" in config else (1, 1))
    rate = config.get("dilation_rate", (1, 1))
    starts, counts = [], []
    for axis in range(2):
        length, reach = x.shape[1 + axis], (size[axis] - 1) * rate[axis] + 1
        if config.get("padding") == "same":
            counts.append(int(np.ceil(length / strides[axis])))
            starts.append(-(max((counts[-1] - 1) * strides[axis] + reach - length, 0) // 2))
        else:
            counts.append((length - reach) // strides[axis] + 1)
            starts.append(0)
    made = []
    for n, row, column in itertools.product(range(len(x)), range(counts[0]), range(counts[1])):
        cells = []
        for i, j in itertools.product(range(size[0]), range(size[1])):
            at = starts[0] + row * strides[0] + i * rate[0], starts[1] + column * strides[1] + j * rate[1]
            if 0 <= at[0] < x.shape[1] and 0 <= at[1] < x.shape[2]:
                value = x[n, at[0], at[1]]
                cells.append((i, j, value) if hasattr(fold, "with_places") else value)
        made.append(fold(cells))
    return np.asarray(made).reshape(len(x), *counts, -1)
