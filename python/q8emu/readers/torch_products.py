# SPDX-License-Identifier: Apache-2.0
"""Convolutions, linear layers and the pools of TorchScript code: windows, weights, float biases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import QuantParams
from q8emu.readers.torch_modules import Packed
from q8emu.readers.torch_network import UINT8, Network, Value
from q8emu.readers.torch_pickle import Tensor

Sizes = int | Sequence[int] | None


def _convolution(relu: bool) -> Callable[..., Value]:
    def read(net: Network, x: Value, packed: Any, scale: float, zero_point: int) -> Value:
        net.require(isinstance(packed, Packed) and bool(packed.strides), "no packed weights of a 2-D convolution")
        assert isinstance(packed, Packed)
        q, y = net.quantized(x), net.params(scale, zero_point)
        weights, params = _weights(net, packed, 4)
        o, i, *kernel = weights.shape
        net.require(len(x.shape) == 4, f"an input of shape {list(x.shape)}; expected [N, C, H, W]")
        groups = packed.groups
        net.fits(
            groups > 0 and not o % groups and x.shape[1] == i * groups,
            f"{x.shape[1]} channels, weights {list(weights.shape)} and {groups} groups do not fit",
        )
        pads = (*packed.padding, *packed.padding)
        image = _image(net, x, kernel, packed.strides, packed.dilations, pads)
        window = {"kernel": tuple(kernel), "strides": packed.strides, "dilations": packed.dilations, "pads": pads}
        attrs = window | {"group": groups, "clamp": _clamp(y, relu)}
        return _product(net, "Conv", x, packed, weights, (q, params, y), attrs, (x.shape[0], o, *image))

    return read


def _linear(relu: bool) -> Callable[..., Value]:
    def read(net: Network, x: Value, packed: Any, scale: float, zero_point: int) -> Value:
        net.require(isinstance(packed, Packed) and not packed.strides, "no packed weights of a linear layer")
        assert isinstance(packed, Packed)
        q, y = net.quantized(x), net.params(scale, zero_point)
        weights, params = _weights(net, packed, 2)
        units, depth = weights.shape
        net.fits(
            len(x.shape) >= 1 and x.shape[-1] == depth,
            f"an input of shape {list(x.shape)} for weights {list(weights.shape)}",
        )
        attrs = {"alpha": 1.0, "transA": 0, "transB": 1, "clamp": _clamp(y, relu)}
        net.require(len(x.shape) == 2, f"an input of {len(x.shape)} axes; expected 2")
        return _product(net, "Gemm", x, packed, weights, (q, params, y), attrs, (x.shape[0], units))

    return read


def _product(
    net: Network,
    op: str,
    x: Value,
    packed: Packed,
    weights: np.ndarray,
    quants: tuple[QuantParams, QuantParams, QuantParams],
    attrs: dict[str, Any],
    shape: Sequence[int],
) -> Value:
    """The node; its bias stays float32, as the file has it."""
    names = [x.name, net.constant(f"{packed.path}.weight", weights)]
    if packed.bias is not None:
        bias = packed.bias.array()
        net.fits(bias.shape == weights.shape[:1], f"{bias.size} biases for {weights.shape[0]} output channels")
        net.require(bias.dtype == np.float32, f"a bias of {bias.dtype}")
        if not np.isfinite(bias).all():
            raise BadQuantization(f"{net.where}: the bias of '{packed.path}' has a value that is not finite.")
        names.append(net.constant(f"{packed.path}.bias", bias.copy()))
    in_quant = (*quants[:2], None)[: len(names)]
    return net.add(op, net.named(packed.path), names, attrs, in_quant, shape, quants[2], is_last=op == "Conv")


def _weights(net: Network, packed: Packed, rank: int) -> tuple[np.ndarray, QuantParams]:
    tensor: Tensor = packed.weight
    net.require(
        tensor.storage.kind == "int8" and bool(tensor.scales), f"weights of {tensor.storage.kind}; expected qint8"
    )
    value = np.ascontiguousarray(tensor.array())
    net.fits(value.ndim == rank and value.size > 0, f"weights of shape {list(value.shape)}; expected {rank} axes")
    with np.errstate(over="ignore", under="ignore"):
        scales = np.array(tensor.scales, np.float32)
    points = tensor.zero_points
    legal = np.isfinite(scales).all() and (scales > 0).all() and all(-128 <= p <= 127 for p in points)
    count = 1 if tensor.axis is None else value.shape[0]
    if not legal or tensor.axis not in (None, 0) or len(scales) != count or len(points) != count:
        raise BadQuantization(
            f"{net.where}: the weights of '{packed.path}' must have positive float32 scales and zero points of int8, "
            "one or one per output channel."
        )
    return value, QuantParams("int8", tuple(scales.tolist()), tuple(int(p) for p in points), tensor.axis)


def _clamp(y: QuantParams, relu: bool) -> tuple[int, int]:
    return (y.zero_point[0] if relu else 0, 255)


def _image(
    net: Network, x: Value, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int], pads: Sequence[int]
) -> tuple[int, int]:
    """Height and width of what a window gives."""
    sizes = []
    for axis in range(2):
        numbers = kernel[axis], strides[axis], dilations[axis]
        net.fits(min(numbers) >= 1, f"a kernel, stride and dilation of {numbers}; expected 1 or more")
        room = x.shape[2 + axis] + pads[axis] + pads[2 + axis] - (kernel[axis] - 1) * dilations[axis] - 1
        net.fits(room >= 0, f"a window of {list(kernel)} does not fit into an image of {list(x.shape[2:])}")
        sizes.append(room // strides[axis] + 1)
    return sizes[0], sizes[1]


def _pair(net: Network, value: Sizes, default: Sequence[int] | None = None) -> tuple[int, int]:
    if value is None or value == []:
        net.require(default is not None, "a window without a size")
        value = default
    pair = (value, value) if isinstance(value, int) else tuple(value or ())
    pair = pair * 2 if len(pair) == 1 else pair
    legal = len(pair) == 2 and all(0 <= v < 2**16 for v in pair)
    net.require(legal, f"a window of {value!r}; expected two sizes")
    return pair[0], pair[1]


def _max_pool(
    net: Network,
    x: Value,
    kernel_size: Sizes,
    stride: Sizes = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
) -> Value:
    kernel = _pair(net, kernel_size)
    dilations = _pair(net, dilation)
    return _pool(net, "MaxPool", x, kernel, _pair(net, stride, kernel), padding, dilations, ceil_mode)


def _average_pool(
    net: Network,
    x: Value,
    kernel_size: Sizes,
    stride: Sizes = None,
    padding: Sizes = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Value:
    kernel = _pair(net, kernel_size)
    net.require(divisor_override is None, "a divisor_override")
    net.require(_pair(net, padding) == (0, 0), "padding, which torch averages by another rule in each memory layout")
    return _pool(net, "AveragePool", x, kernel, _pair(net, stride, kernel), padding, (1, 1), ceil_mode)


def _adaptive_average_pool(net: Network, x: Value, output_size: Sizes) -> Value:
    net.quantized(x)
    out = _pair(net, output_size)
    net.require(len(x.shape) == 4, f"an input of shape {list(x.shape)}; expected [N, C, H, W]")
    whole = min(out) >= 1 and not x.shape[2] % out[0] and not x.shape[3] % out[1]
    net.require(whole, f"an image of {list(x.shape[2:])} for an output of {list(out)}, which does not divide it")
    kernel = x.shape[2] // out[0], x.shape[3] // out[1]
    return _pool(net, "AveragePool", x, kernel, kernel, 0, (1, 1), False)


def _pool(
    net: Network,
    op: str,
    x: Value,
    kernel: tuple[int, int],
    strides: tuple[int, int],
    padding: Sizes,
    dilations: tuple[int, int],
    ceil_mode: bool,
) -> Value:
    q = net.quantized(x)
    net.require(len(x.shape) == 4, f"an input of shape {list(x.shape)}; expected [N, C, H, W]")
    net.require(not ceil_mode, "ceil_mode")
    before = _pair(net, padding)
    net.fits(all(2 * p <= k for p, k in zip(before, kernel, strict=True)), f"padding {before} of a kernel {kernel}")
    pads = (*before, *before)
    image = _image(net, x, kernel, strides, dilations, pads)
    attrs: dict[str, Any] = {"kernel": kernel, "strides": strides, "dilations": dilations, "pads": pads}
    if op == "MaxPool":
        attrs["clamps"] = (UINT8,)
    else:
        attrs |= {"clamp": UINT8, "count_include_pad": 0, "memory": "NHWC" if x.counts_as_last else "NCHW"}
        attrs |= {"adaptive": True} if net.base.startswith("adaptive") else {}
    return net.add(op, net.named(net.base), [x.name], attrs, [q], (*x.shape[:2], *image), q, is_last=x.is_last)


PRODUCTS: dict[str, Callable[..., Value]] = {
    "adaptive_avg_pool2d": _adaptive_average_pool,
    "avg_pool2d": _average_pool,
    "max_pool2d": _max_pool,
    "quantized.conv2d": _convolution(relu=False),
    "quantized.conv2d_relu": _convolution(relu=True),
    "quantized.linear": _linear(relu=False),
    "quantized.linear_relu": _linear(relu=True),
    "quantized.max_pool2d": _max_pool,
}
"""Operators by name, without the prefix."""
