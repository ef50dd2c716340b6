# SPDX-License-Identifier: Apache-2.0
"""The configuration of a Keras model as a list of layers, each after the layers that it takes.

Functional and Sequential models, in the spelling of Keras 2 and that of Keras 3.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from q8emu.errors import BadModel, TooLarge, UnsupportedOperator

MAX_LAYERS = 2**12
_EMPTY = (None, False, [], {})


@dataclass(frozen=True)
class Layer:
    """One layer: its class, its configuration and the layers whose results it takes."""

    name: str
    kind: str
    config: Mapping[str, Any]
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        """As messages show it."""
        return f"Layer '{self.name}' ({self.kind})"

    def refuse(self, found: str, instead: str = "") -> UnsupportedOperator:
        """The error for something that is not converted; tf2onnx converts everything that Keras has."""
        return UnsupportedOperator(
            f"{self} has {found}, which q8emu does not convert; {instead or 'convert the model with tf2onnx instead'}."
        )


@dataclass(frozen=True)
class Network:
    """The layers in order, and the names of those whose results the model gives."""

    layers: tuple[Layer, ...]
    outputs: tuple[str, ...]


def network(config: Mapping[str, Any]) -> Network:
    """Read a model's configuration.

    Raises:
        BadModel: it contradicts itself.
        TooLarge: more layers than the limit.
        UnsupportedOperator: a model or a call that is not converted.
    """
    kind, inner = config["class_name"], config["config"]
    listed = inner if isinstance(inner, list) else inner["layers"]
    if len(listed) > MAX_LAYERS:
        raise TooLarge(f"The Keras model has {len(listed):,} layers; the limit is {MAX_LAYERS:,}.")
    if kind == "Sequential":
        return _sequential(listed)
    if kind not in ("Functional", "Model"):
        raise UnsupportedOperator(
            f"The Keras model is a '{kind}', whose layers its file does not list; q8emu converts Functional and "
            "Sequential models, tf2onnx (https://github.com/onnx/tensorflow-onnx) the others."
        )
    layers = tuple(_ordered([_functional(entry) for entry in listed]))
    return _checked(layers, tuple(_ends(inner["output_layers"])))


def input_shape(layer: Layer) -> tuple[int, ...]:
    """The shape of an InputLayer, or that a first layer carries, without the batch."""
    config = layer.config
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(shape, Sequence) or len(shape) < 2:
        raise layer.refuse("no input shape", "build it before saving: model.build((None, 32, 32, 3))")
    if not all(isinstance(size, int) and size > 0 for size in shape[1:]):
        raise layer.refuse(f"the input shape {list(shape)}", "save it with all sizes but the batch fixed")
    return tuple(shape[1:])


def _sequential(listed: Sequence[Mapping[str, Any]]) -> Network:
    layers: list[Layer] = []
    for entry in listed:
        name, kind, config = _named(entry)
        if not layers and kind != "InputLayer":
            layers.append(Layer(f"{name}_input", "InputLayer", config, ()))
            input_shape(layers[0])
        layers.append(Layer(name, kind, config, (layers[-1].name,) if layers else ()))
    if not layers:
        raise BadModel("The Keras model has no layers; save it again.")
    return _checked(tuple(layers), (layers[-1].name,))


def _named(entry: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any]]:
    kind, config = entry["class_name"], entry["config"]
    name = entry.get("name") or config["name"]
    if not isinstance(name, str) or not isinstance(kind, str) or not isinstance(config, dict) or not name:
        raise BadModel("The Keras model has a layer without a name, a class and a configuration; save it again.")
    return name, kind, config


def _functional(entry: Mapping[str, Any]) -> Layer:
    name, kind, config = _named(entry)
    layer = Layer(name, kind, config, ())
    calls = entry["inbound_nodes"]
    if len(calls) > 1:
        raise layer.refuse(f"{len(calls)} calls, with the same weights")
    inputs = tuple(source for call in calls for source in _sources(layer, call))
    if bool(inputs) == (kind == "InputLayer"):
        raise BadModel(f"{layer} takes {len(inputs)} tensors; save the model again.")
    return Layer(name, kind, config, inputs)


def _sources(layer: Layer, call: Any) -> Iterator[str]:
    """The layers that one call takes, in the spelling of Keras 3, or of Keras 2."""
    if isinstance(call, dict):
        histories = [t["config"]["keras_history"] for t in _tensors(call["args"])]
        extra = call.get("kwargs") or {}
    else:
        histories = [part[:3] for part in call]
        extra = {key: value for part in call if len(part) > 3 for key, value in part[3].items()}
    wrong = [key for key, value in extra.items() if value not in _EMPTY]
    if wrong:
        raise layer.refuse(f"a call with '{wrong[0]}'")
    for name, node, tensor in histories:
        if node != 0 or tensor != 0:
            raise layer.refuse(f"result {tensor} of call {node} of '{name}' as its input")
        yield str(name)


def _tensors(arguments: Any) -> Iterator[Mapping[str, Any]]:
    for argument in arguments:
        if isinstance(argument, list):
            yield from _tensors(argument)
        elif isinstance(argument, dict) and argument.get("class_name") == "__keras_tensor__":
            yield argument
        else:
            raise BadModel("The Keras model calls a layer with something that is no tensor of it.")


def _ends(listed: Any) -> Iterator[str]:
    """Names of the results: one [name, 0, 0], or a list of them."""
    for end in [listed] if listed and isinstance(listed[0], str) else listed:
        yield str(end[0])


def _ordered(layers: Sequence[Layer]) -> Iterator[Layer]:
    """Each layer after those that it takes."""
    waiting, done = list(layers), set[str]()
    while waiting:
        left = []
        for layer in waiting:
            if done.issuperset(layer.inputs):
                done.add(layer.name)
                yield layer
            else:
                left.append(layer)
        if len(left) == len(waiting):
            raise BadModel(f"{left[0]} takes a layer that is not there, or its own result; save the model again.")
        waiting = left


def _checked(layers: tuple[Layer, ...], outputs: tuple[str, ...]) -> Network:
    names = [layer.name for layer in layers]
    if len(set(names)) < len(names) or not outputs or not set(outputs) <= set(names):
        raise BadModel("The Keras model has two layers of one name, or a result that no layer gives; save it again.")
    return Network(layers, outputs)
