# SPDX-License-Identifier: Apache-2.0
"""Crafted requantizations in bulk: a bias per channel puts every accumulator where it hurts.

A 1x1 convolution over all 256 values of x gives acc = (x - x_zero_point) w[c] + bias[c]; the scales per channel are
chosen together with the bias, so that accumulators lie on ties, next to ties, beyond the range, and at the ends of
int32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from onnx import helper, numpy_helper

from q8emu.readers import tflite_schema as schema
from tflite_files import File, Options

Model = tuple[bytes, dict[str, np.ndarray]]  # a file and its inputs
Made = tuple[np.ndarray, np.ndarray, np.ndarray]  # scale, weight and bias per channel
Rng = np.random.Generator

VALUES = 256
LARGEST_BIAS = 2**31 - 1 - 127 * 255  # the accumulator itself stays within int32
KINDS = ("every tie", "one tie", "near tie", "anything", "saturated", "extreme")


@dataclass(frozen=True)
class Bulk:
    """Numbers for one model: 256 values of x, and weights, biases and scales for any number of channels."""

    x: np.ndarray
    x_scale: float
    x_zero_point: int
    w: np.ndarray
    w_scale: np.ndarray
    bias: np.ndarray
    y_scale: float
    y_zero_point: int

    @property
    def channels(self) -> int:
        """Number of channels."""
        return int(self.w.size)

    @property
    def requantizations(self) -> int:
        """How many accumulators one run requantizes."""
        return self.channels * VALUES


def crafted(rng: np.random.Generator, channels: int, dtype: str) -> Bulk:
    """A bulk with all kinds in equal parts; half of the bulks have activation scales that are powers of two."""
    info = np.iinfo(dtype)
    exponents = rng.uniform(-8, 1, 2)
    exponents = np.round(exponents) if rng.integers(2) else exponents
    x_scale, y_scale = (float(np.float32(2.0**e)) for e in exponents)
    x_point, y_point = (int(p) for p in rng.choice([info.min, info.max, 0, *rng.integers(info.min, info.max, 3)], 2))
    scale, w, bias = np.empty(channels), np.empty(channels, np.int64), np.empty(channels, np.int64)
    kinds = rng.integers(0, len(KINDS), channels)
    at = rng.integers(info.min, info.max, channels) - x_point  # where "one tie" and "near tie" have it
    k = rng.integers(info.min - 10, info.max + 11, channels) - y_point
    for code, make in enumerate((_every_tie, _one_tie, _near_tie, _anything, _saturated, _extreme)):
        mine = kinds == code
        scale[mine], w[mine], bias[mine] = make(rng, at[mine], k[mine])
    return Bulk(
        np.arange(VALUES, dtype=np.uint8).view(dtype),
        x_scale,
        x_point,
        w.astype(np.int8),
        (scale * y_scale / x_scale).astype(np.float32),
        np.clip(bias, -LARGEST_BIAS, LARGEST_BIAS).astype(np.int32),
        y_scale,
        y_point,
    )


def _signed(rng: Rng, magnitude: np.ndarray) -> np.ndarray:
    return np.asarray(magnitude * rng.choice([-1, 1], magnitude.size))


def _every_tie(rng: Rng, at: np.ndarray, k: np.ndarray) -> Made:
    """Steps of half an LSB: every other value of x is a tie."""
    half = 2 ** rng.integers(0, 7, at.size)
    return 0.5 / half, _signed(rng, half), half * rng.integers(-200, 201, at.size)


def _one_tie(rng: Rng, at: np.ndarray, k: np.ndarray) -> Made:
    half = 2 ** rng.integers(0, 23, at.size)
    w = _signed(rng, rng.integers(1, 128, at.size))
    return 0.5 / half, w, (2 * k + 1) * half - w * at


def _near_tie(rng: Rng, at: np.ndarray, k: np.ndarray) -> Made:
    scale = np.exp2(rng.uniform(-23, -0.5, at.size))
    w = _signed(rng, rng.integers(1, 4, at.size))
    return scale, w, np.rint((k + 0.5) / scale).astype(np.int64) - w * at


def _anything(rng: Rng, at: np.ndarray, k: np.ndarray) -> Made:
    scale = np.exp2(rng.uniform(-24, 0, at.size))
    return scale, rng.integers(-127, 128, at.size), np.rint(k / scale).astype(np.int64)


def _saturated(rng: Rng, at: np.ndarray, k: np.ndarray) -> Made:
    scale = np.exp2(rng.uniform(-20, 2, at.size))
    bias = _signed(rng, rng.uniform(100, 400, at.size)) / scale
    return scale, rng.integers(-127, 128, at.size), np.rint(bias).astype(np.int64)


def _extreme(rng: Rng, at: np.ndarray, k: np.ndarray) -> Made:
    scale = np.exp2(rng.uniform(-31, -22, at.size))
    bias = _signed(rng, LARGEST_BIAS - rng.integers(0, 2**16, at.size))
    return scale, rng.integers(-127, 128, at.size), bias


# As ONNX


def onnx_conv(bulk: Bulk) -> Model:
    """A QLinearConv with a 1x1 kernel."""
    return _onnx(bulk, "QLinearConv", (1, 1, 1, VALUES), (bulk.channels, 1, 1, 1))


def onnx_gemm(bulk: Bulk) -> Model:
    """A QGemm of one column by one row."""
    return _onnx(bulk, "QGemm", (VALUES, 1), (1, bulk.channels))


def _onnx(bulk: Bulk, op: str, x_shape: tuple[int, ...], w_shape: tuple[int, ...]) -> Model:
    dtype = bulk.x.dtype
    constants = {
        "x_scale": np.float32(bulk.x_scale),
        "x_point": np.array(bulk.x_zero_point, dtype),
        "w": bulk.w.reshape(w_shape),
        "w_scale": bulk.w_scale,
        "w_point": np.zeros(bulk.channels, np.int8),
        "y_scale": np.float32(bulk.y_scale),
        "y_point": np.array(bulk.y_zero_point, dtype),
        "bias": bulk.bias,
    }
    names = ["x", "x_scale", "x_point", "w", "w_scale", "w_point", "y_scale", "y_point"]
    is_conv = op == "QLinearConv"
    names.insert(8 if is_conv else 6, "bias")
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], "product", domain="" if is_conv else "com.microsoft")],
        "bulk",
        [helper.make_tensor_value_info("x", kind, x_shape)],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return model.SerializeToString(), {"x": bulk.x.reshape(x_shape)}


# As TFLite


def tflite_conv(bulk: Bulk) -> Model:
    """A CONV_2D with a 1x1 kernel."""
    f = schema.Conv2D
    options: Options = {
        f.PADDING: ("Int8", schema.VALID),
        f.STRIDE_W: ("Int32", 1),
        f.STRIDE_H: ("Int32", 1),
        f.ACTIVATION: ("Int8", 0),
        f.DILATION_W: ("Int32", 1),
        f.DILATION_H: ("Int32", 1),
    }
    shape = (bulk.channels, 1, 1, 1)
    return _tflite(bulk, "CONV_2D", bulk.x.reshape(1, 1, VALUES, 1), shape, 0, (1, 1, VALUES, bulk.channels), options)


def tflite_depthwise(bulk: Bulk) -> Model:
    """A DEPTHWISE_CONV_2D with a 1x1 kernel."""
    f = schema.DepthwiseConv2D
    options: Options = {
        f.PADDING: ("Int8", schema.VALID),
        f.STRIDE_W: ("Int32", 1),
        f.STRIDE_H: ("Int32", 1),
        f.DEPTH_MULTIPLIER: ("Int32", 1),
        f.ACTIVATION: ("Int8", 0),
        f.DILATION_W: ("Int32", 1),
        f.DILATION_H: ("Int32", 1),
    }
    shape = (1, 1, VALUES, bulk.channels)
    x = np.ascontiguousarray(np.broadcast_to(bulk.x.reshape(1, 1, VALUES, 1), shape))
    return _tflite(bulk, "DEPTHWISE_CONV_2D", x, (1, 1, 1, bulk.channels), 3, shape, options)


def tflite_fully_connected(bulk: Bulk) -> Model:
    """A FULLY_CONNECTED of one input."""
    f = schema.FullyConnected
    options: Options = {f.ACTIVATION: ("Int8", 0), f.KEEP_NUM_DIMS: ("Bool", False)}
    shape = (bulk.channels, 1)
    return _tflite(bulk, "FULLY_CONNECTED", bulk.x.reshape(VALUES, 1), shape, 0, (VALUES, bulk.channels), options)


def _tflite(
    bulk: Bulk,
    operator: str,
    x: np.ndarray,
    w_shape: tuple[int, ...],
    axis: int,
    y_shape: tuple[int, ...],
    options: Options,
) -> Model:
    file, zeros = File(), [0] * bulk.channels
    file.tensor("x", str(x.dtype), x.shape, [bulk.x_scale], [bulk.x_zero_point])
    file.tensor("w", "int8", w_shape, bulk.w_scale, zeros, axis, bulk.w.reshape(w_shape))
    products = np.float32(bulk.x_scale) * bulk.w_scale
    file.tensor("b", "int32", (bulk.channels,), products, zeros, data=bulk.bias)
    file.inputs.append(0)
    file.outputs.append(file.tensor("y", str(x.dtype), y_shape, [bulk.y_scale], [bulk.y_zero_point]))
    file.operator(operator, [0, 1, 2], [3], options)
    return file.build(), {"x": x}


BULKS: dict[str, Callable[[Bulk], Model]] = {
    "CONV_2D": tflite_conv,
    "DEPTHWISE_CONV_2D": tflite_depthwise,
    "FULLY_CONNECTED": tflite_fully_connected,
    "QGemm": onnx_gemm,
    "QLinearConv": onnx_conv,
}
