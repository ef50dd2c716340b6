# SPDX-License-Identifier: Apache-2.0
"""A TFLite file becomes a Graph of q8emu's own operators; nothing is left to canonicalize.

The file is untrusted: every offset, index, shape and size is checked before it is used, and nothing in it is executed.
The tensors keep the file's layout, NHWC; weights become OIHW. No runtime is needed to read one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from q8emu.errors import BadInput, BadModel, TooLarge, UnsupportedOperator
from q8emu.graph import INTERNAL, Graph, Node, TensorInfo
from q8emu.readers import tflite_schema as schema
from q8emu.readers.flatbuffer import Damaged, Table, root
from q8emu.readers.tflite_operator import Made, Operator
from q8emu.readers.tflite_operators import READ
from q8emu.readers.tflite_tensors import FileTensor, read_tensors

MAX_FILE = 2**31
"""Largest file in bytes; FlatBuffers cannot address more."""


def is_tflite(model: Path | bytes) -> bool:
    """Does the content begin as a TFLite file? Paths that cannot be read do not."""
    if isinstance(model, bytes):
        return model[4:8] == schema.IDENTIFIER
    try:
        with model.open("rb") as file:
            return file.read(8)[4:8] == schema.IDENTIFIER
    except OSError:
        return False


def read_tflite(model: Path | str | bytes) -> Graph:
    """Read a TFLite model that is quantized to int8, or to uint8.

    Args:
        model: a path, or the bytes of a file.

    Returns:
        The canonical graph, layout "NHWC", all shapes as the file has them.

    Raises:
        BadModel: the file is damaged or contradicts itself.
        BadQuantization: a scale or zero point is not a legal one.
        ShapeMismatch: shapes do not fit each other.
        TooLarge: a tensor beyond the limit.
        UnsupportedOperator: an operator, element type or attribute that q8emu does not emulate.
    """
    data = model if isinstance(model, bytes) else read_bytes(Path(model))
    try:
        return _graph(root(data))
    except Damaged as error:
        raise BadModel(
            f"The file is not a TFLite model, or it is damaged: it has {error}. Convert it again."
        ) from error


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        BadInput: there is none.
        TooLarge: it is longer than a TFLite file can be.
    """
    if not path.is_file():
        raise BadInput(f"There is no model file '{path}'; expected the path of a .tflite file.")
    size = path.stat().st_size
    if size > MAX_FILE:
        raise TooLarge(f"'{path}' has {size:,} bytes; the limit of a TFLite file is {MAX_FILE:,}.")
    return path.read_bytes()


def _graph(model: Table) -> Graph:
    version = model.integer(schema.Model.VERSION, "I")
    if version != schema.VERSION:
        raise UnsupportedOperator(f"The TFLite file has schema version {version}; expected {schema.VERSION}.")
    subgraphs = model.tables(schema.Model.SUBGRAPHS)
    if not subgraphs:
        raise BadModel("The TFLite file has no subgraph; expected a network.")
    main = subgraphs[0]  # others are reached through control flow only, which is refused
    tensors = read_tensors(main, model)
    inputs = tensor_indices(main, schema.SubGraph.INPUTS, tensors, "the model's inputs")
    outputs = tensor_indices(main, schema.SubGraph.OUTPUTS, tensors, "the model's outputs")
    if not outputs:
        raise BadModel("The model has no outputs; there is nothing to compute.")
    builder = _Builder(tensors, inputs)
    codes = model.tables(schema.Model.OPERATOR_CODES)
    operators = main.tables(schema.SubGraph.OPERATORS)
    if not operators:
        raise BadModel("The model has no operators; expected a network with at least one.")
    for index, table in enumerate(operators):
        builder.add(_operator(table, index, codes, tensors, builder.known))
    return builder.graph(outputs)


def tensor_indices(table: Table, field: int, tensors: Sequence[FileTensor], where: str) -> list[int]:
    """Tensor indices; -1 stands for an absent operand.

    Raises:
        BadModel: one that does not exist.
    """
    found = [int(i) for i in table.array(field, np.dtype(np.int32))[: len(tensors) + 2]]
    wrong = next((i for i in found if not -1 <= i < len(tensors)), None)
    if wrong is not None:
        raise BadModel(f"{where} name tensor {wrong} of {len(tensors)}; expected one that exists.")
    return found


def _operator(
    table: Table, index: int, codes: Sequence[Table], tensors: Sequence[FileTensor], known: set[str]
) -> Operator:
    kind, union = _kind(table, index, codes)
    where = f"{kind} (operator {index})"
    ins = tensor_indices(table, schema.Operator.INPUTS, tensors, where)
    outs = tensor_indices(table, schema.Operator.OUTPUTS, tensors, where)
    if len(outs) != 1 or outs[0] < 0:
        raise BadModel(f"{where} has {len(outs)} outputs; expected one.")
    options = table.table(schema.Operator.BUILTIN_OPTIONS) if union is not None else None
    found = table.integer(schema.Operator.BUILTIN_OPTIONS_TYPE, "B")
    if options is not None and found != union:
        raise BadModel(f"{where} has options of kind {found}; expected {union}.")
    op = Operator(kind, index, options, [tensors[i] if i >= 0 else None for i in ins], [tensors[outs[0]]])
    for operand in op.inputs:
        if operand is not None and operand.constant is None and operand.info.name not in known:
            raise BadModel(f"{op.where} reads '{operand.info.name}', which nothing before it defines.")
    if op.name in known or op.output.constant is not None:
        raise BadModel(f"{op.where} defines '{op.name}', which is defined already.")
    return op


def _kind(table: Table, index: int, codes: Sequence[Table]) -> tuple[str, int | None]:
    """Name of the operator, and the number of its options."""
    at = table.integer(schema.Operator.OPCODE_INDEX, "I")
    if at >= len(codes):
        raise BadModel(f"Operator {index} names operator code {at} of {len(codes)}; expected one that exists.")
    fields = schema.OperatorCode
    code = max(codes[at].integer(fields.DEPRECATED_BUILTIN_CODE, "b"), codes[at].integer(fields.BUILTIN_CODE))
    if code == schema.CUSTOM:
        raise UnsupportedOperator(
            f"Operator {index} is the custom operator '{codes[at].text(fields.CUSTOM_CODE)}'; q8emu knows none."
        )
    if code not in schema.OPERATORS:
        known = ", ".join(sorted(READ))
        raise UnsupportedOperator(f"Operator {index} has builtin code {code}; q8emu reads {known}.")
    return schema.OPERATORS[code]


class _Builder:
    """The graph under construction."""

    def __init__(self, tensors: Sequence[FileTensor], inputs: Sequence[int]) -> None:
        self._file = tensors
        self._inputs = tuple(tensors[i].info.name for i in inputs if i >= 0)
        if len(set(self._inputs)) != len(inputs) or any(tensors[i].constant is not None for i in inputs):
            raise BadModel("The model's inputs repeat a tensor, leave one out or name a constant.")
        self.known = set(self._inputs)
        self._tensors = {tensors[i].info.name: tensors[i].info for i in inputs}
        self._constants: dict[str, np.ndarray] = {}
        self._nodes: list[Node] = []
        self._notes: list[str] = []

    def add(self, op: Operator) -> None:
        """Read one operator."""
        dtypes = {t.info.dtype for t in (*op.inputs, op.output) if t is not None} & {"int8", "uint8"}
        if len(dtypes) > 1 and op.kind != "QUANTIZE":
            raise UnsupportedOperator(f"{op.where} mixes int8 and uint8; expected one of them.")
        for tensor in (*op.inputs, op.output):
            if tensor is not None and tensor.constant is None:
                self._tensors.setdefault(tensor.info.name, tensor.info)
        try:
            made = READ[op.kind](op)
        except (ArithmeticError, IndexError, KeyError, TypeError, ValueError) as error:
            raise BadModel(
                f"{op.where} has an operand or option that is not of the operator's kind "
                f"({type(error).__name__}: {error}); expected a legal operator."
            ) from error
        for info in made.tensors:
            self._tensors[info.name] = info
        renamed = {name: self._constant(name, value) for name, value in (made.constants or {}).items()}
        self._nodes += [_with_inputs(node, renamed) for node in made.nodes]
        self._check(made)
        self.known.add(op.name)
        if made.note:
            self._notes.append(made.note)

    def graph(self, outputs: Sequence[int]) -> Graph:
        """The whole graph."""
        names = tuple(self._file[i].info.name for i in outputs if i >= 0)
        for name in names:
            if name not in self.known:
                raise BadModel(f"The model's output '{name}' is produced by no operator; expected one that defines it.")
        if len(set(names)) != len(outputs):
            raise BadModel("The model's outputs repeat a tensor or leave one out.")
        return Graph(
            self._inputs,
            names,
            tuple(self._nodes),
            MappingProxyType(self._tensors),
            MappingProxyType(self._constants),
            notes=tuple(self._notes),
            layout="NHWC",
        )

    def _constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant under a name that is free or already holds the same value."""
        while name in self._tensors and not (
            name in self._constants
            and self._constants[name].shape == value.shape
            and np.array_equal(self._constants[name], value)
        ):
            name = f"{INTERNAL}{name}"
        self._constants[name] = value
        self._tensors[name] = TensorInfo(name, str(value.dtype), value.shape)
        return name

    def _check(self, made: Made) -> None:
        """An operand that is a constant must have been declared as one."""
        for node in made.nodes:
            for name in node.inputs:
                if name and name not in self._tensors:
                    raise UnsupportedOperator(f"{node.where()} reads the constant '{name}'; expected an activation.")


def _with_inputs(node: Node, renamed: dict[str, str]) -> Node:
    names = tuple(renamed.get(name, name) for name in node.inputs)
    return Node(node.op, node.name, names, node.outputs, node.attrs, node.in_quant, node.out_quant, node.sources)
