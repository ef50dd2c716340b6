# SPDX-License-Identifier: Apache-2.0
"""The operators of TorchScript code that q8emu reads, and what each becomes.

Quantized activations are quint8 with one scale. A dequantized tensor that is only moved and quantized again stays in
integers; an operator that computes on it in float is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from q8emu.graph import QuantParams
from q8emu.readers.torch_moves import MOVES
from q8emu.readers.torch_network import UINT8, Network, Value
from q8emu.readers.torch_pickle import Tensor
from q8emu.readers.torch_products import PRODUCTS

QUINT8 = 13
Arguments = Sequence[Any]
Read = Callable[..., Any]


def operator(net: Network, name: str, arguments: Arguments, options: Mapping[str, Any]) -> Any:
    """What a call of an operator gives, as a Value or a number.

    Raises:
        UnsupportedOperator: one that q8emu does not read.
    """
    short = name.removeprefix("ops.").removeprefix("torch.").removeprefix("aten.").removesuffix("_")
    net.where, net.base = f"The operator {name}", short.rpartition(".")[2]
    known = READ.get(short)
    net.require(known is not None, f"no reading among {', '.join(sorted(READ))}")
    assert known is not None
    return known(net, *arguments, **options)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, Tensor) else value


def _quantize(net: Network, x: Value, scale: Any, zero_point: Any, dtype: int) -> Value:
    net.require(dtype == QUINT8, f"the dtype {dtype}; expected quint8 ({QUINT8})")
    y = net.params(_number(scale), _number(zero_point))
    name = net.named(net.base)
    if x.quant is None:
        return net.add("QuantizeLinear", name, [x.name], {}, [None], x.shape, y, is_last=x.is_last)
    net.require(x.is_real, "an operand that is quantized already")
    return net.add("Requantize", name, [x.name], {}, [x.quant], x.shape, y, is_last=x.is_last)


def _dequantize(net: Network, x: Value) -> Value:
    net.quantized(x)
    return replace(x, is_real=True)


def _binary(canonical: str, relu: bool) -> Read:
    def read(net: Network, a: Value, b: Value, scale: Any = None, zero_point: Any = None) -> Value:
        quants = [net.quantized(a), net.quantized(b)]
        net.require(scale is not None and zero_point is not None, "an operand that is a number")
        y = net.params(_number(scale), _number(zero_point))
        rank = max(len(a.shape), len(b.shape))
        full = [(1,) * (rank - len(v.shape)) + v.shape for v in (a, b)]
        fit = all(m == n or 1 in (m, n) for m, n in zip(*full, strict=True))
        net.fits(fit, f"shapes {list(a.shape)} and {list(b.shape)} do not broadcast")
        shape = tuple(n if m == 1 else m for m, n in zip(*full, strict=True))
        memory = "mixed" if a.is_last != b.is_last else "NHWC" if a.is_last else "NCHW"
        attrs = {"clamp": (y.zero_point[0] if relu else 0, 255), "memory": memory}
        return net.add(canonical, net.named(net.base), [a.name, b.name], attrs, quants, shape, y, is_last=a.is_last)

    return read


def _relu(net: Network, x: Value, inplace: bool = False) -> Value:
    q = net.quantized(x)
    return net.add("Relu", net.named(net.base), [x.name], {"clamp": UINT8}, [q], x.shape, q, is_last=x.is_last)


def _cat(net: Network, tensors: Sequence[Value], dim: int = 0) -> Value:
    return _joined(net, tensors, dim, None)


def _quantized_cat(
    net: Network, tensors: Sequence[Value], dim: int, scale: Any = None, zero_point: Any = None
) -> Value:
    return _joined(net, tensors, dim, None if scale is None else net.params(_number(scale), _number(zero_point)))


def _joined(net: Network, tensors: Sequence[Value], dim: int, y: QuantParams | None) -> Value:
    net.require(bool(tensors), "no operands")
    quants = [net.quantized(t) for t in tensors]
    y = y or quants[0]  # torch takes the parameters of the first
    shapes = [t.shape for t in tensors]
    rank = len(shapes[0])
    net.fits(-rank <= dim < rank, f"axis {dim} of tensors of {rank} axes")
    axis = dim % rank
    others = {(*s[:axis], *s[axis + 1 :]) for s in shapes}
    net.fits(len(others) == 1, f"shapes {[list(s) for s in shapes]} do not join along axis {axis}")
    shape = (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    last = all(t.is_last for t in tensors)
    by_pixel = axis == 1 and all(t.counts_as_last for t in tensors)
    attrs = {"axis": axis, "clamps": (UINT8,), "memory": "NHWC" if by_pixel else "NCHW"}
    return net.add("Concat", net.named(net.base), [t.name for t in tensors], attrs, quants, shape, y, is_last=last)


def _size(net: Network, x: Value, dim: int | None = None) -> Any:
    return list(x.shape) if dim is None else x.shape[dim]


def _integer(function: Callable[..., Any]) -> Read:
    """Arithmetic on sizes."""

    def read(net: Network, *values: Any) -> Any:
        net.require(all(isinstance(v, (int, float)) for v in values), "operands that are no plain numbers")
        return function(*values)

    return read


READ: dict[str, Read] = {
    **MOVES,
    **PRODUCTS,
    "cat": _cat,
    "dequantize": _dequantize,
    "floor_divide": _integer(lambda a, b: a // b),
    "int": _integer(int),
    "mul": _integer(lambda a, b: a * b),
    "quantize_per_tensor": _quantize,
    "quantized.add": _binary("Add", relu=False),
    "quantized.add_relu": _binary("Add", relu=True),
    "quantized.cat": _quantized_cat,
    "quantized.mul": _binary("Mul", relu=False),
    "quantized.mul_relu": _binary("Mul", relu=True),
    "relu": _relu,
    "size": _size,
}
"""Operators by name, without the prefix."""
