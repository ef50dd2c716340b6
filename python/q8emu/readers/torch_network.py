# SPDX-License-Identifier: Apache-2.0
"""The graph of a TorchScript file under construction: tensors as its code sees them, and the nodes made so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, prod
from types import MappingProxyType
from typing import Any

import numpy as np

from q8emu.errors import BadQuantization, ShapeMismatch, TooLarge, UnsupportedOperator
from q8emu.graph import INTERNAL, Graph, Node, QuantParams, TensorInfo, unique_name
from q8emu.readers.shapes import checked_shape

UINT8 = (0, 255)
MAX_NODES = 2**14


@dataclass(frozen=True)
class Value:
    """A tensor.

    Attributes:
        name: in the graph.
        shape: static.
        quant: its parameters; None for one that was never quantized.
        is_real: is it the dequantized form of the graph's tensor?
        is_last: is it stored channels-last? Averages depend on it.
    """

    name: str
    shape: tuple[int, ...]
    quant: QuantParams | None
    is_real: bool = False
    is_last: bool = False

    @property
    def is_quantized(self) -> bool:
        """Does the code see integers?"""
        return self.quant is not None and not self.is_real

    @property
    def counts_as_last(self) -> bool:
        """Would torch call its memory channels-last? Also where both orders are the same."""
        return len(self.shape) == 4 and (self.is_last or self.shape[1] == 1 or self.shape[2:] == (1, 1))


class Network:
    """The nodes made so far."""

    def __init__(self) -> None:
        self._inputs: list[str] = []
        self._nodes: list[Node] = []
        self._tensors: dict[str, TensorInfo] = {}
        self._constants: dict[str, np.ndarray] = {}
        self._shown = 0  # quantized tensors that the code makes; the oracle counts them too
        self.where, self.base = "", ""  # the operator at hand, for messages and for names

    def input(self, name: str, shape: Sequence[int]) -> Value:
        """An input of the model, float32."""
        self._inputs.append(name)
        self._tensors[name] = TensorInfo(name, "float32", tuple(shape))
        return Value(name, tuple(shape), None)

    def named(self, base: str) -> str:
        """The name of the next quantized tensor: the first of a name keeps it."""
        name = unique_name(base, self._shown, self._tensors)
        self._shown += 1
        return name

    def internal(self, base: str) -> str:
        """A name for a tensor that the code does not see as integers."""
        return unique_name(f"{INTERNAL}{base}", len(self._tensors), self._tensors)

    def constant(self, name: str, value: np.ndarray) -> str:
        """A constant under this name; the same weights may serve several calls."""
        if name not in self._constants:
            self._constants[name] = value
            self._tensors[name] = TensorInfo(name, str(value.dtype), value.shape)
        return name

    def add(
        self,
        op: str,
        name: str,
        inputs: Sequence[str],
        attrs: Mapping[str, Any],
        in_quant: Sequence[QuantParams | None],
        shape: Sequence[int],
        quant: QuantParams | None,
        *,
        is_last: bool = False,
    ) -> Value:
        """A canonical node that defines the tensor `name`."""
        if len(self._nodes) >= MAX_NODES:
            raise TooLarge(f"The model has more than {MAX_NODES} operators, the limit.")
        sizes = checked_shape(shape, f"tensor '{name}'")
        self._tensors[name] = TensorInfo(name, quant.dtype if quant else "float32", sizes, quant)
        self._nodes.append(Node(op, name, tuple(inputs), (name,), dict(attrs), tuple(in_quant), (quant,), (name,)))
        return Value(name, sizes, quant, is_last=is_last)

    def moved(
        self, op: str, x: Value, shape: Sequence[int], attrs: Mapping[str, Any], *, is_last: bool = False
    ) -> Value:
        """An operator that moves values, of integers or of their dequantized form."""
        self.require(x.quant is not None, "float values that were never quantized")
        name = self.internal(self.base) if x.is_real else self.named(self.base)
        full = {**attrs, "clamps": (UINT8,)}
        made = self.add(op, name, [x.name], full, [x.quant], shape, x.quant, is_last=is_last)
        return replace(made, is_real=x.is_real)

    def graph(self, result: Any) -> Graph:
        """The whole graph; `result` is what the code returns."""
        values = list(result) if isinstance(result, (list, tuple)) else [result]
        self.where = "the result"
        names = [f"output{i}" if len(values) > 1 else "output" for i in range(len(values))]
        outputs = tuple(self._output(value, name) for value, name in zip(values, names, strict=True))
        self.require(bool(outputs), "nothing; there is nothing to compute")
        return Graph(
            tuple(self._inputs),
            outputs,
            tuple(self._nodes),
            MappingProxyType(self._tensors),
            MappingProxyType(self._constants),
            opsets=MappingProxyType({"": 17}),
        )

    def _output(self, value: Any, name: str) -> str:
        self.require(isinstance(value, Value) and value.quant is not None, "a result that is no quantized tensor")
        if name in self._tensors:
            raise UnsupportedOperator(f"The model has a tensor '{name}', which is what q8emu calls its result.")
        if value.is_real:
            return self.add("DequantizeLinear", name, [value.name], {}, [value.quant], value.shape, None).name
        attrs = {"clamps": (UINT8,)}
        return self.add("Identity", name, [value.name], attrs, [value.quant], value.shape, value.quant).name

    # Checks

    def require(self, condition: bool, found: str) -> None:
        """Refuse what is outside the emulated form.

        Raises:
            UnsupportedOperator: the condition does not hold.
        """
        if not condition:
            raise UnsupportedOperator(f"{self.where} has {found}, which q8emu does not read.")

    def fits(self, condition: bool, found: str) -> None:
        """Refuse shapes that do not fit each other.

        Raises:
            ShapeMismatch: the condition does not hold.
        """
        if not condition:
            raise ShapeMismatch(f"{self.where}: {found}.")

    def params(self, scale: Any, zero_point: Any) -> QuantParams:
        """quint8 with one scale.

        Raises:
            BadQuantization: a scale that is no positive float32, a zero point beyond 0..255.
        """
        with np.errstate(over="ignore", under="ignore"):
            single = float(np.float32(scale))
        if not isfinite(single) or single <= 0 or not isinstance(zero_point, int) or not 0 <= zero_point <= 255:
            raise BadQuantization(
                f"{self.where}: scale {scale} and zero point {zero_point}; expected a positive float32 and 0..255."
            )
        return QuantParams("uint8", (single,), (zero_point,))

    def quantized(self, value: Any) -> QuantParams:
        """The parameters of an operand that must be quantized.

        Raises:
            UnsupportedOperator: it is not.
        """
        self.require(isinstance(value, Value) and value.is_quantized, "an operand that is not quantized (quint8)")
        params: QuantParams = value.quant
        return params


def elements(shape: Sequence[int]) -> int:
    """Number of elements."""
    return prod(shape)
