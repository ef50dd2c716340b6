# SPDX-License-Identifier: Apache-2.0
"""A Keras HDF5 file as a float ONNX model, without Keras and without TensorFlow.

Read from the file (`keras_file`, `keras_config`), built layer by layer (`keras_layers`), and held to the definition of
the layers on NumPy (`keras_numpy`), which shares no code with the way to ONNX.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from q8emu.errors import ConversionFailed
from q8emu.ptq.keras_config import Layer, Network, network
from q8emu.ptq.keras_file import KerasFile, open_keras
from q8emu.ptq.keras_graph import Graph
from q8emu.ptq.keras_layers import LAYERS, activation_name

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class KerasModel:
    """What was read and what became of it.

    Attributes:
        model: the float ONNX model; input and output called by their layers, an open batch N, images NHWC.
        network: the layers.
        weights: of each layer, by name.
        layers: how many of each class the file has.
        notes: what is not one layer, one node.
    """

    model: onnx.ModelProto
    network: Network
    weights: Mapping[str, Mapping[str, np.ndarray]]
    layers: dict[str, int]
    notes: tuple[str, ...]


def read_keras(path: Path | str) -> KerasModel:
    """Read a Functional or Sequential model that `model.save("model.h5")` wrote.

    Args:
        path: the HDF5 file; untrusted.

    Raises:
        BackendUnavailable: h5py is missing.
        BadInput: there is no such file.
        BadModel: it is damaged, or contradicts itself.
        TooLarge: more layers or weights than the limit.
        UnsupportedOperator: a layer that is not converted; names it.
    """
    with open_keras(Path(path)) as file:
        layers = network(file.config())
        for layer in layers.layers:
            if layer.kind not in LAYERS:
                raise layer.refuse(f"a class that is not among {', '.join(sorted(LAYERS))}")
        weights = _weights(file, layers)
        model, notes = _converted(layers, weights)
    kinds = Counter(layer.kind for layer in layers.layers)
    return KerasModel(model, layers, weights, dict(sorted(kinds.items())), tuple(notes))


def _weights(file: KerasFile, layers: Network) -> dict[str, dict[str, np.ndarray]]:
    named = ("BatchNormalization", "Conv2D", "Dense", "DepthwiseConv2D")
    return {layer.name: file.weights(layer.name) for layer in layers.layers if layer.kind in named}


def _converted(layers: Network, weights: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[onnx.ModelProto, list[str]]:
    graph, folded = Graph(weights), dict[str, str]()
    for layer in layers.layers:
        if layer.name in folded:
            graph.tensors[layer.name] = graph.tensors[folded[layer.name]]
            continue
        fold = _normalization_behind(layers, layer)
        graph.tensors[layer.name] = LAYERS[layer.kind](graph, layer, [graph.tensors[n] for n in layer.inputs], fold)
        if fold is not None:
            folded[fold.name] = layer.name
    for name in layers.outputs:
        graph.output(graph.tensors[name], name)
    notes = []
    if folded:
        notes.append(f"{len(folded)} BatchNormalization are folded into the weights of the convolutions before them.")
    dropped = [layer.name for layer in layers.layers if layer.kind == "Dropout"]
    if dropped:
        notes.append(f"{len(dropped)} Dropout do nothing when a model is used, and have no node.")
    model = graph.model()
    kinds, operators = [layer.kind for layer in layers.layers], [node.op_type for node in model.graph.node]
    wanted = kinds.count("Conv2D") + kinds.count("DepthwiseConv2D"), kinds.count("Dense")
    made = operators.count("Conv"), operators.count("Gemm")
    if made != wanted:
        raise ConversionFailed(f"The new model has {made} Conv and Gemm for {wanted} layers. Please report it.")
    return model, notes


def _normalization_behind(layers: Network, layer: Layer) -> Layer | None:
    """The BatchNormalization that alone takes the sums of a convolution."""
    if layer.kind not in ("Conv2D", "DepthwiseConv2D") or layer.name in layers.outputs:
        return None
    users = [other for other in layers.layers for name in other.inputs if name == layer.name]
    alone = len(users) == 1 and users[0].kind == "BatchNormalization"
    return users[0] if alone and activation_name(layer) == "linear" else None
