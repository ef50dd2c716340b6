# SPDX-License-Identifier: Apache-2.0
"""The nodes of a model file as the file has them: attributes, quantization parameters, and where each value lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

import numpy as np

QUANTIZED = frozenset({"int4", "int8", "uint4", "uint8", "int16", "uint16"})


@dataclass(frozen=True)
class Place:
    """Where a value lives in the file; what does not apply is None or "".

    Attributes:
        kind: "input" of the model, "initializer", "constant" (output of a Constant node), "node" (output of any other
            node), "tensor" (TFLite: the table of tensors), "module" (PyTorch: an attribute of a module), "code"
            (PyTorch: a number in the code).
        name: of the initializer, of the tensor, or the path of the attribute.
        node: index of the node that makes it.
        operator: of that node.
        tensor: index of the tensor (TFLite).
        buffer: index of the buffer with its data (TFLite).
        source: where the one operand of a DequantizeLinear or QuantizeLinear lives, when this is its output.
    """

    kind: str
    name: str = ""
    node: int | None = None
    operator: str = ""
    tensor: int | None = None
    buffer: int | None = None
    source: Place | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values, without what does not apply."""
        whole = {
            "kind": self.kind,
            "name": self.name or None,
            "node": self.node,
            "operator": self.operator or None,
            "tensor": self.tensor,
            "buffer": self.buffer,
            "source": self.source.to_json() if self.source else None,
        }
        return {key: value for key, value in whole.items() if value is not None}

    def __str__(self) -> str:
        """As a table shows it.

        Example:
            >>> print(Place("node", "w_dq", 4, "DequantizeLinear", source=Place("initializer", "w")))
            output of node 4 DequantizeLinear of initializer 'w'
        """
        if self.kind == "node":
            behind = f" of {self.source}" if self.source else ""
            return f"output of node {self.node}{f' {self.operator}' if self.operator else ''}{behind}"
        if self.kind == "constant":
            return f"Constant node {self.node}"
        if self.kind == "tensor":
            return f"tensor {self.tensor}" + (f" buffer {self.buffer}" if self.buffer else "")
        return {"input": "model input", "code": "number in the code"}.get(self.kind, f"{self.kind} '{self.name}'")


@dataclass(frozen=True)
class Quantization:
    """Parameters of one operand as the file has them, not checked; empty where they are computed at run time.

    `node` is the index of the QuantizeLinear or DequantizeLinear that has them, None where the node itself has.
    """

    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None
    scale_at: Place | None
    zero_point_at: Place | None
    node: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "dtype": self.dtype,
            "scale": [plain(s) for s in self.scale],
            "zero_point": list(self.zero_point),
            "axis": self.axis,
            "scale_at": self.scale_at.to_json() if self.scale_at else None,
            "zero_point_at": self.zero_point_at.to_json() if self.zero_point_at else None,
            "node": self.node,
        }

    def __str__(self) -> str:
        """As a table shows it."""
        scale = f"{self.scale[0]:.6g}" if len(self.scale) == 1 else f"{len(self.scale)} values"
        if len(self.scale) > 1:
            scale += f" {min(self.scale):.3g}..{max(self.scale):.3g} axis {self.axis}"
        points = sorted(set(self.zero_point))
        point = str(points[0]) if len(points) == 1 else f"{points[0]}..{points[-1]}" if points else "not stored"
        by = f" by node {self.node}" if self.node is not None else ""
        homes = [f"{what} in {at}" for what, at in (("scale", self.scale_at), ("zero_point", self.zero_point_at)) if at]
        told = f"{self.dtype} scale {scale if self.scale else 'not stored'} zero_point {point}{by}"
        return f"{told}; {', '.join(homes)}" if homes else told


@dataclass(frozen=True)
class FileOperand:
    """One input or output slot of a node; dtype and shape are "" and None where the file does not tell them."""

    slot: int
    role: str
    tensor: str
    dtype: str = ""
    shape: tuple[int, ...] | None = None
    place: Place | None = None
    quantization: Quantization | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "slot": self.slot,
            "role": self.role,
            "tensor": self.tensor,
            "dtype": self.dtype or None,
            "shape": None if self.shape is None else list(self.shape),
            "at": self.place.to_json() if self.place else None,
            "quantization": self.quantization.to_json() if self.quantization else None,
        }

    def __str__(self) -> str:
        """As a table shows it."""
        shape = "" if self.shape is None else f"[{'×'.join(map(str, self.shape)) or 'scalar'}]"
        parts = [f"{self.slot} {self.role}".strip(), f"'{self.tensor}'", f"{self.dtype}{shape}"]
        parts += [f"({self.place})"] if self.place else []
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class FileNode:
    """One node of the file; `index` counts in the file's order."""

    index: int
    operator: str
    name: str
    attributes: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[FileOperand, ...] = ()
    outputs: tuple[FileOperand, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "index": self.index,
            "operator": self.operator,
            "node": self.name,
            "attributes": {key: plain(value) for key, value in self.attributes.items()},
            "inputs": [operand.to_json() for operand in self.inputs],
            "outputs": [operand.to_json() for operand in self.outputs],
        }


@dataclass(frozen=True)
class Listing:
    """All nodes of a file in its order."""

    format: str
    nodes: tuple[FileNode, ...]

    @property
    def operators(self) -> dict[str, int]:
        """Number of nodes per operator."""
        return dict(sorted(Counter(node.operator for node in self.nodes).items()))

    @property
    def is_float(self) -> bool:
        """Are there nodes, and does none of them quantize or have a quantized operand?"""
        operands = [o for node in self.nodes for o in (*node.inputs, *node.outputs)]
        named = any("quant" in node.operator.lower() for node in self.nodes)
        return bool(self.nodes) and not named and not any(o.quantization or o.dtype in QUANTIZED for o in operands)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format": self.format,
            "operators": self.operators,
            "nodes": [node.to_json() for node in self.nodes],
        }


def plain(value: Any) -> Any:
    """A value of a file as JSON has it: no infinities; of an array only what it is.

    Example:
        >>> plain((1, 2.5, float("inf"))), plain(np.zeros((2, 3), np.int8))
        ([1, 2.5, 'inf'], 'int8[2, 3]')
    """
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{list(value.shape)}"
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, float):
        return value if isfinite(value) else str(value)
    return str(value)
