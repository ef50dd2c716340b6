# SPDX-License-Identifier: Apache-2.0
"""One operator of a TFLite file, and the checks that several operators share."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from q8emu.errors import BadModel, BadQuantization, ShapeMismatch, UnsupportedOperator
from q8emu.graph import INTERNAL, Node, QuantParams, TensorInfo
from q8emu.numerics.activation import NONE, bounds_half_away
from q8emu.readers import tflite_schema as schema
from q8emu.readers.flatbuffer import Table
from q8emu.readers.shapes import MAX_RANK
from q8emu.readers.tflite_tensors import FileTensor

Clamp = tuple[int, int]
INT8: Clamp = (-128, 127)
ACTIVATIONS = {"NONE": NONE, "RELU": (0.0, math.inf), "RELU_N1_TO_1": (-1.0, 1.0), "RELU6": (0.0, 6.0)}
NEAR = 1e-6  # up to this far apart, LiteRT takes the scales of a pool's input and output for equal


@dataclass(frozen=True)
class Made:
    """What an operator becomes: nodes, with the tensors and constants that the file does not have."""

    nodes: tuple[Node, ...]
    tensors: tuple[TensorInfo, ...] = ()
    constants: Mapping[str, np.ndarray] | None = None
    note: str = ""


class Operator:
    """An operator with its tensors; `options` is None where the file has none."""

    def __init__(
        self, kind: str, index: int, options: Table | None, inputs: list[FileTensor | None], outputs: list[FileTensor]
    ) -> None:
        """Name the operator by its first output, since the file gives no name."""
        self.kind, self.index, self.options = kind, index, options
        self.inputs, self.outputs = inputs, outputs
        self.name = outputs[0].info.name

    @property
    def where(self) -> str:
        """How errors call this operator."""
        return f"{self.kind} '{self.name}' (operator {self.index})"

    def node(
        self,
        op: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Any],
        in_quant: Sequence[QuantParams | None],
        out_quant: QuantParams | None,
        *,
        output: str = "",
        name: str = "",
    ) -> Node:
        """A canonical node that defines this operator's output, or an internal tensor."""
        return Node(
            op,
            name or self.name,
            tuple(inputs),
            (output or self.name,),
            dict(attrs),
            tuple(in_quant),
            (out_quant,),
            (self.name,),
        )

    def internal(self, what: str, shape: Sequence[int], quant: QuantParams) -> TensorInfo:
        """A tensor between the nodes of one operator."""
        return TensorInfo(f"{INTERNAL}{self.name}/{what}", quant.dtype, tuple(shape), quant)

    # Options

    def option(self, field: int, kind: str = "i", default: int = 0) -> int:
        """A number of the options."""
        return default if self.options is None else self.options.integer(field, kind, default)

    def activation(self, field: int) -> dict[str, object]:
        """The attributes of a fused activation: `activation`, its real bounds, and `clamp`, those on the integers."""
        code = self.option(field, "b")
        return self.bounds(schema.ACTIVATIONS[code] if 0 <= code < len(schema.ACTIVATIONS) else str(code))

    def bounds(self, activation: str) -> dict[str, object]:
        """As `activation`, for one by name."""
        self.require(activation in ACTIVATIONS, f"the fused activation {activation}; expected {', '.join(ACTIVATIONS)}")
        real, params = ACTIVATIONS[activation], self.quant(self.output)
        clamp = bounds_half_away(real, params.scale[0], params.zero_point[0], params.dtype)
        return {"activation": real, "clamp": clamp}

    # Operands

    @property
    def output(self) -> FileTensor:
        """The first output."""
        return self.outputs[0]

    def operand(self, index: int) -> FileTensor:
        """An operand that must be there."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        if tensor is None:
            raise BadModel(f"{self.where} lacks operand {index}; expected it.")
        return tensor

    def optional(self, index: int) -> FileTensor | None:
        """An operand that may be absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def integers(self, index: int) -> list[int]:
        """A constant operand of integers that decides a shape."""
        value = self.operand(index).constant
        self.require(
            value is not None and value.dtype in (np.int32, np.int64) and value.size <= 2 * MAX_RANK,
            f"operand {index} that is not a short constant of integers",
        )
        assert value is not None
        return [int(v) for v in value.reshape(-1)]

    def quant(self, tensor: FileTensor) -> QuantParams:
        """The parameters of an int8 activation or constant, one scale for all of it.

        Raises:
            UnsupportedOperator: it has another dtype.
            BadQuantization: it has no parameters, or several scales.
        """
        info = tensor.info
        self.require(
            info.dtype == "int8",
            f"tensor '{info.name}' of {info.dtype}; expected int8 (quantize the model fully to int8)",
        )
        if info.quant is None or not info.quant.is_per_tensor:
            raise BadQuantization(f"{self.where}: tensor '{info.name}' must have one scale and one zero point.")
        return info.quant

    def unchanged(self, source: FileTensor, near: float = 0.0) -> QuantParams:
        """The parameters of an operator that moves integers as they are: the output's, equal to the operand's.

        Raises:
            BadQuantization: they differ, which LiteRT refuses too.
        """
        x, y = self.quant(source), self.quant(self.output)
        if x.zero_point != y.zero_point or abs(x.scale[0] - y.scale[0]) > near:
            raise BadQuantization(
                f"{self.where}: '{source.info.name}' has {x} and the output {y}; expected the same parameters."
            )
        return y

    # Checks

    def require(self, condition: bool, found: str) -> None:
        """Refuse what is outside the emulated form.

        Raises:
            UnsupportedOperator: the condition does not hold.
        """
        if not condition:
            raise UnsupportedOperator(f"{self.where} has {found}.")

    def expect_shape(self, tensor: FileTensor, shape: Sequence[int]) -> None:
        """The tensor must have the shape that follows from the other operands.

        Raises:
            ShapeMismatch: it has another one.
        """
        if tensor.info.shape != tuple(shape):
            raise ShapeMismatch(
                f"{self.where}: '{tensor.info.name}' has shape {list(tensor.info.shape)}; expected {list(shape)}."
            )
