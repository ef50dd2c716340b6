# SPDX-License-Identifier: Apache-2.0
"""The operators of TorchScript code that only move values: shapes, orders of axes, slices, padding with zeros."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from q8emu.readers.torch_network import Network, Value, elements


def _reshape(net: Network, x: Value, size: Sequence[int]) -> Value:
    return _reshaped(net, x, _sizes(net, x, size))


def _sizes(net: Network, x: Value, size: Sequence[int]) -> list[int]:
    """The shape with its one -1 filled in."""
    net.require(all(isinstance(s, int) for s in size) and list(size).count(-1) <= 1, f"a shape {list(size)}")
    known = elements([s for s in size if s != -1])
    count = elements(x.shape)
    net.fits(
        min(size, default=1) >= -1 and known > 0 and not count % known,
        f"shape {list(x.shape)} cannot become {list(size)}",
    )
    full = [count // known if s == -1 else s for s in size]
    net.fits(elements(full) == count, f"shape {list(x.shape)} cannot become {list(size)}")
    return full


def _reshaped(net: Network, x: Value, shape: Sequence[int]) -> Value:
    return net.moved("Reshape", x, shape, {})


def _axis(net: Network, dim: int, rank: int) -> int:
    net.fits(-rank <= dim < rank, f"axis {dim} of a tensor of {rank} axes")
    return dim % rank


def _flatten(net: Network, x: Value, start_dim: int = 0, end_dim: int = -1) -> Value:
    rank = len(x.shape)
    first, last = _axis(net, start_dim, rank), _axis(net, end_dim, rank)
    net.fits(first <= last, f"axes {start_dim} to {end_dim} to flatten")
    shape = (*x.shape[:first], elements(x.shape[first : last + 1]), *x.shape[last + 1 :])
    return _reshaped(net, x, shape)


def _squeeze(net: Network, x: Value, dim: int | Sequence[int] | None = None) -> Value:
    rank = len(x.shape)
    dims = range(rank) if dim is None else [dim] if isinstance(dim, int) else dim
    gone = {a for d in dims if x.shape[a := _axis(net, d, rank)] == 1}
    return _reshaped(net, x, [s for i, s in enumerate(x.shape) if i not in gone])


def _unsqueeze(net: Network, x: Value, dim: int) -> Value:
    at = _axis(net, dim, len(x.shape) + 1)
    return _reshaped(net, x, (*x.shape[:at], 1, *x.shape[at:]))


def _permute(net: Network, x: Value, dims: Sequence[int]) -> Value:
    rank = len(x.shape)
    perm = tuple(_axis(net, d, rank) for d in dims)
    net.fits(sorted(perm) == list(range(rank)), f"an order {list(dims)} of {rank} axes")
    return _permuted(net, x, perm)


def _transpose(net: Network, x: Value, dim0: int, dim1: int) -> Value:
    perm = list(range(len(x.shape)))
    a, b = _axis(net, dim0, len(perm)), _axis(net, dim1, len(perm))
    perm[a], perm[b] = perm[b], perm[a]
    return _permuted(net, x, tuple(perm))


def _permuted(net: Network, x: Value, perm: tuple[int, ...]) -> Value:
    """The memory stays; whether it counts as channels-last afterwards matters to an average only."""
    order = (0, 2, 3, 1) if x.is_last else tuple(range(len(perm)))  # axes from the slowest to the fastest
    last = [perm.index(a) for a in order] == [0, 2, 3, 1]
    return net.moved("Transpose", x, [x.shape[a] for a in perm], {"perm": perm}, is_last=last)


def _pad(net: Network, x: Value, pad: Sequence[int], mode: Any = "constant", value: Any = None) -> Value:
    if not isinstance(mode, str):  # constant_pad_nd(x, pad, value)
        mode, value = "constant", mode
    rank = len(x.shape)
    net.require(mode == "constant" and value in (None, 0), f"mode '{mode}' and value {value}; expected zeros")
    pads = list(pad)
    net.require(len(pads) % 2 == 0 and len(pads) <= 2 * rank, f"paddings {pads} of {rank} axes")
    net.require(all(0 <= p < 2**16 for p in pads), f"paddings {pads}; expected 0 or more")
    missing = [0] * (rank - len(pads) // 2)
    before, after = missing + pads[::2][::-1], missing + pads[1::2][::-1]
    shape = [b + d + a for b, d, a in zip(before, x.shape, after, strict=True)]
    attrs = {"mode": "constant", "pads": (*before, *after), "value": 0.0}
    return net.moved("Pad", x, shape, attrs, is_last=x.is_last)


def _slice(
    net: Network, x: Value, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Value:
    net.require(step > 0, f"a step of {step}")
    axis = _axis(net, dim, len(x.shape))
    ranges = [(0, d, 1) for d in x.shape]
    ranges[axis] = slice(start, end, step).indices(x.shape[axis])
    shape = [len(range(*r)) for r in ranges]
    net.fits(shape[axis] > 0, f"nothing left of axis {dim}")
    return net.moved("Slice", x, shape, {"ranges": tuple(ranges)}, is_last=x.is_last)


def _dropout(net: Network, x: Value, p: float, train: bool) -> Value:
    net.require(not train, "the training mode")
    return _copied(net, x, is_last=x.is_last)


def _contiguous(net: Network, x: Value, memory_format: int | None = None) -> Value:
    net.require(memory_format in (None, 0), f"the memory format {memory_format}; expected the contiguous one")
    return _copied(net, x, is_last=False)


def _copied(net: Network, x: Value, *, is_last: bool) -> Value:
    """The same values; a tensor that was never quantized stays itself."""
    if x.quant is None:
        return x
    return net.moved("Identity", x, x.shape, {}, is_last=is_last)


MOVES: dict[str, Callable[..., Value]] = {
    "constant_pad_nd": _pad,
    "contiguous": _contiguous,
    "dropout": _dropout,
    "flatten": _flatten,
    "pad": _pad,
    "permute": _permute,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "unsqueeze": _unsqueeze,
    "view": _reshape,
}
"""Operators by name, without the prefix."""
