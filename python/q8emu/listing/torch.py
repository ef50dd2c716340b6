# SPDX-License-Identifier: Apache-2.0
"""The calls of operators in a TorchScript file, in the order of its code, and where their numbers and weights are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from q8emu.errors import BadModel, Q8Error
from q8emu.graph import QuantParams
from q8emu.listing.base import FileNode, FileOperand, Place, Quantization, plain
from q8emu.readers.torch import visit_torch
from q8emu.readers.torch_code import Path as Undefined
from q8emu.readers.torch_modules import Packed
from q8emu.readers.torch_network import Network, Value
from q8emu.readers.torch_operators import operator
from q8emu.readers.torch_pickle import Tensor
from q8emu.unpickle import Object

Call = tuple[str, Sequence[Any], Mapping[str, Any], Any]
UNKNOWN = "?"  # shape of what an operator gives that q8emu does not read


def list_torch(model: Path, shapes: Mapping[str, Sequence[int]]) -> tuple[FileNode, ...]:
    """The calls that make or take tensors; what only computes sizes is left out.

    Raises:
        Q8Error: the file cannot be read.
    """
    network = Network()
    calls: list[Call] = []

    def visit(name: str, values: Sequence[Any], options: Mapping[str, Any]) -> Any:
        undefined = next((v for v in (*values, *options.values()) if isinstance(v, Undefined)), None)
        if undefined is not None:
            raise BadModel(f"{name} reads '{undefined}', which the code does not define; expected a tensor.")
        try:
            result = operator(network, name, values, options)
        except (Q8Error, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            result = Value(f"{name.removeprefix('torch.')}{UNKNOWN}{len(calls)}", (), None)
        calls.append((name, values, options, result))
        return result

    return _Nodes(visit_torch(model, shapes, network, visit)).of(calls)


class _Nodes:
    """Turns calls into nodes."""

    def __init__(self, module: Object) -> None:
        self._paths: dict[int, str] = {}
        self._walk(module, "", set())
        self._makers: dict[tuple[str, bool], tuple[int, str]] = {}

    def of(self, calls: Sequence[Call]) -> tuple[FileNode, ...]:
        """One node per call that gives a tensor."""
        nodes: list[FileNode] = []
        for call in calls:
            if isinstance(call[3], Value):
                nodes.append(self._node(len(nodes), call))
                self._makers[call[3].name, call[3].is_real] = len(nodes) - 1, call[0]
        return tuple(nodes)

    def _walk(self, module: Object, path: str, seen: set[int]) -> None:
        """The path of every tensor that a module holds."""
        if id(module) in seen or not isinstance(module.state, dict):
            return
        seen.add(id(module))
        for name, value in module.state.items():
            own = f"{path}.{name}" if path else str(name)
            if isinstance(value, Object):
                self._walk(value, own, seen)
            elif isinstance(value, Tensor):
                self._paths[id(value)] = own

    def _node(self, index: int, call: Call) -> FileNode:
        name, values, options, result = call
        attributes = {str(i): v for i, v in enumerate(values) if _is_number(v)}
        attributes |= {key: v for key, v in options.items() if _is_number(v)}
        inputs = [operand for slot, value in enumerate(values) for operand in self._operands(slot, value)]
        quantization = self._parameters(name, values, result.quant) if result.is_quantized else None
        output = FileOperand(0, "", result.name, _dtype(result), _shape(result), None, quantization)
        return FileNode(index, name, result.name, attributes, tuple(inputs), (output,))

    def _operands(self, slot: int, value: Any) -> list[FileOperand]:
        if isinstance(value, (list, tuple)):
            return [operand for part in value for operand in self._operands(slot, part)]
        if isinstance(value, Value):
            made = self._makers.get((value.name, value.is_real))
            place = Place("node", value.name, *made) if made else Place("input", value.name)
            quantization = _quantization(value.quant) if value.is_quantized and value.quant else None
            return [FileOperand(slot, "", value.name, _dtype(value), _shape(value), place, quantization)]
        if isinstance(value, Packed):
            found = [self._tensor(slot, "weight", value.weight, f"{value.path}.weight")]
            return found + ([self._tensor(slot, "bias", value.bias, f"{value.path}.bias")] if value.bias else [])
        if isinstance(value, Tensor):
            return [self._tensor(slot, "", value, self._paths.get(id(value), "constants.pkl"))]
        return []

    def _tensor(self, slot: int, role: str, tensor: Tensor, path: str) -> FileOperand:
        place, quantization = Place("module", path), None
        if tensor.scales:
            quantization = Quantization(
                tensor.storage.kind, tensor.scales, tuple(tensor.zero_points), tensor.axis, place, place
            )
        return FileOperand(slot, role, path, tensor.storage.kind, tuple(tensor.shape), place, quantization)

    def _parameters(self, name: str, values: Sequence[Any], quant: QuantParams | None) -> Quantization | None:
        """Those of a result: two arguments where the operator has them, else the operand's own."""
        if quant is None:
            return None
        pair: Sequence[Any] = ()
        if name.endswith("quantize_per_tensor"):
            pair = values[1:3]
        elif name.startswith("ops.quantized.") and len(values) >= 4:
            pair = values[-2:]
        places = [
            Place("module", self._paths.get(id(v), "constants.pkl")) if isinstance(v, Tensor) else Place("code")
            for v in pair
        ]
        return _quantization(quant, *places)


def _quantization(quant: QuantParams, scale: Place | None = None, zero_point: Place | None = None) -> Quantization:
    return Quantization(quant.dtype, quant.scale, quant.zero_point, quant.axis, scale, zero_point)


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) or (
        isinstance(value, (list, tuple)) and all(_is_number(v) for v in value) and plain(value) != []
    )


def _is_known(value: Value) -> bool:
    return UNKNOWN not in value.name


def _dtype(value: Value) -> str:
    if not _is_known(value):
        return ""
    return value.quant.dtype if value.is_quantized and value.quant else "float32"


def _shape(value: Value) -> tuple[int, ...] | None:
    return value.shape if _is_known(value) else None
