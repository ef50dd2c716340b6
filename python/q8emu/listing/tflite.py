# SPDX-License-Identifier: Apache-2.0
"""The operators of a TFLite file, with the indices of their tensors and of the buffers that hold constants."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

from q8emu.errors import BadModel
from q8emu.listing.base import FileNode, FileOperand, Place, Quantization
from q8emu.readers import tflite_schema as schema
from q8emu.readers.flatbuffer import Damaged, Table, root
from q8emu.readers.tflite import read_bytes, tensor_indices
from q8emu.readers.tflite_tensors import FileTensor, read_tensors

# Options by operator: the fields in order, and for each its kind in the file.
OPTIONS: dict[str, tuple[type[IntEnum], str]] = {
    "AVERAGE_POOL_2D": (schema.Pool2D, "biiiib"),
    "CONCATENATION": (schema.Concatenation, "ib"),
    "CONV_2D": (schema.Conv2D, "biibii"),
    "DEPTHWISE_CONV_2D": (schema.DepthwiseConv2D, "biiibii"),
    "FULLY_CONNECTED": (schema.FullyConnected, "bb?"),
    "MAX_POOL_2D": (schema.Pool2D, "biiiib"),
    "RESIZE_NEAREST_NEIGHBOR": (schema.ResizeNearestNeighbor, "??"),
    "STRIDED_SLICE": (schema.StridedSlice, "iiiii?"),
}
ONE_ACTIVATION = ("ADD", "MUL", "SUB")  # the only option that counts
ROLES = {
    "ADD": ("x", "y"),
    "CONV_2D": ("input", "filter", "bias"),
    "DEPTHWISE_CONV_2D": ("input", "filter", "bias"),
    "FULLY_CONNECTED": ("input", "weights", "bias"),
    "MUL": ("x", "y"),
    "SUB": ("x", "y"),
}
PADDINGS = {schema.SAME: "SAME", schema.VALID: "VALID"}


def list_tflite(model: Path) -> tuple[FileNode, ...]:
    """The operators of the main subgraph.

    Raises:
        Q8Error: the file cannot be read.
    """
    try:
        return _operators(root(read_bytes(model)))
    except Damaged as error:
        raise BadModel(f"The TFLite file is damaged: it has {error}. Convert it again.") from error


def _operators(model: Table) -> tuple[FileNode, ...]:
    subgraphs = model.tables(schema.Model.SUBGRAPHS)
    if not subgraphs:
        raise BadModel("The TFLite file has no subgraph; expected a network.")
    main = subgraphs[0]
    tensors = read_tensors(main, model)
    buffers = [t.integer(schema.Tensor.BUFFER, "I") for t in main.tables(schema.SubGraph.TENSORS)]
    codes = model.tables(schema.Model.OPERATOR_CODES)
    inputs = tensor_indices(main, schema.SubGraph.INPUTS, tensors, "the model's inputs")
    makers: dict[int, tuple[int, str]] = {}
    nodes = []

    def operand(slot: int, at: int, role: str, *, is_output: bool) -> FileOperand:
        tensor = tensors[at]
        place = Place("tensor", tensor.info.name, tensor=at, buffer=buffers[at])
        if tensor.constant is None:
            made = makers.get(at)
            maker, by = made or (None, "")
            kind = "input" if made is None and at in inputs else "node"
            place = Place(kind, tensor.info.name, maker, by, tensor=at)
        quantization = _quantization(tensor, at)
        info = tensor.info
        return FileOperand(slot, role, info.name, info.dtype, info.shape, None if is_output else place, quantization)

    for index, table in enumerate(main.tables(schema.SubGraph.OPERATORS)):
        name = _name(table, codes)
        where = f"{name} (operator {index})"
        ins = tensor_indices(table, schema.Operator.INPUTS, tensors, where)
        outs = tensor_indices(table, schema.Operator.OUTPUTS, tensors, where)
        roles = ROLES.get(name, ())
        read = tuple(
            operand(s, at, roles[s] if s < len(roles) else "", is_output=False) for s, at in enumerate(ins) if at >= 0
        )
        makers |= dict.fromkeys(outs, (index, name))
        made = tuple(operand(s, at, "output", is_output=True) for s, at in enumerate(outs) if at >= 0)
        nodes.append(FileNode(index, name, made[0].tensor if made else "", _options(table, name), read, made))
    return tuple(nodes)


def _name(table: Table, codes: Sequence[Table]) -> str:
    """As the schema calls the operator; a number where q8emu does not know it."""
    at = table.integer(schema.Operator.OPCODE_INDEX, "I")
    if at >= len(codes):
        raise BadModel(f"An operator names operator code {at} of {len(codes)}; expected one that exists.")
    fields = schema.OperatorCode
    code = max(codes[at].integer(fields.DEPRECATED_BUILTIN_CODE, "b"), codes[at].integer(fields.BUILTIN_CODE))
    if code == schema.CUSTOM:
        return f"CUSTOM '{codes[at].text(fields.CUSTOM_CODE)}'"
    return schema.OPERATORS[code][0] if code in schema.OPERATORS else f"BUILTIN_{code}"


def _options(table: Table, name: str) -> dict[str, Any]:
    """The options that q8emu knows, by the schema's names; an absent one has the schema's default."""
    options = table.table(schema.Operator.BUILTIN_OPTIONS)
    if options is None:
        return {}
    if name in ONE_ACTIVATION:
        return {"fused_activation": _activation(options.integer(schema.ACTIVATION, "b"))}
    if name not in OPTIONS:
        return {}
    fields, kinds = OPTIONS[name]
    found: dict[str, Any] = {}
    for option, kind in zip(fields, kinds, strict=True):
        value = options.integer(option, kind, int(option.name.startswith("DILATION")))
        if option.name == "ACTIVATION":
            found["fused_activation"] = _activation(value)
        elif option.name == "PADDING":
            found["padding"] = PADDINGS.get(value, str(value))
        else:
            found[option.name.lower()] = bool(value) if kind == "?" else value
    return found


def _activation(code: int) -> str:
    return schema.ACTIVATIONS[code] if 0 <= code < len(schema.ACTIVATIONS) else str(code)


def _quantization(tensor: FileTensor, at: int) -> Quantization | None:
    """The parameters stand in the table of the tensor itself."""
    quant = tensor.info.quant
    if quant is None:
        return None
    place = Place("tensor", tensor.info.name, tensor=at)
    scale = tuple(float(s) for s in np.array(quant.scale, np.float32))
    return Quantization(quant.dtype, scale, quant.zero_point, quant.axis, place, place)
