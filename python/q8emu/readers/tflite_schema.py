# SPDX-License-Identifier: Apache-2.0
"""What q8emu needs of the TFLite schema: field numbers, element types, operator codes. Numbers never change there.

Source: google-ai-edge/LiteRT litert/tflite/schema/schema.fbs. A test holds the numbers to the schema that LiteRT ships.
"""

from __future__ import annotations

from enum import IntEnum

IDENTIFIER = b"TFL3"
VERSION = 3


class Model(IntEnum):
    """Fields of the root."""

    VERSION, OPERATOR_CODES, SUBGRAPHS, DESCRIPTION, BUFFERS = range(5)


class OperatorCode(IntEnum):
    """Fields; the deprecated code is an int8 and 127 where the code does not fit."""

    DEPRECATED_BUILTIN_CODE, CUSTOM_CODE, VERSION, BUILTIN_CODE = range(4)


class SubGraph(IntEnum):
    """Fields."""

    TENSORS, INPUTS, OUTPUTS, OPERATORS = range(4)


class Tensor(IntEnum):
    """Fields."""

    SHAPE, TYPE, BUFFER, NAME, QUANTIZATION, IS_VARIABLE, SPARSITY = range(7)


class Quantization(IntEnum):
    """Fields of QuantizationParameters."""

    MIN, MAX, SCALE, ZERO_POINT, DETAILS_TYPE, DETAILS, QUANTIZED_DIMENSION = range(7)


class Buffer(IntEnum):
    """Fields; a buffer with an offset lies outside the tables, in files beyond 2 GiB."""

    DATA, OFFSET, SIZE = range(3)


class Operator(IntEnum):
    """Fields."""

    OPCODE_INDEX, INPUTS, OUTPUTS, BUILTIN_OPTIONS_TYPE, BUILTIN_OPTIONS = range(5)


class Conv2D(IntEnum):
    """Fields of Conv2DOptions."""

    PADDING, STRIDE_W, STRIDE_H, ACTIVATION, DILATION_W, DILATION_H = range(6)


class DepthwiseConv2D(IntEnum):
    """Fields of DepthwiseConv2DOptions."""

    PADDING, STRIDE_W, STRIDE_H, DEPTH_MULTIPLIER, ACTIVATION, DILATION_W, DILATION_H = range(7)


class Pool2D(IntEnum):
    """Fields of Pool2DOptions."""

    PADDING, STRIDE_W, STRIDE_H, FILTER_WIDTH, FILTER_HEIGHT, ACTIVATION = range(6)


class FullyConnected(IntEnum):
    """Fields of FullyConnectedOptions."""

    ACTIVATION, WEIGHTS_FORMAT, KEEP_NUM_DIMS = range(3)


class Concatenation(IntEnum):
    """Fields of ConcatenationOptions."""

    AXIS, ACTIVATION = range(2)


class StridedSlice(IntEnum):
    """Fields of StridedSliceOptions."""

    BEGIN_MASK, END_MASK, ELLIPSIS_MASK, NEW_AXIS_MASK, SHRINK_AXIS_MASK, OFFSET = range(6)


class ResizeNearestNeighbor(IntEnum):
    """Fields of ResizeNearestNeighborOptions."""

    ALIGN_CORNERS, HALF_PIXEL_CENTERS = range(2)


ACTIVATION = 0  # the only field of AddOptions, MulOptions and SubOptions that counts
BETA = 0  # of SoftmaxOptions
ALPHA = 0  # of LeakyReluOptions
KEEP_DIMS = 0  # of ReducerOptions

ELEMENT_TYPES = {
    0: "float32",
    1: "float16",
    2: "int32",
    3: "uint8",
    4: "int64",
    5: "string",
    6: "bool",
    7: "int16",
    8: "complex64",
    9: "int8",
    10: "float64",
    11: "complex128",
    12: "uint64",
    13: "resource",
    14: "variant",
    15: "uint32",
    16: "uint16",
    17: "int4",
    18: "bfloat16",
}

SAME, VALID = range(2)
ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")

CUSTOM = 32
# Code of an operator → its name, and the number of its options in the union where q8emu reads any.
OPERATORS = {
    0: ("ADD", 11),
    1: ("AVERAGE_POOL_2D", 5),
    2: ("CONCATENATION", 10),
    3: ("CONV_2D", 1),
    4: ("DEPTHWISE_CONV_2D", 2),
    6: ("DEQUANTIZE", None),
    9: ("FULLY_CONNECTED", 8),
    14: ("LOGISTIC", None),
    17: ("MAX_POOL_2D", 5),
    18: ("MUL", 21),
    19: ("RELU", None),
    21: ("RELU6", None),
    22: ("RESHAPE", None),
    25: ("SOFTMAX", 9),
    28: ("TANH", None),
    34: ("PAD", None),
    39: ("TRANSPOSE", None),
    40: ("MEAN", 27),
    41: ("SUB", 28),
    43: ("SQUEEZE", None),
    45: ("STRIDED_SLICE", 32),
    60: ("PADV2", None),
    70: ("EXPAND_DIMS", None),
    97: ("RESIZE_NEAREST_NEIGHBOR", 74),
    98: ("LEAKY_RELU", 75),
    114: ("QUANTIZE", None),
    117: ("HARD_SWISH", None),
}
