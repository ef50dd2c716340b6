# SPDX-License-Identifier: Apache-2.0
"""CONV_2D, DEPTHWISE_CONV_2D, FULLY_CONNECTED and the pools of a TFLite file: windows, weights, biases.

Source of the rules: litert/tflite/kernels/{conv,depthwise_conv,fully_connected,pooling}.cc and padding.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from q8emu.errors import BadQuantization, ShapeMismatch
from q8emu.graph import Node, QuantParams, TensorInfo
from q8emu.readers import tflite_schema as schema
from q8emu.readers.tflite_operator import NEAR, Made, Operator
from q8emu.readers.tflite_tensors import FileTensor

Pair = tuple[int, int]

MAX_WINDOW = 2**16  # of a stride, dilation or pool kernel: beyond this no image has room
BIAS_NOISE = 2.0**-20  # a relative difference that comes from writing a product as binary32


def conv_2d(op: Operator) -> Made:
    """Conv; the input channels of the weights say how many groups there are."""
    x, w = op.operand(0), op.operand(1)
    fields = schema.Conv2D
    weights, params = _weights(op, w, 4, 0)
    channels = _image(op, x)[3]
    if channels % weights.shape[3]:
        raise ShapeMismatch(f"{op.where}: weights of {weights.shape[3]} input channels over an image of {channels}.")
    group = channels // weights.shape[3]
    if weights.shape[0] % group:
        raise ShapeMismatch(f"{op.where}: {weights.shape[0]} output channels in {group} groups.")
    window = _window(
        op,
        weights.shape[1:3],
        _pair(op, fields.STRIDE_H, fields.STRIDE_W),
        _pair(op, fields.DILATION_H, fields.DILATION_W, 1),
        weights.shape[0],
    )
    attrs = window | {"group": group, "depthwise": False} | op.activation(fields.ACTIVATION)
    return _product(op, "Conv", attrs, np.ascontiguousarray(weights.transpose(0, 3, 1, 2)), params)


def depthwise_conv_2d(op: Operator) -> Made:
    """Conv with one input channel per group; output channel o reads input channel o // multiplier."""
    x, w = op.operand(0), op.operand(1)
    fields = schema.DepthwiseConv2D
    weights, params = _weights(op, w, 4, 3)
    channels = _image(op, x)[3]
    outputs = weights.shape[3]
    if weights.shape[0] != 1 or outputs % channels:
        raise ShapeMismatch(f"{op.where}: weights {list(weights.shape)} over an image of {channels} channels.")
    multiplier = op.option(fields.DEPTH_MULTIPLIER)
    if multiplier * channels != outputs:
        raise ShapeMismatch(f"{op.where}: depth multiplier {multiplier} of {channels} channels; found {outputs}.")
    window = _window(
        op,
        weights.shape[1:3],
        _pair(op, fields.STRIDE_H, fields.STRIDE_W),
        _pair(op, fields.DILATION_H, fields.DILATION_W, 1),
        outputs,
    )
    attrs = window | {"group": channels, "depthwise": True} | op.activation(fields.ACTIVATION)
    return _product(op, "Conv", attrs, np.ascontiguousarray(weights.transpose(3, 0, 1, 2)), params)


def fully_connected(op: Operator) -> Made:
    """Gemm on the input as [rows, K]; weights are [N, K]."""
    x, w = op.operand(0), op.operand(1)
    fields = schema.FullyConnected
    op.require(op.option(fields.WEIGHTS_FORMAT, "b") == 0, "shuffled weights; expected the plain form")
    weights, params = _weights(op, w, 2, 0)
    units, depth = weights.shape
    shape, q = x.info.shape, op.quant(x)
    if prod(shape) % depth:
        raise ShapeMismatch(f"{op.where}: an input of shape {list(shape)} for weights {list(weights.shape)}.")
    rows = prod(shape) // depth
    keep = bool(op.option(fields.KEEP_NUM_DIMS, "?"))
    if keep and (not shape or shape[-1] != depth):
        raise ShapeMismatch(f"{op.where}: an input of shape {list(shape)} for weights {list(weights.shape)}.")
    op.expect_shape(op.output, (*shape[:-1], units) if keep else (rows, units))
    attrs = {"alpha": 1.0, "transA": 0, "transB": 1} | op.activation(fields.ACTIVATION)
    source, before, after = x.info.name, [], []
    tensors: list[TensorInfo] = []
    if shape != (rows, depth):
        tensors.append(op.internal("rows", (rows, depth), q))
        source = tensors[-1].name
        before.append(_reshape(op, x.info.name, q, source, source))
    y = op.quant(op.output)
    target = op.name
    if op.output.info.shape != (rows, units):
        tensors.append(op.internal("product", (rows, units), y))
        target = tensors[-1].name
        after.append(_reshape(op, target, y, op.name, f"{target}/shape"))
    made = _product(op, "Gemm", attrs, weights, params, source, target)
    return Made((*before, *made.nodes, *after), tuple(tensors), made.constants, made.note)


def average_pool_2d(op: Operator) -> Made:
    """AveragePool over the taps inside the image."""
    q = op.unchanged(op.operand(0), NEAR)
    attrs = _pool(op) | {"count_include_pad": 0} | op.activation(schema.Pool2D.ACTIVATION)
    return Made((op.node("AveragePool", [op.operand(0).info.name], attrs, [q], q),))


def max_pool_2d(op: Operator) -> Made:
    """MaxPool over the taps inside the image."""
    q = op.unchanged(op.operand(0), NEAR)
    fused = op.activation(schema.Pool2D.ACTIVATION)
    attrs = _pool(op) | {"activation": fused["activation"], "clamps": (fused["clamp"],)}
    return Made((op.node("MaxPool", [op.operand(0).info.name], attrs, [q], q),))


def _pool(op: Operator) -> dict[str, tuple[int, ...]]:
    fields = schema.Pool2D
    kernel = _pair(op, fields.FILTER_HEIGHT, fields.FILTER_WIDTH)
    strides = _pair(op, fields.STRIDE_H, fields.STRIDE_W)
    return _window(op, kernel, strides, (1, 1), _image(op, op.operand(0))[3])


def _image(op: Operator, tensor: FileTensor) -> tuple[int, ...]:
    op.quant(tensor)
    op.require(len(tensor.info.shape) == 4, f"an input of shape {list(tensor.info.shape)}; expected [N, H, W, C]")
    return tensor.info.shape


def _pair(op: Operator, height: int, width: int, default: int = 0) -> Pair:
    """Two sizes of 1 or more."""
    pair = op.option(height, "i", default), op.option(width, "i", default)
    op.require(
        min(pair) >= 1 and max(pair) <= MAX_WINDOW, f"a stride, dilation or kernel of {pair}; expected 1 or more"
    )
    return pair


def _window(
    op: Operator, kernel: Sequence[int], strides: Pair, dilations: Pair, channels: int
) -> dict[str, tuple[int, ...]]:
    """Kernel, strides, dilations and pads (top, left, bottom, right); checks the shape of the output.

    SAME gives ceil(in / stride) outputs and puts the odd row of padding at the end.
    """
    image = _image(op, op.operand(0))
    padding = op.option(0, "b")  # the first field of all these options
    op.require(padding in (schema.SAME, schema.VALID), f"padding {padding}; expected SAME or VALID")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    if padding == schema.SAME:
        out = [-(-size // s) for size, s in zip(image[1:3], strides, strict=True)]
    else:
        out = [(size - span) // s + 1 for size, span, s in zip(image[1:3], spans, strides, strict=True)]
    if min(out) < 1:
        raise ShapeMismatch(f"{op.where}: a window of {spans} does not fit into an image of {list(image[1:3])}.")
    op.expect_shape(op.output, (image[0], *out, channels))
    total = [0, 0]
    if padding == schema.SAME:
        total = [
            max((o - 1) * s + span - size, 0) for o, s, span, size in zip(out, strides, spans, image[1:3], strict=True)
        ]
    before = [t // 2 for t in total]
    after = [t - b for t, b in zip(total, before, strict=True)]
    return {
        "kernel": tuple(int(k) for k in kernel),
        "strides": strides,
        "dilations": dilations,
        "pads": (*before, *after),
    }


def _weights(op: Operator, tensor: FileTensor, rank: int, axis: int) -> tuple[np.ndarray, QuantParams]:
    """Constant int8 weights; their scales, one or one per output channel (then along axis 0 of the result)."""
    info, value = tensor.info, tensor.constant
    op.quant(op.operand(0))  # a float model is told so
    op.require(rank == 2 or op.optional(2) is not None, "no bias; expected one, without which LiteRT does not run it")
    op.require(value is not None and info.dtype == "int8", f"weights '{info.name}' that are not an int8 constant")
    assert value is not None
    if len(info.shape) != rank or value.size == 0:
        raise ShapeMismatch(f"{op.where}: weights of shape {list(info.shape)}; expected {rank} axes of 1 or more.")
    params = info.quant
    if params is None or any(params.zero_point) or params.axis not in (None, axis):
        raise BadQuantization(
            f"{op.where}: weights '{info.name}' must have zero points 0 and one scale, or one along axis {axis}."
        )
    return value, QuantParams("int8", params.scale, params.zero_point, None if params.is_per_tensor else 0)


def _product(
    op: Operator,
    kind: str,
    attrs: dict[str, object],
    weights: np.ndarray,
    params: QuantParams,
    source: str = "",
    target: str = "",
) -> Made:
    """The node with its constants; weights and bias get names of their own, since several operators may share them."""
    x, y = op.quant(op.operand(0)), op.quant(op.output)
    names = [source or op.operand(0).info.name, op.operand(1).info.name]
    constants = {names[1]: weights}
    bias = op.optional(2)
    note = ""
    if bias is not None:
        value = bias.constant
        op.require(
            value is not None and value.dtype == np.int32, f"a bias '{bias.info.name}' that is not an int32 constant"
        )
        assert value is not None
        if value.size != weights.shape[0]:
            raise ShapeMismatch(f"{op.where}: {value.size} biases for {weights.shape[0]} output channels.")
        names.append(bias.info.name)
        constants[bias.info.name] = value.reshape(-1)
        note = _bias_note(op, bias.info, x, params)
        attrs = attrs | {"bias_scales": len(bias.info.quant.scale) if bias.info.quant else 0}
    in_quant = (x, params, None)[: len(names)]
    node = op.node(kind, names, attrs, in_quant, y, output=target)
    return Made((node,), (), constants, note)


def _bias_note(op: Operator, bias: TensorInfo, x: QuantParams, w: QuantParams) -> str:
    """Says so when the bias has another scale than the accumulator; LiteRT adds the integers as they are."""
    if bias.quant is None:
        return ""
    accumulator = x.scales().astype(np.float64) * w.scales().astype(np.float64)
    own = bias.quant.scales().astype(np.float64)
    ratio = own / accumulator if own.size in (1, accumulator.size) or accumulator.size == 1 else np.full(1, np.inf)
    worst = float(ratio[np.abs(ratio - 1).argmax()])
    if abs(worst - 1) <= BIAS_NOISE:
        return ""
    return f"{op.where}: the bias scale is {worst:.6g} times x_scale * w_scale; the integers are added as they are."


def _reshape(op: Operator, source: str, params: QuantParams, target: str, name: str) -> Node:
    return op.node("Reshape", [source], {"clamps": ((-128, 127),)}, [params], params, output=target, name=name)
