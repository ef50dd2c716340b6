# SPDX-License-Identifier: Apache-2.0
"""The pickles of a TorchScript file, read by a machine of our own that knows the instructions torch writes.

No class is looked up and no function is called by name: an object is its class name with its state, a tensor is where
its numbers are in the archive, and the closed list CALLS says what the few functions mean.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from q8emu.errors import TooLarge
from q8emu.readers.shapes import MAX_RANK, checked_shape
from q8emu.readers.torch_archive import Archive, Damaged

MAX_INSTRUCTIONS = 2**21
"""In one pickle; each makes one value at most."""

STORAGES: dict[str, tuple[str, str]] = {  # class → numpy dtype, and how q8emu calls the type
    "torch BoolStorage": ("bool", "bool"),
    "torch ByteStorage": ("uint8", "byte"),
    "torch CharStorage": ("int8", "char"),
    "torch DoubleStorage": ("float64", "float64"),
    "torch FloatStorage": ("float32", "float32"),
    "torch HalfStorage": ("float16", "float16"),
    "torch IntStorage": ("int32", "int32"),
    "torch LongStorage": ("int64", "int64"),
    "torch QInt32Storage": ("int32", "qint32"),
    "torch QInt8Storage": ("int8", "int8"),
    "torch QUInt8Storage": ("uint8", "uint8"),
    "torch ShortStorage": ("int16", "int16"),
}


@dataclass(frozen=True)
class Global:
    """A name in a module."""

    name: str


@dataclass
class Object:
    """An instance: the name of its class, and what it was built from."""

    kind: str
    state: Any = field(default=None, repr=False)  # may contain itself

    def attribute(self, name: str) -> Any:
        """A named attribute.

        Raises:
            Damaged: there is none.
        """
        if not isinstance(self.state, dict) or name not in self.state:
            raise Damaged(f"no attribute '{name}' in its {self.kind.rsplit('.', 1)[-1]}")
        return self.state[name]


@dataclass(frozen=True)
class Storage:
    """Numbers in the archive, not read yet."""

    archive: Archive
    member: str
    dtype: str
    kind: str
    elements: int


@dataclass(frozen=True)
class Tensor:
    """A view of a storage; quantized ones carry scales (float64), zero points and the axis of the channels."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int | None = None

    def array(self) -> np.ndarray:
        """The numbers.

        Raises:
            Damaged: the view reaches outside of its storage, or shows more elements than that has.
        """
        shape = checked_shape(self.shape, "tensor", 0)
        last = self.offset + sum((d - 1) * s for d, s in zip(shape, self.strides, strict=True))
        if len(shape) != len(self.strides) or min((self.offset, *self.strides), default=0) < 0:
            raise Damaged("a tensor with negative strides")
        count = int(np.prod(shape, dtype=np.int64))  # within the limits of checked_shape
        if count > self.storage.elements or (count and last >= self.storage.elements):
            raise Damaged(f"a tensor of shape {list(shape)} in a storage of {self.storage.elements} elements")
        dtype = np.dtype(self.storage.dtype)
        data = self.storage.archive.storage(self.storage.member, self.storage.elements * dtype.itemsize)
        flat = np.frombuffer(data, dtype)[self.offset :]
        if not count:
            return np.zeros(shape, dtype)
        return np.lib.stride_tricks.as_strided(flat, shape, [s * dtype.itemsize for s in self.strides], writeable=False)

    def item(self) -> Any:
        """The one number of a tensor that has one."""
        array = self.array()
        if array.size != 1:
            raise Damaged(f"a tensor of shape {list(array.shape)} where it needs one number")
        return array.reshape(-1)[0].item()


def load(archive: Archive, name: str) -> Any:
    """The value of the pickle `name`.pkl; its storages are in the folder `name`.

    Raises:
        Damaged: the pickle is not one that torch writes.
    """
    machine = _Machine(archive, name)
    try:
        return machine.run(archive.text(f"{name}.pkl"))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as problem:
        raise Damaged(f"a pickle '{name}.pkl' that does not load ({type(problem).__name__}: {problem})") from problem


class _Mark:
    """Where a list on the stack begins."""


_MARK = _Mark()
_FIXED: dict[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
    "MARK": lambda: _MARK,
    "NEWFALSE": lambda: False,
    "NEWTRUE": lambda: True,
    "NONE": lambda: None,
}
_LITERALS = frozenset({"BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"})


class _Machine:
    def __init__(self, archive: Archive, folder: str) -> None:
        self._archive, self._folder = archive, folder
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def run(self, content: bytes) -> Any:
        for count, (code, argument, _) in enumerate(pickletools.genops(content)):
            if count >= MAX_INSTRUCTIONS:
                raise TooLarge(f"The pickle '{self._folder}.pkl' has more than {MAX_INSTRUCTIONS:,} instructions.")
            if code.name == "STOP":
                return self._stack.pop()
            self._step(code.name, argument)
        raise Damaged(f"a pickle '{self._folder}.pkl' without an end")

    def _step(self, code: str, argument: Any) -> None:
        stack = self._stack
        if code in _LITERALS:
            stack.append(argument)
        elif code in _FIXED:
            stack.append(_FIXED[code]())
        elif code in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = stack[-1]
        elif code in ("BINGET", "LONG_BINGET"):
            stack.append(self._memo[argument])
        elif code == "GLOBAL":
            stack.append(Global(argument))
        elif code in ("TUPLE1", "TUPLE2", "TUPLE3"):
            stack.append(tuple([stack.pop() for _ in range(int(code[-1]))][::-1]))
        elif code == "BINPERSID":
            stack.append(self._storage(stack.pop()))
        elif code != "PROTO":
            self._build(code)

    def _build(self, code: str) -> None:
        stack = self._stack
        if code == "TUPLE":
            stack.append(tuple(self._marked()))
        elif code in ("APPEND", "APPENDS"):
            more = [stack.pop()] if code == "APPEND" else self._marked()
            stack[-1].extend(more)
        elif code in ("SETITEM", "SETITEMS"):
            flat = [stack.pop(), stack.pop()][::-1] if code == "SETITEM" else self._marked()
            if not all(isinstance(key, (str, int, float)) for key in flat[::2]):  # the hash of a tuple has no bounds
                raise Damaged("a dictionary with keys that are neither text nor numbers")
            stack[-1].update(zip(flat[::2], flat[1::2], strict=True))
        elif code == "NEWOBJ":
            _, kind = stack.pop(), stack.pop()
            stack.append(Object(kind.name.replace(" ", ".")))
        elif code == "BUILD":
            state, made = stack.pop(), stack[-1]
            if not isinstance(made, Object) or made.state is not None:
                raise Damaged("a pickle that builds something else than an object")
            made.state = state
        elif code == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            if not isinstance(function, Global) or function.name not in CALLS:
                what = f"'{function.name}'" if isinstance(function, Global) else "something that is no function"
                raise Damaged(f"a pickle that calls {what}, which q8emu does not")
            stack.append(CALLS[function.name](*arguments))
        else:
            raise Damaged(f"a pickle with the instruction {code}, which torch does not write")

    def _marked(self) -> list[Any]:
        found: list[Any] = []
        while (top := self._stack.pop()) is not _MARK:
            found.append(top)
        return found[::-1]

    def _storage(self, key: Any) -> Storage:
        word, kind, name, _, elements = key
        if word != "storage" or kind.name not in STORAGES:
            raise Damaged(f"a storage of kind '{kind.name}'; expected one of {', '.join(sorted(STORAGES))}")
        if not isinstance(name, str) or not isinstance(elements, int) or elements < 0:
            raise Damaged("a storage without a name and a number of elements")
        return Storage(self._archive, f"{self._folder}/{name}", *STORAGES[kind.name], elements)


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *rest: Any) -> Tensor:
    if not isinstance(storage, Storage) or not all(isinstance(n, int) for n in (offset, *size, *stride)):
        raise Damaged("a tensor without a storage, a shape and strides")
    if max(len(size), len(stride)) > MAX_RANK:
        raise Damaged(f"a tensor of more than {MAX_RANK} axes")
    return Tensor(storage, offset, tuple(size), tuple(stride))


def _quantized(storage: Any, offset: Any, size: Any, stride: Any, quantizer: Any, *rest: Any) -> Tensor:
    plain = _tensor(storage, offset, size, stride)
    scheme = quantizer[0].name
    axis = None
    if scheme == "torch per_tensor_affine":
        scales, points = [float(quantizer[1])], [int(quantizer[2])]
    elif scheme == "torch per_channel_affine":
        for tensor in quantizer[1:3]:
            plain.storage.archive.count_channels(tensor.array().size)
        scales, points = (t.array().reshape(-1).tolist() for t in quantizer[1:3])
        axis = int(quantizer[3])
    else:
        raise Damaged(f"a tensor quantized by '{scheme}'; expected per_tensor_affine or per_channel_affine")
    return Tensor(plain.storage, plain.offset, plain.shape, plain.strides, tuple(scales), tuple(points), axis)


def _list(values: Any) -> list[Any]:
    """The list itself: a pickle may ask for many copies with few bytes."""
    if not isinstance(values, list):
        raise Damaged("a list that is none")
    return values


def _empty() -> dict[Any, Any]:
    """A dictionary whose entries come behind it, which is how torch writes them."""
    return {}


CALLS: dict[str, Callable[..., Any]] = {
    "collections OrderedDict": _empty,
    "torch._utils _rebuild_parameter": lambda tensor, *rest: tensor,
    "torch._utils _rebuild_qtensor": _quantized,
    "torch._utils _rebuild_tensor_v2": _tensor,
    "torch.jit._pickle build_boollist": _list,
    "torch.jit._pickle build_doublelist": _list,
    "torch.jit._pickle build_intlist": _list,
    "torch.jit._pickle build_tensorlist": _list,
    "torch.jit._pickle restore_type_tag": lambda value, tag: value,
}
"""The functions that a pickle may call, and what they mean here."""
