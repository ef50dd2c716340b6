# SPDX-License-Identifier: Apache-2.0
"""The pickles of a TorchScript file: what torch writes into them, and where the numbers of their tensors are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from q8emu import unpickle
from q8emu.readers.shapes import MAX_RANK, checked_shape
from q8emu.readers.torch_archive import Archive
from q8emu.unpickle import Damaged

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

    def storage(key: Any) -> Storage:
        word, kind, member, _, elements = key
        if word != "storage" or kind.name not in STORAGES:
            raise Damaged(f"a storage of kind '{kind.name}'; expected one of {', '.join(sorted(STORAGES))}")
        if not isinstance(member, str) or not isinstance(elements, int) or elements < 0:
            raise Damaged("a storage without a name and a number of elements")
        return Storage(archive, f"{name}/{member}", *STORAGES[kind.name], elements)

    return unpickle.load(archive.text(f"{name}.pkl"), f"{name}.pkl", TORCH, storage)


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

TORCH = unpickle.Dialect("torch", frozenset({"BINFLOAT", "BININT", "BININT1", "BININT2", "BINUNICODE", "LONG1"}), CALLS)
