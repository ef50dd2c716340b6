# SPDX-License-Identifier: Apache-2.0
"""Tensors of a TFLite file: types, checked shapes, quantization parameters, constants."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from q8emu.errors import BadModel, BadQuantization, TooLarge, UnsupportedOperator
from q8emu.graph import INTERNAL, QuantParams, TensorInfo, unique_name
from q8emu.readers import tflite_schema as schema
from q8emu.readers.flatbuffer import Table
from q8emu.readers.shapes import MAX_RANK, checked_shape

MAX_ROOM = 2**24
"""Characters of names and numbers of scales in one file, tensors that share them counted each."""

_NUMERIC = ("float32", "int8", "uint8", "int16", "int32", "int64")


@dataclass(frozen=True)
class FileTensor:
    """One tensor of the file; `constant` is None for activations."""

    info: TensorInfo
    constant: np.ndarray | None


def read_tensors(graph: Table, model: Table) -> list[FileTensor]:
    """All tensors of a subgraph, in the file's order, under unique names.

    Raises:
        BadModel: a tensor contradicts itself.
        BadQuantization: a scale or zero point is not a legal one.
        TooLarge: a tensor beyond the limit.
        UnsupportedOperator: a sparse or variable tensor, or data outside the tables.
    """
    buffers = model.tables(schema.Model.BUFFERS)
    names: set[str] = set()
    found = []
    room = MAX_ROOM
    for index, tensor in enumerate(graph.tables(schema.SubGraph.TENSORS)):
        name = unique_name(tensor.text(schema.Tensor.NAME), index, names)
        names.add(name)
        if name.startswith(INTERNAL):
            raise BadModel(f"Tensor '{name}' has a name that begins with '{INTERNAL}', which q8emu keeps for its own.")
        found.append(_read(tensor, name, buffers))
        quant = found[-1].info.quant
        room -= len(name) + (len(quant.scale) if quant else 0)
        if room < 0:
            raise TooLarge(f"The names and scales of the model's tensors exceed {MAX_ROOM} items; expected far fewer.")
    return found


def _read(tensor: Table, name: str, buffers: list[Table]) -> FileTensor:
    where = f"tensor '{name}'"
    if tensor.has(schema.Tensor.SPARSITY) or tensor.integer(schema.Tensor.IS_VARIABLE, "?"):
        raise UnsupportedOperator(f"The model's {where} is sparse or keeps state between runs; expected neither.")
    code = tensor.integer(schema.Tensor.TYPE, "b")
    if code not in schema.ELEMENT_TYPES:
        raise UnsupportedOperator(f"The model's {where} has element type {code}, which q8emu does not know.")
    dtype = schema.ELEMENT_TYPES[code]
    data = _data(tensor, where, buffers)
    dims = [int(d) for d in tensor.array(schema.Tensor.SHAPE, np.dtype(np.int32))[: MAX_RANK + 1]]
    shape = checked_shape(dims, where, least=1 if data is None else 0)
    info = TensorInfo(name, dtype, shape, _quantization(tensor, where, dtype, shape))
    if data is None or dtype not in _NUMERIC:
        return FileTensor(info, None)
    size = prod(shape) * np.dtype(dtype).itemsize
    if data.size != size:
        raise BadModel(f"The model's {where} holds {data.size} bytes; {dtype}{list(shape)} needs {size}.")
    return FileTensor(info, data.view(np.dtype(dtype).newbyteorder("<")).astype(dtype, copy=False).reshape(shape))


def _data(tensor: Table, where: str, buffers: list[Table]) -> np.ndarray | None:
    """The bytes of a constant, None for an activation."""
    index = tensor.integer(schema.Tensor.BUFFER, "I")
    if index >= max(len(buffers), 1):
        raise BadModel(f"The model's {where} names buffer {index} of {len(buffers)}; expected one that exists.")
    if index == 0:
        return None
    if buffers[index].integer(schema.Buffer.OFFSET, "Q") > 1:
        raise UnsupportedOperator(f"The model's {where} has its data behind the tables; expected it in them.")
    data = buffers[index].array(schema.Buffer.DATA, np.dtype(np.uint8))
    return data if data.size else None


def _quantization(tensor: Table, where: str, dtype: str, shape: tuple[int, ...]) -> QuantParams | None:
    """Checked parameters, None for a tensor without any."""
    table = tensor.table(schema.Tensor.QUANTIZATION)
    scales = table.array(schema.Quantization.SCALE, np.dtype(np.float32)) if table else np.zeros(0, np.float32)
    if table is None or scales.size == 0 or dtype not in _NUMERIC:
        return None
    if table.integer(schema.Quantization.DETAILS_TYPE, "B"):
        raise UnsupportedOperator(
            f"The model's {where} is quantized in a way of its own; expected scale and zero point."
        )
    points = table.array(schema.Quantization.ZERO_POINT, np.dtype(np.int64))
    axis = table.integer(schema.Quantization.QUANTIZED_DIMENSION) if scales.size > 1 else None
    if points.size != scales.size:
        raise BadQuantization(f"The model's {where} has {scales.size} scales and {points.size} zero points.")
    if axis is not None and (not 0 <= axis < len(shape) or shape[axis] != scales.size):
        raise BadQuantization(
            f"The model's {where} has {scales.size} scales along axis {axis} of shape {list(shape)}; expected as many "
            "as the axis is long."
        )
    if not np.isfinite(scales).all() or (scales <= 0).any():
        raise BadQuantization(f"The model's {where} has a scale that is not a positive finite number.")
    limits = np.iinfo(dtype) if dtype != "float32" else np.iinfo(np.int32)
    if (points < limits.min).any() or (points > limits.max).any():
        raise BadQuantization(f"The model's {where} has a zero point outside {dtype}.")
    return QuantParams(dtype, tuple(map(float, scales)), tuple(map(int, points)), axis)
