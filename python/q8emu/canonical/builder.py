# SPDX-License-Identifier: Apache-2.0
"""The graph under construction while a file's operators become q8emu's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from q8emu.canonical.params import quant_params
from q8emu.graph import Graph, Node, QuantParams, TensorInfo


class Builder:
    """Collects canonical nodes; knows which real tensors are dequantized ones."""

    def __init__(self, graph: Graph, bias: str) -> None:
        self.graph, self.bias = graph, bias
        self.nodes: list[Node] = []
        self.notes: list[str] = []
        self.absorbed: set[str] = set()
        self.tensors: dict[str, TensorInfo] = {n: graph.tensors[n] for n in graph.inputs}
        self.constants: dict[str, np.ndarray] = {}
        self.dequantized: dict[str, tuple[str, QuantParams]] = {}  # real tensor → its quantized tensor and parameters
        self.vectors: set[str] = set()  # real tensors whose scale or zero point is a vector in the file
        self.consumers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in dict.fromkeys(node.inputs):
                self.consumers.setdefault(name, []).append(node)

    def constant(self, name: str) -> np.ndarray | None:
        """The value of a constant of the file, None for other tensors."""
        return self.graph.constants.get(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of any tensor of the file or of the graph under construction."""
        return (self.tensors.get(name) or self.graph.tensors[name]).shape

    def dtype(self, name: str) -> str:
        """Dtype of any tensor of the file or of the graph under construction."""
        return (self.tensors.get(name) or self.graph.tensors[name]).dtype

    def quant_of(self, name: str) -> QuantParams | None:
        """Parameters that the producer of a quantized tensor gave it."""
        info = self.tensors.get(name)
        return info.quant if info else None

    def params(
        self, node: Node, scale: str, zero_point: str, dtype: str, axis: int | None = None, length: int | None = None
    ) -> QuantParams | None:
        """Checked parameters, None when they are computed at run time."""
        scales, points = self.constant(scale), self.constant(zero_point) if zero_point else None
        if scales is None or (zero_point and points is None):
            return None
        return quant_params(node, scales, points, dtype, axis, length)

    def operand(self, name: str) -> str:
        """Make a tensor of the file known to the graph under construction."""
        if name and name not in self.tensors and name not in self.constants:
            value = self.graph.constants[name]
            self.add_constant(name, value)
        return name

    def add_constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant under a name that is free or already holds the same value."""
        while name in self.constants and not (
            self.constants[name].dtype == value.dtype and np.array_equal(self.constants[name], value)
        ):
            name += "'"
        self.constants[name] = np.array(value, order="C")
        self.tensors[name] = TensorInfo(name, str(value.dtype), value.shape)
        return name

    def emit(
        self,
        op: str,
        raw: Node,
        inputs: Sequence[str],
        outputs: Sequence[TensorInfo],
        attrs: Mapping[str, Any] | None = None,
        in_quant: Sequence[QuantParams | None] = (),
        out_quant: Sequence[QuantParams | None] = (),
    ) -> None:
        """Append a canonical node and register what it defines."""
        for info in outputs:
            self.tensors[info.name] = info
        self.nodes.append(
            Node(
                op,
                raw.name,
                tuple(self.operand(n) for n in inputs),
                tuple(info.name for info in outputs),
                dict(attrs or {}),
                tuple(in_quant) or (None,) * len(inputs),
                tuple(out_quant) or (None,) * len(outputs),
                (raw.name,),
                raw.proto,
            )
        )

    def real(self, name: str) -> str:
        """Make sure that a tensor of the file exists as the file has it, dequantizing where it was absorbed."""
        if name in self.dequantized and name not in self.tensors:
            quantized, params = self.dequantized[name]
            raw = Node("DequantizeLinear", f"{name}", (), ())
            info = TensorInfo(name, "float32", self.graph.tensors[name].shape)
            self.emit("DequantizeLinear", raw, [quantized], [info], {}, [params])
        return self.operand(name) if name in self.graph.constants else name

    def host(self, node: Node) -> None:
        """Keep a node in float, run by the host on exactly the tensors of the file."""
        inputs = [self.real(n) if n else "" for n in node.inputs]
        outputs = [self.graph.tensors[n] for n in node.outputs if n]
        for info in outputs:
            self.tensors[info.name] = info
        attrs = {"op_type": node.op}
        none_in, none_out = (None,) * len(inputs), (None,) * len(node.outputs)
        self.nodes.append(
            Node("Host", node.name, tuple(inputs), node.outputs, attrs, none_in, none_out, (node.name,), node.proto)
        )

    def live_nodes(self) -> list[Node]:
        """The nodes that some output of the model depends on, in order."""
        needed, kept = set(self.graph.outputs), []
        for node in reversed(self.nodes):
            if needed.intersection(node.outputs):
                kept.append(node)
                needed.update(node.inputs)
        return kept[::-1]
