# SPDX-License-Identifier: Apache-2.0
"""A network as a value: nodes, tensors with static shapes, constants. No arithmetic here.

The same types serve twice. What a reader returns spells the file's own operators; what `canonicalize` returns has
q8emu's operators only, each with the quantization parameters of its operands on the node.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np

from q8emu.errors import BadModel

QUANTIZED_DTYPES = ("int8", "uint8")
INTERNAL = "q8:"  # prefix of tensors that the model file does not name


@dataclass(frozen=True, slots=True)
class QuantParams:
    """How quantized values stand for real ones: r = scale * (q - zero_point).

    scale: positive finite float32 values, one (per tensor) or one per index along `axis` (per channel).
    zero_point: as many integers, within the range of dtype.
    """

    dtype: str
    scale: tuple[float, ...]
    zero_point: tuple[int, ...]
    axis: int | None = None

    @property
    def is_per_tensor(self) -> bool:
        """One scale and one zero point for the whole tensor?"""
        return len(self.scale) == 1

    def scales(self) -> np.ndarray:
        """float32[1 or C]."""
        return np.array(self.scale, np.float32)

    def zero_points(self) -> np.ndarray:
        """int32[1 or C]."""
        return np.array(self.zero_point, np.int32)

    def __str__(self) -> str:
        if self.is_per_tensor:
            return f"{self.dtype} scale {self.scale[0]:.6g} zero_point {self.zero_point[0]}"
        points = "0" if not any(self.zero_point) else f"{min(self.zero_point)}..{max(self.zero_point)}"
        return (
            f"{self.dtype} {len(self.scale)} scales {min(self.scale):.3g}..{max(self.scale):.3g} "
            f"zero_point {points} axis {self.axis}"
        )


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Name, numpy dtype name and static shape of one tensor, with its quantization parameters where it has some."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    quant: QuantParams | None = None

    @property
    def elements(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class Node:
    """One operator. `inputs` hold "" where an optional operand is absent; `sources` are the names in the model file."""

    op: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    in_quant: tuple[QuantParams | None, ...] = ()
    out_quant: tuple[QuantParams | None, ...] = ()
    sources: tuple[str, ...] = ()
    proto: bytes = b""  # the node as the file spells it, for the host steps

    def input(self, index: int) -> str:
        """Name of operand `index`, "" when it is absent."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def where(self) -> str:
        """How errors call this node."""
        return f"{self.op} '{self.name}'"


Declared = tuple[str, tuple[int | None, ...] | None]  # dtype and shape; None where the file leaves them open


@dataclass(frozen=True)
class Graph:
    """Nodes in an order in which they can run, with every tensor's type known.

    `declared` is what the file says of its outputs. `layout` is where the channels of an image are in the tensors,
    "NCHW" or "NHWC"; weights are OIHW in both.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: Mapping[str, TensorInfo]
    constants: Mapping[str, np.ndarray]
    opsets: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    notes: tuple[str, ...] = ()
    layout: str = "NCHW"
    declared: Mapping[str, Declared] = field(default_factory=lambda: MappingProxyType({}))

    def check_outputs(self) -> None:
        """Compare each output with what the file declares it to be.

        Raises:
            BadModel: another dtype or shape.
        """
        for name, (dtype, shape) in self.declared.items():
            info = self.tensors[name]
            sizes = info.shape if shape is None else shape
            fits = len(sizes) == len(info.shape) and all(s in (None, n) for s, n in zip(sizes, info.shape, strict=True))
            if dtype != info.dtype or not fits:
                told = ", ".join("?" if size is None else str(size) for size in sizes)
                raise BadModel(
                    f"The model declares its output '{name}' as {dtype}[{told}], but its node makes "
                    f"{info.dtype}{list(info.shape)}; expected the same."
                )

    def structure(self) -> tuple[Any, ...]:
        """The graph without its names: equal for two spellings of one model.

        Activations are numbered in the order in which nodes define them, constants appear by value.
        """
        number = {name: i for i, name in enumerate(self.inputs)}

        def operand(name: str) -> Any:
            if name in self.constants:
                array = self.constants[name]
                return ("constant", str(array.dtype), array.shape, array.tobytes())
            return number.get(name, name)

        rows = []
        for node in self.nodes:
            operands = tuple(operand(name) for name in node.inputs)
            for name in node.outputs:
                number[name] = len(number)
            types = tuple((self.tensors[n].dtype, self.tensors[n].shape) for n in node.outputs if n)
            rows.append((node.op, operands, _frozen(node.attrs), node.in_quant, node.out_quant, types))
        return (len(self.inputs), tuple(rows), tuple(operand(name) for name in self.outputs), self.layout)


def _frozen(attrs: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple((key, attrs[key]) for key in sorted(attrs))


def unique_name(name: str, index: int, taken: Collection[str]) -> str:
    """The name of tensor `index` of a file whose names may repeat or be empty: the first of a name keeps it."""
    while not name or name in taken:
        name += f"#{index}"
    return name
