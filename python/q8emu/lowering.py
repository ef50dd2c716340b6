# SPDX-License-Identifier: Apache-2.0
"""The program under construction while operators append their steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from q8emu.errors import BadQuantization, TooLarge, UnsupportedOperator
from q8emu.graph import Graph, Node, QuantParams, TensorInfo
from q8emu.hosting import host_model
from q8emu.numerics import Numerics, spec
from q8emu.program import Buffer, Port, Step, memory_limit
from q8emu.tables import requantization_table

Perm = tuple[int, ...]


class Lowering:
    """The program under construction; operators ask it for tensors in the layout that they need."""

    def __init__(self, graph: Graph, numerics: Numerics) -> None:
        self.graph, self.numerics = graph, numerics
        self.buffers: list[Buffer] = []
        self.constants: dict[int, np.ndarray] = {}
        self.steps: list[Step] = []
        self.ports: dict[str, Port] = {}
        self.places: dict[str, dict[Perm, int]] = {}  # tensor → layout → buffer
        self.node = Node("", "", (), ())
        self.bytes, self.limit = 0, memory_limit()

    # Buffers and steps

    def new(self, dtype: str, shape: Sequence[int]) -> int:
        """A new buffer.

        Raises:
            TooLarge: all buffers together pass the memory limit.
        """
        buffer = Buffer(dtype, tuple(int(d) for d in shape))
        self.bytes += buffer.bytes
        if self.bytes > self.limit:
            raise TooLarge(
                f"{self.node.where()}: up to here the network needs {self.bytes} bytes of buffers; the limit is "
                f"{self.limit}. Use a smaller batch, or set Q8EMU_MEMORY_LIMIT to a number of bytes."
            )
        self.buffers.append(buffer)
        return len(self.buffers) - 1

    def constant(self, array: np.ndarray) -> int:
        """A new constant buffer."""
        index = self.new(str(array.dtype), array.shape)
        self.constants[index] = np.array(array, order="C")
        return index

    def add(
        self,
        kind: str,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        params: Mapping[str, int | tuple[int, ...]] | None = None,
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Append a step of the current node."""
        plain = {k: tuple(map(int, v)) if isinstance(v, tuple) else int(v) for k, v in (params or {}).items()}
        self.steps.append(Step(kind, self.node.name, inputs, outputs, plain, dict(arrays or {})))

    def host(
        self,
        node: Node,
        inputs: tuple[int, ...],
        outputs: tuple[int, ...],
        names: tuple[str, ...],
        made: tuple[str, ...],
    ) -> None:
        """Append a host step that runs the node as a model of its own."""
        model = host_model(node, self.graph, names, made)
        self.steps.append(Step("host", node.name, inputs, outputs, model=model))

    # Tensors and their layouts

    def define(self, name: str, buffer: int, perm: Perm | None = None) -> None:
        """The tensor is in this buffer, its axes in this order (None: as in the file)."""
        info = self.graph.tensors[name]
        perm = tuple(range(len(info.shape))) if perm is None else perm
        self.places[name] = {perm: buffer}
        self.ports[name] = Port(info, buffer, perm, self.node.name, self.node.attrs.get("op_type", self.node.op))

    def value(self, name: str, perm: Perm | None = None) -> int:
        """A buffer that holds the tensor with its axes in this order."""
        shape = self.graph.tensors[name].shape
        perm = tuple(range(len(shape))) if perm is None else perm
        if name in self.graph.constants:
            return self.constant(self.graph.constants[name].transpose(perm))
        places = self.places[name]
        if perm not in places:
            have, source = next(iter(places.items()))
            source = self.copied(source, [shape[a] for a in have])
            target = self.new(self.buffers[source].dtype, [shape[a] for a in perm])
            self.add("transpose", (source,), (target,), {"perm": tuple(have.index(a) for a in perm)})
            places[perm] = target
        return self.copied(places[perm], [shape[a] for a in perm])

    def copied(self, buffer: int, shape: Sequence[int]) -> int:
        """The buffer under another shape."""
        if self.buffers[buffer].shape == tuple(shape):
            return buffer
        if buffer in self.constants:
            return self.constant(self.constants[buffer].reshape(shape))
        target = self.new(self.buffers[buffer].dtype, shape)
        self.add("copy", (buffer,), (target,))
        return target

    def reshaped(self, name: str, shape: Sequence[int]) -> int:
        """The tensor as the file has it, under another shape."""
        return self.copied(self.value(name), shape)

    def define_reshaped(self, name: str, buffer: int) -> None:
        """The tensor has the values of this buffer in the file's order."""
        self.define(name, self.copied(buffer, self.graph.tensors[name].shape))

    def _last(self, rank: int) -> Perm:
        """Axes of a channels-last tensor, in terms of the file's."""
        return tuple(range(rank)) if self.graph.layout == "NHWC" else (0, *range(2, rank), 1)

    def image_axes(self, name: str) -> tuple[int, ...]:
        """The axes of the tensor that are neither batch nor channels."""
        return self._last(len(self.graph.tensors[name].shape))[1:-1]

    def is_last(self, name: str) -> bool:
        """Is the tensor at hand channels-last?"""
        rank = len(self.graph.tensors[name].shape)
        return rank in (3, 4) and self._last(rank) in self.places.get(name, {})

    def _image_shape(self, name: str) -> tuple[int, ...]:
        """The shape of the image as [N, H, W, C]; a 1-D one gets height 1."""
        shape = self.graph.tensors[name].shape
        n, *image, c = (shape[axis] for axis in self._last(len(shape)))
        return (n, *([1] if len(image) == 1 else []), *image, c)

    def channels_last(self, name: str) -> int:
        """The image as [N, H, W, C]; a 1-D one gets height 1."""
        rank = len(self.graph.tensors[name].shape)
        return self.copied(self.value(name, self._last(rank)), self._image_shape(name))

    def new_channels_last(self, name: str, dtype: str | None = None) -> int:
        """A buffer for the image as [N, H, W, C]."""
        return self.new(dtype or self.graph.tensors[name].dtype, self._image_shape(name))

    def define_channels_last(self, name: str, buffer: int) -> None:
        """The image is in this buffer as [N, H, W, C]."""
        self.define(name, buffer, self._last(len(self.graph.tensors[name].shape)))

    def port_of(self, name: str) -> Port:
        """Where an output is; a constant output becomes a buffer."""
        if name not in self.ports:
            self.define(name, self.copied(self.value(name), self.graph.tensors[name].shape))
        return self.ports[name]

    # What several operators do

    def gathered(self, buffer: int, lists: Sequence[np.ndarray], fill: int = 0) -> int:
        """Values picked by one list of indices per axis; the buffer itself where that is all of it, in order."""
        if all(np.array_equal(i, np.arange(n)) for i, n in zip(lists, self.buffers[buffer].shape, strict=True)):
            return buffer
        target = self.new(self.buffers[buffer].dtype, [len(i) for i in lists])
        index = np.concatenate([np.asarray(i, np.int64) for i in lists])
        self.add("gather", (buffer,), (target,), {"fill": fill}, {"index": index})
        return target

    def joined(self, name: str, parts: Sequence[int]) -> None:
        """The tensor consists of these 1-D buffers one after another, in the file's order."""
        if len(parts) == 1:
            return self.define_reshaped(name, parts[0])
        target = self.new(self.buffers[parts[0]].dtype, (self.graph.tensors[name].elements,))
        self.add("concat", tuple(parts), (target,), {"axis": 0})
        return self.define_reshaped(name, target)

    def requantized(self, node: Node, output: int, buffer: int, params: QuantParams | None) -> int:
        """The buffer's values under the parameters of the node's output."""
        target = node.out_quant[output]
        clamp = node.attrs["clamps"][output]
        if params is None or target is None or (params == target and clamp == spec.limits(target.dtype)):
            return buffer
        values = requantization_table(node, self.numerics, params, target, clamp)
        if buffer in self.constants:
            return self.constant(values[self.constants[buffer].view(np.uint8)])
        out = self.new(target.dtype, self.buffers[buffer].shape)
        self.add("lut", (buffer,), (out,), {}, {"table": values})
        return out

    def moved(self, node: Node, output: int, buffer: int) -> None:
        """Define an output of an operator that only moves values."""
        self.define(node.outputs[output], self.requantized(node, output, buffer, node.in_quant[0]))

    def unary(self, node: Node, values: np.ndarray) -> None:
        """One lut, in whatever layout the operand has."""
        perm, source = self._any_layout(node.inputs[0])
        out = self.new(str(values.dtype), self.buffers[source].shape)
        self.add("lut", (source,), (out,), {}, {"table": values})
        self.define(node.outputs[0], out, perm)

    def _any_layout(self, name: str) -> tuple[Perm | None, int]:
        if name in self.graph.constants:
            return None, self.value(name)
        return next(iter(self.places[name].items()))

    def binary(
        self,
        node: Node,
        kind: str,
        order: tuple[int, int],
        params: Mapping[str, int | tuple[int, ...]],
        arrays: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """One element-wise step with broadcasting; channels-last when an operand of full rank is."""
        out = self.graph.tensors[node.outputs[0]]
        rank = len(out.shape)
        full = [n for n in node.inputs if len(self.graph.tensors[n].shape) == rank]
        last = rank == 4 and any(self.is_last(n) for n in full)
        perm = self._last(rank) if last else tuple(range(rank))
        operands = [self._aligned(name, rank, perm) for name in node.inputs]
        target = self.new(out.dtype, [out.shape[a] for a in perm])
        self.add(kind, (operands[order[0]], operands[order[1]]), (target,), params, arrays)
        self.define(node.outputs[0], target, perm)

    def _aligned(self, name: str, rank: int, perm: Perm) -> int:
        """The operand with leading axes of length 1 up to the rank, in the layout."""
        info: TensorInfo = self.graph.tensors[name]
        missing = rank - len(info.shape)
        if missing == 0:
            return self.value(name, perm)
        shape = (1,) * missing + info.shape
        plain = self.reshaped(name, shape)
        stored = [shape[a] for a in perm]
        if perm == tuple(range(rank)):
            return plain
        if plain in self.constants:
            return self.constant(self.constants[plain].transpose(perm))
        target = self.new(info.dtype, stored)
        self.add("transpose", (plain,), (target,), {"perm": perm})
        return target

    # Checks

    def check_scale(self, node: Node, scales: np.ndarray) -> None:
        """Combined scales must still be positive and finite."""
        if not np.isfinite(scales).all() or (scales <= 0).any():
            raise BadQuantization(
                f"{node.where()}: its scales combine to a factor outside the range of float32. Requantize the model."
            )

    def refuse(self, node: Node, reason: str) -> NoReturn:
        """The profile has no rule for the operator.

        Raises:
            UnsupportedOperator: always.
        """
        raise UnsupportedOperator(f"{node.where()}: the numerics profile '{self.numerics.name}' {reason}.")

    def same_dtype(self, node: Node) -> None:
        """Operand and output must have one dtype."""
        dtypes = {q.dtype for q in (*node.in_quant, *node.out_quant) if q is not None}
        if len(dtypes) > 1:
            raise UnsupportedOperator(f"{node.where()}: operand and output have dtypes {sorted(dtypes)}; expected one.")
