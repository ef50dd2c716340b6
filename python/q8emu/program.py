# SPDX-License-Identifier: Apache-2.0
"""A lowered network as a value: steps with integer parameters over numbered buffers (docs/steps.md).

A Program depends on the graph and the numerics profile only; equal inputs give equal bytes, and `digest` names them.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from math import prod

import numpy as np

from q8emu.errors import BadInput
from q8emu.graph import TensorInfo

Params = Mapping[str, int | tuple[int, ...]]

DEFAULT_MEMORY_LIMIT = 256 * 2**20


def memory_limit() -> int:
    """Bytes that the buffers of one program may take: 256 MiB, or what Q8EMU_MEMORY_LIMIT says.

    Raises:
        BadInput: the variable is not a positive integer.
    """
    value = os.environ.get("Q8EMU_MEMORY_LIMIT", str(DEFAULT_MEMORY_LIMIT))
    if not value.isdecimal() or int(value) == 0:
        raise BadInput(f"Q8EMU_MEMORY_LIMIT is '{value}'; expected a number of bytes.")
    return int(value)


@cache
def dtype_name(dtype: np.dtype) -> str:
    """The name that a Buffer has for a dtype; NumPy makes it anew each time, which takes longer than a small layer."""
    return str(dtype)


@dataclass(frozen=True, slots=True)
class Buffer:
    """dtype name and static shape of one buffer."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Size in bytes."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Step:
    """One executable item: a kind of docs/steps.md, the buffers it reads and writes, its integers."""

    kind: str
    node: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    params: Params = field(default_factory=dict)
    arrays: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: bytes = b""  # host steps only: the node as a model of its own


@dataclass(frozen=True, slots=True)
class Port:
    """Where a tensor of the model lives: its buffer, and the order of the tensor's axes in that buffer."""

    tensor: TensorInfo
    buffer: int
    perm: tuple[int, ...]
    node: str = ""  # the canonical node that defines it, "" for graph inputs
    op: str = ""

    def load(self, stored: np.ndarray) -> np.ndarray:
        """The tensor in the layout of the model file; of several samples where its axis 0 comes first in the buffer."""
        shape = [self.tensor.shape[axis] for axis in self.perm]
        shape[:1] = [-1] if self.perm[:1] == (0,) else shape[:1]
        return np.array(stored.reshape(shape).transpose(tuple(np.argsort(self.perm))), order="C")


@dataclass(frozen=True)
class Program:
    """Steps over buffers; `ports` maps every named activation to where it is, in graph order."""

    numerics: str
    buffers: tuple[Buffer, ...]
    constants: Mapping[int, np.ndarray]
    steps: tuple[Step, ...]
    ports: Mapping[str, Port]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def digest(self) -> str:
        """SHA-256 over everything that decides the result."""
        h = hashlib.sha256()

        def add(value: object) -> None:
            h.update(json.dumps(value, sort_keys=True).encode())

        def add_array(array: np.ndarray) -> None:
            add([str(array.dtype), list(array.shape)])
            h.update(np.ascontiguousarray(array).tobytes())

        add([self.numerics, [(b.dtype, b.shape) for b in self.buffers], self.inputs, self.outputs])
        for key in sorted(self.constants):
            add(key)
            add_array(self.constants[key])
        for step in self.steps:
            add([step.kind, step.inputs, step.outputs, dict(step.params)])
            for name in sorted(step.arrays):
                add(name)
                add_array(step.arrays[name])
            h.update(step.model)
        add([(name, port.buffer, port.perm) for name, port in self.ports.items()])
        return h.hexdigest()

    @property
    def host_nodes(self) -> tuple[str, ...]:
        """Names of the nodes that run in float outside the core."""
        return tuple(dict.fromkeys(step.node for step in self.steps if step.kind == "host"))

    def quantized(self) -> dict[str, Port]:
        """The ports of quantized and integer tensors: what a trace records.

        Tensors that only exist inside q8emu (their names begin with "q8:") are left out.
        """
        integers = ("int8", "uint8", "int32")
        return {n: p for n, p in self.ports.items() if p.tensor.dtype in integers and not n.startswith("q8:")}
