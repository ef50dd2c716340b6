# SPDX-License-Identifier: Apache-2.0
"""Small TFLite files written with the flatbuffers package, field by field, by the numbers of the schema."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np

from q8emu.readers import tflite_schema as schema

CODES = {name: (code, union or 0) for code, (name, union) in schema.OPERATORS.items()}
TYPES = {name: code for code, name in schema.ELEMENT_TYPES.items()}

VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "EXPAND_DIMS": 1,
    "FULLY_CONNECTED": 5,
    "HARD_SWISH": 1,
    "RESHAPE": 1,
    "SQUEEZE": 1,
}

Options = Mapping[int, tuple[str, Any]]  # field → kind (Int8, Int32, Bool, Float32) and value
Fields = Mapping[Any, tuple[str, Any]]


@dataclass
class Tensor:
    """One tensor as the file has it."""

    name: str
    dtype: str
    shape: Sequence[int]
    scale: Sequence[float] = ()
    zero_point: Sequence[int] = ()
    axis: int = 0
    data: np.ndarray | None = None


@dataclass
class Operator:
    """One operator; `code` and `union` as numbers, so that illegal ones can be written too."""

    code: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    options: Options = field(default_factory=dict)
    union: int = 0
    version: int = 1


class File:
    """A model with one subgraph."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.version = schema.VERSION

    def tensor(self, *arguments: Any, **named: Any) -> int:
        """Add a tensor; the arguments are those of Tensor."""
        self.tensors.append(Tensor(*arguments, **named))
        return len(self.tensors) - 1

    def operator(
        self, name: str, inputs: Sequence[int], outputs: Sequence[int], options: Options | None = None
    ) -> None:
        """Add an operator by its name in the schema."""
        code, union = CODES[name]
        self.operators.append(Operator(code, inputs, outputs, options or {}, union, VERSIONS.get(name, 2)))

    def build(self) -> bytes:
        """The bytes of the file."""
        b = flatbuffers.Builder(1024)
        data = [None, *(t.data for t in self.tensors if t.data is not None)]
        buffers = [_table(b, {} if d is None else {schema.Buffer.DATA: ("Offset", _bytes(b, d))}) for d in data]
        numbers = iter(range(1, len(data)))
        tensors = [_tensor(b, t, 0 if t.data is None else next(numbers)) for t in self.tensors]
        known = list(dict.fromkeys((op.code, op.version) for op in self.operators))
        codes = [_code(b, code, version) for code, version in known]
        operators = [_operator(b, known.index((op.code, op.version)), op) for op in self.operators]
        main = _table(
            b,
            {
                schema.SubGraph.TENSORS: ("Offset", _offsets(b, tensors)),
                schema.SubGraph.INPUTS: ("Offset", _numbers(b, self.inputs, np.int32)),
                schema.SubGraph.OUTPUTS: ("Offset", _numbers(b, self.outputs, np.int32)),
                schema.SubGraph.OPERATORS: ("Offset", _offsets(b, operators)),
            },
        )
        fields = {
            schema.Model.VERSION: ("Uint32", self.version),
            schema.Model.OPERATOR_CODES: ("Offset", _offsets(b, codes)),
            schema.Model.SUBGRAPHS: ("Offset", _offsets(b, [main])),
            schema.Model.BUFFERS: ("Offset", _offsets(b, buffers)),
        }
        b.Finish(_table(b, fields), schema.IDENTIFIER)
        return bytes(b.Output())


def _tensor(b: Any, t: Tensor, buffer: int) -> int:
    fields: dict[int, tuple[str, Any]] = {
        schema.Tensor.SHAPE: ("Offset", _numbers(b, t.shape, np.int32)),
        schema.Tensor.TYPE: ("Int8", TYPES[t.dtype]),
        schema.Tensor.BUFFER: ("Uint32", buffer),
        schema.Tensor.NAME: ("Offset", b.CreateString(t.name)),
    }
    if len(t.scale):
        quantization = {
            schema.Quantization.SCALE: ("Offset", _numbers(b, t.scale, np.float32)),
            schema.Quantization.ZERO_POINT: ("Offset", _numbers(b, t.zero_point, np.int64)),
            schema.Quantization.QUANTIZED_DIMENSION: ("Int32", t.axis),
        }
        fields[schema.Tensor.QUANTIZATION] = ("Offset", _table(b, quantization))
    return _table(b, fields)


def _code(b: Any, code: int, version: int) -> int:
    fields = {
        schema.OperatorCode.DEPRECATED_BUILTIN_CODE: ("Int8", min(code, 127)),
        schema.OperatorCode.VERSION: ("Int32", version),
        schema.OperatorCode.BUILTIN_CODE: ("Int32", code),
    }
    return _table(b, fields)


def _operator(b: Any, index: int, op: Operator) -> int:
    fields: dict[int, tuple[str, Any]] = {
        schema.Operator.OPCODE_INDEX: ("Uint32", index),
        schema.Operator.INPUTS: ("Offset", _numbers(b, op.inputs, np.int32)),
        schema.Operator.OUTPUTS: ("Offset", _numbers(b, op.outputs, np.int32)),
    }
    if op.union:
        fields[schema.Operator.BUILTIN_OPTIONS_TYPE] = ("Uint8", op.union)
        fields[schema.Operator.BUILTIN_OPTIONS] = ("Offset", _table(b, op.options))
    return _table(b, fields)


def _table(b: Any, fields: Fields) -> int:
    b.StartObject(max(fields, default=-1) + 1)
    for number, (kind, value) in fields.items():
        if kind == "Offset":
            b.PrependUOffsetTRelativeSlot(int(number), value, 0)
        else:
            getattr(b, f"Prepend{kind}Slot")(int(number), value, None)  # no default: written whatever it is
    end: int = b.EndObject()
    return end


def _offsets(b: Any, tables: Sequence[int]) -> int:
    b.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        b.PrependUOffsetTRelative(table)
    end: int = b.EndVector()
    return end


def _numbers(b: Any, values: Sequence[Any], dtype: Any) -> int:
    end: int = b.CreateNumpyVector(np.asarray(values, dtype)) if len(values) else _offsets(b, [])
    return end


def _bytes(b: Any, data: np.ndarray) -> int:
    b.StartVector(1, data.nbytes, 16)
    b.head -= data.nbytes
    b.Bytes[b.head : b.head + data.nbytes] = np.ascontiguousarray(data).tobytes()
    end: int = b.EndVector()
    return end
