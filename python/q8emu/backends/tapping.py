# SPDX-License-Identifier: Apache-2.0
"""Copies of a model in memory that show quantized tensors as extra outputs. The file itself is never written to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class Tapped:
    """A copy of a model with extra outputs.

    Attributes:
        model: the copy.
        taps: the tensors that it shows beside its own outputs, in graph order.
        shifted: the int8 tensors among them that the copy holds as uint8, 128 higher.
    """

    model: onnx.ModelProto
    taps: tuple[str, ...]
    shifted: frozenset[str] = frozenset()


def load(path: Path) -> onnx.ModelProto:
    """The model without its external data."""
    import onnx

    return onnx.load(str(path), load_external_data=False)


def tapped(model: onnx.ModelProto, taps: Sequence[str], uint8_from: Path | None = None) -> Tapped:
    """Show `taps` as outputs; names that the model does not define are left out.

    With `uint8_from`, the folder of the model file, the copy also has written out what ONNX Runtime does to int8
    activations on x86-64 without being asked: a QuantizeLinear-DequantizeLinear pair that serves one consumer becomes
    uint8, its zero point 128 higher, before anything is fused. A tap is a second consumer and would stop that; the copy
    has the pair as uint8 from the start. Source: onnxruntime/core/optimizer/qdq_transformer/qdq_s8_to_u8.cc.
    """
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    shifted = frozenset[str]() if uint8_from is None else _pairs_to_uint8(copy.graph, uint8_from)
    present = _add_outputs(copy, taps)
    return Tapped(copy, present, shifted & frozenset(present))


def _add_outputs(model: onnx.ModelProto, taps: Sequence[str]) -> tuple[str, ...]:
    import onnx

    graph = model.graph
    defined = {name for node in graph.node for name in node.output}
    outputs = {value.name for value in graph.output}
    present = tuple(name for name in taps if name in defined)
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in present if name not in outputs)
    return present


def _pairs_to_uint8(graph: onnx.GraphProto, folder: Path) -> frozenset[str]:
    """Rewrite the pairs in place; returns the tensors that are uint8 now."""
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    reader = {node.input[0]: node for node in graph.node if node.op_type == "DequantizeLinear"}
    changed = set()
    for node in graph.node:
        name = node.output[0] if node.op_type == "QuantizeLinear" else ""
        pair = reader.get(name)
        if pair is None or uses[name] != 1 or uses[pair.output[0]] != 1 or len(node.input) < 3 or len(pair.input) < 3:
            continue
        points = [_zero_point_plus_128(graph, one.input[2], folder) for one in (node, pair)]
        if points[0] is None or points[1] is None:
            continue
        node.input[2], pair.input[2] = points
        changed.add(name)
    for value in [value for value in graph.value_info if value.name in changed]:
        graph.value_info.remove(value)
    return frozenset(changed)


def _zero_point_plus_128(graph: onnx.GraphProto, name: str, folder: Path) -> str | None:
    """A constant with the int8 zero point `name` as uint8, None if `name` is no int8 constant."""
    import numpy as np
    import onnx
    from onnx import numpy_helper

    new = f"{name}/plus_128"
    for known in graph.initializer:
        if known.name == new:
            return new
    for tensor in graph.initializer:
        if tensor.name == name and tensor.data_type == onnx.TensorProto.INT8:
            array = numpy_helper.to_array(tensor, base_dir=str(folder)).astype(np.int16) + 128
            graph.initializer.append(numpy_helper.from_array(array.astype(np.uint8), new))
            return new
    return None
