# SPDX-License-Identifier: Apache-2.0
"""An ONNX file becomes a Graph that spells the file's own operators.

The file is untrusted: nothing in it is executed, no path leaves its folder, no size is believed before it is checked.
Constants are collected, small integer arithmetic on shapes is folded, every tensor gets a static shape. Which operators
q8emu can emulate is decided later, in `canonicalize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError, Message
from onnx import AttributeProto, ModelProto, NodeProto, ValueInfoProto

from q8emu.errors import BadInput, BadModel, Q8Error, UnsupportedOperator
from q8emu.graph import Graph, Node, TensorInfo
from q8emu.readers.onnx_shapes import constant_value, infer_outputs
from q8emu.readers.onnx_tensors import dtype_name, read_tensor
from q8emu.readers.shapes import checked_shape

OLDEST_OPSET = 10  # the first with QuantizeLinear
DEFAULT_DOMAINS = ("", "ai.onnx")


def read_onnx(model: Path | str | bytes, *, batch: int | None = None, dims: Mapping[str, int] | None = None) -> Graph:
    """Read an ONNX model.

    Args:
        model: a path, or the bytes of a model without external data.
        batch: size of a symbolic leading dimension of the inputs; 1 when not given.
        dims: sizes of other symbolic dimensions by name.

    Returns:
        The graph in an order in which it can run, all shapes static.

    Raises:
        BadModel: the file is damaged, cyclic, dangling, or contradicts itself.
        UnsupportedOperator: control flow, model-local functions, or an opset out of range.
        TooLarge: a tensor beyond the limit.
        BadInput: a symbolic dimension without a size.
    """
    proto, folder = parse_onnx(model)
    if not proto.graph.node:
        raise BadModel("The model has no nodes; expected a network with at least one operator.")
    opsets = _opsets(proto)
    constants = initializers(proto, folder)
    sizes = _Sizes(1 if batch is None else batch, dict(dims or {}))
    inputs = [_input_info(v, sizes) for v in proto.graph.input if v.name not in constants]
    nodes = _sorted_nodes(proto, {i.name for i in inputs} | set(constants), folder)
    graph = _infer(nodes, inputs, constants, opsets)
    outputs = tuple(v.name for v in proto.graph.output)
    declared = {v.name: _declared(v, graph) for v in proto.graph.output}
    if not outputs:
        raise BadModel("The model has no outputs; there is nothing to compute.")
    return replace(graph, outputs=outputs, declared={n: d for n, d in declared.items() if d is not None})


def _declared(value: ValueInfoProto, graph: Graph) -> tuple[str, tuple[int | None, ...] | None] | None:
    """What the file says of an output: dtype and shape, None where it leaves them open.

    Raises:
        BadModel: no node defines the output.
    """
    if value.name not in graph.tensors:
        raise BadModel(f"The model's output '{value.name}' is produced by no node; expected one that defines it.")
    kind, declared = value.type.WhichOneof("value"), value.type.tensor_type
    if kind != "tensor_type":
        return None if kind is None else (kind, None)
    if declared.elem_type == 0:
        return None
    dims = [d.dim_value if d.HasField("dim_value") else None for d in declared.shape.dim]
    return dtype_name(declared.elem_type, f"output '{value.name}'"), tuple(dims) if declared.HasField("shape") else None


def batch_is_symbolic(model: Path | str | bytes) -> bool:
    """Is the leading dimension of any input left open by the file?"""
    proto, _ = parse_onnx(model)
    fixed = {t.name for t in proto.graph.initializer}
    dims = [v.type.tensor_type.shape.dim for v in proto.graph.input if v.name not in fixed]
    return any(len(d) > 0 and not d[0].HasField("dim_value") for d in dims)


def read_inputs(model: Path | str | bytes, *, batch: int) -> dict[str, TensorInfo]:
    """The inputs alone, by name, without a look at the nodes.

    Args:
        model: as for `read_onnx`.
        batch: size of a symbolic leading dimension.
    """
    proto, _ = parse_onnx(model)
    fixed = {t.name for t in proto.graph.initializer}
    inputs = [_input_info(v, _Sizes(batch, {})) for v in proto.graph.input if v.name not in fixed]
    return {info.name: info for info in inputs}


def parse_onnx(model: Path | str | bytes) -> tuple[ModelProto, Path | None]:
    """The protobuf message, and the folder in which external data may lie.

    Raises:
        BadInput: there is no such file.
        BadModel: its bytes are not an ONNX model.
        UnsupportedOperator: functions of its own.
    """
    folder = None
    if not isinstance(model, bytes):
        path = Path(model)
        if not path.is_file():
            raise BadInput(f"There is no model file '{path}'; expected the path of an .onnx file.")
        folder, model = path.parent, path.read_bytes()
    proto = ModelProto()
    try:
        proto.ParseFromString(model)
    except (DecodeError, UnicodeError, RuntimeError) as error:
        raise BadModel("The file is not an ONNX model: its bytes do not parse as one. Export it again.") from error
    _check_strings(proto)
    if proto.functions:
        raise UnsupportedOperator("The model has functions of its own; inline them first (onnx.inliner).")
    return proto, folder


def _check_strings(message: Message) -> None:
    """Every name in the file is UTF-8; protobuf hands out bytes where one is not.

    Raises:
        BadModel: a name that is not UTF-8.
    """
    for field, value in message.ListFields():
        if field.type not in (field.TYPE_MESSAGE, field.TYPE_STRING):
            continue
        values = (value,) if isinstance(value, Message | str | bytes) else value
        for item in values:
            if isinstance(item, Message):
                _check_strings(item)
            elif not isinstance(item, str):
                raise BadModel(f"The model has a name that is not UTF-8, {item!r}; export it again.")


def _opsets(proto: ModelProto) -> dict[str, int]:
    opsets = {("" if o.domain in DEFAULT_DOMAINS else o.domain): o.version for o in proto.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = opsets.get("", 0)
    if not OLDEST_OPSET <= version <= newest:
        raise UnsupportedOperator(
            f"The model uses opset {version}; expected {OLDEST_OPSET} to {newest} (the newest this onnx package knows)."
        )
    return opsets


def initializers(proto: ModelProto, folder: Path | None) -> dict[str, np.ndarray]:
    """The values of the file's initializers by name.

    Raises:
        BadModel: a name that is empty or not unique, or data that do not fit.
        UnsupportedOperator: sparse ones.
    """
    if proto.graph.sparse_initializer:
        raise UnsupportedOperator("The model has sparse initializers; expected dense ones.")
    constants: dict[str, np.ndarray] = {}
    for tensor in proto.graph.initializer:
        if not tensor.name or tensor.name in constants:
            raise BadModel(f"Initializer '{tensor.name}' is unnamed or defined twice; every name must be unique.")
        constants[tensor.name] = read_tensor(tensor, f"initializer '{tensor.name}'", folder)
    return constants


class _Sizes:
    """Gives symbolic dimensions their sizes, the same name always the same size."""

    def __init__(self, batch: int, dims: dict[str, int]) -> None:
        if batch < 1:
            raise BadInput(f"A batch of {batch} was asked for; expected 1 or more.")
        self.batch, self.dims = batch, dims

    def of(self, tensor: str, axis: int, dim: Any) -> int:
        if dim.HasField("dim_value"):
            return int(dim.dim_value)
        if dim.dim_param in self.dims:
            return self.dims[dim.dim_param]
        if axis == 0:
            if dim.dim_param:
                self.dims[dim.dim_param] = self.batch
            return self.batch
        label = dim.dim_param or "unknown"
        raise BadInput(
            f"Input '{tensor}' leaves dimension {axis} ({label}) open; only the leading one may be. "
            "Fix it in the model."
        )


def _input_info(value: ValueInfoProto, sizes: _Sizes) -> TensorInfo:
    where = f"input '{value.name}'"
    if value.type.WhichOneof("value") != "tensor_type" or not value.type.tensor_type.HasField("shape"):
        raise BadModel(f"The model's {where} is not a tensor with a shape; expected one.")
    tensor = value.type.tensor_type
    shape = [sizes.of(value.name, axis, dim) for axis, dim in enumerate(tensor.shape.dim)]
    return TensorInfo(value.name, dtype_name(tensor.elem_type, where), checked_shape(shape, where))


def _attribute(attribute: AttributeProto, where: str, folder: Path | None) -> Any:
    kind = attribute.type
    if kind in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        raise UnsupportedOperator(f"{where} contains a graph of its own (control flow), which q8emu does not run.")
    if kind == AttributeProto.TENSOR:
        return read_tensor(attribute.t, f"attribute '{attribute.name}' of {where}", folder)
    if kind == AttributeProto.STRING:
        return attribute.s.decode("utf-8", "replace")
    if kind in (AttributeProto.INTS, AttributeProto.FLOATS):
        return tuple(attribute.ints) if kind == AttributeProto.INTS else tuple(attribute.floats)
    if kind == AttributeProto.INT:
        return attribute.i
    if kind == AttributeProto.FLOAT:
        return attribute.f
    return tuple(attribute.strings) if kind == AttributeProto.STRINGS else None


def file_node(proto: NodeProto, index: int, folder: Path | None) -> Node:
    """One node as the file spells it.

    Raises:
        BadModel: it has no operator or no output.
        UnsupportedOperator: control flow.
    """
    domain = "" if proto.domain in DEFAULT_DOMAINS else f"{proto.domain}:"
    name = proto.name or f"{proto.op_type}_{index}"
    where = f"{proto.op_type} '{name}' (node {index})"
    if not proto.op_type or not any(proto.output):
        raise BadModel(f"Node {index} '{name}' has no operator or no output; expected both.")
    attrs = {a.name: _attribute(a, where, folder) for a in proto.attribute}
    bytes_ = proto.SerializeToString()
    return Node(domain + proto.op_type, name, tuple(proto.input), tuple(proto.output), attrs, proto=bytes_)


def _sorted_nodes(proto: ModelProto, known: set[str], folder: Path | None) -> list[Node]:
    """The nodes, each after those it reads; unnamed and equally named ones get a name of their own."""
    nodes = [file_node(p, i, folder) for i, p in enumerate(proto.graph.node)]
    producer: dict[str, int] = {}
    names: set[str] = set()
    for i, node in enumerate(nodes):
        for name in filter(None, node.outputs):
            if name in producer or name in known:
                raise BadModel(f"{node.where()} defines '{name}', which is defined already; names must be unique.")
            producer[name] = i
        if node.name in names:
            nodes[i] = node = replace(node, name=f"{node.name}#{i}")
        names.add(node.name)
    missing = [set(filter(None, n.inputs)) - known for n in nodes]
    for node, needed in zip(nodes, missing, strict=True):
        for name in sorted(needed):
            if name not in producer:
                raise BadModel(f"{node.where()} reads '{name}', which no node, input or initializer defines.")
    return _topological(nodes, [{producer[n] for n in needed} for needed in missing])


def _topological(nodes: list[Node], needs: list[set[int]]) -> list[Node]:
    """Kahn's algorithm, stable: the file's order wherever it is a legal one."""
    import heapq

    users: list[list[int]] = [[] for _ in nodes]
    waiting = [len(n) for n in needs]
    for i, needed in enumerate(needs):
        for j in needed:
            users[j].append(i)
    ready, order = [i for i, n in enumerate(waiting) if n == 0], []
    while ready:
        i = heapq.heappop(ready)
        order.append(nodes[i])
        for user in users[i]:
            waiting[user] -= 1
            if waiting[user] == 0:
                heapq.heappush(ready, user)
    if len(order) < len(nodes):
        stuck = next(n for n, w in zip(nodes, waiting, strict=True) if w)
        raise BadModel(f"The nodes form a cycle through {stuck.where()}; expected an acyclic graph.")
    return order


def _infer(
    nodes: Sequence[Node], inputs: Sequence[TensorInfo], constants: dict[str, np.ndarray], opsets: Mapping[str, int]
) -> Graph:
    """Give every tensor its type; nodes whose value the shapes decide become constants."""
    tensors = {i.name: i for i in inputs}
    for name, array in constants.items():
        tensors[name] = TensorInfo(name, str(array.dtype), array.shape)
    kept = []
    for node in nodes:
        try:
            value = constant_value(node, tensors, constants, opsets)
            outputs = [] if value is not None else infer_outputs(node, tensors, constants, opsets)
        except (Q8Error, MemoryError):
            raise
        except Exception as error:  # onnx raises many types; all of them mean that the node is not a legal one
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise BadModel(f"{node.where()} is not a legal ONNX node: {first}") from error
        if value is not None:
            constants[node.outputs[0]] = value
            outputs = [TensorInfo(node.outputs[0], str(value.dtype), value.shape)]
        else:
            kept.append(node)
        for info in outputs:
            tensors[info.name] = info
    return Graph(tuple(i.name for i in inputs), (), tuple(kept), tensors, constants, dict(opsets))
