# SPDX-License-Identifier: Apache-2.0
"""Quantization parameters of a file, checked: the only place where scales and zero points enter."""

from __future__ import annotations

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import QUANTIZED_DTYPES, Node, QuantParams

LARGEST_SCALE = np.finfo(np.float32).max / 256  # 255 steps are still finite


def quant_params(
    node: Node, scale: np.ndarray, zero_point: np.ndarray | None, dtype: str, axis: int | None, length: int | None
) -> QuantParams:
    """Check a scale and a zero point and make them one value.

    Args:
        node: for the error.
        scale: float32, one element or one per channel.
        zero_point: dtype of the quantized values, as many elements; None stands for 0.
        dtype: of the quantized values: int8, uint8 or (bias only) int32.
        axis: of the channels, when there are several.
        length: how many channels the tensor has along the axis.

    Raises:
        BadQuantization: a scale that is not positive, or too large for finite real values; a zero point of another
            dtype; lengths that differ.
    """
    scales = scale.reshape(-1)
    if scale.dtype != np.float32:
        raise BadQuantization(f"{node.where()}: a scale has dtype {scale.dtype}; expected float32.")
    if scale.ndim > 1 or scales.size == 0:
        raise BadQuantization(f"{node.where()}: a scale has shape {list(scale.shape)}; expected a scalar or one axis.")
    _check_scales(node, scales, dtype)
    points = _zero_points(node, zero_point, dtype, scales.size)
    if scales.size == 1:
        axis = None
    elif scales.size != length:
        raise BadQuantization(
            f"{node.where()}: {scales.size} scales for {length} channels along axis {axis}; expected as many."
        )
    return QuantParams(dtype, tuple(map(float, scales)), tuple(map(int, points)), axis)


def _check_scales(node: Node, scales: np.ndarray, dtype: str) -> None:
    for channel, value in enumerate(scales):
        place = f" of channel {channel}" if scales.size > 1 else ""
        if not np.isfinite(value) or value <= 0:
            raise BadQuantization(f"{node.where()}: the scale{place} is {value}; expected a positive finite number.")
        if dtype in QUANTIZED_DTYPES and value > LARGEST_SCALE:
            raise BadQuantization(
                f"{node.where()}: the scale{place} is {value}, so large that real values are infinite; expected at "
                f"most {LARGEST_SCALE:.6g}. Requantize the model."
            )


def _zero_points(node: Node, zero_point: np.ndarray | None, dtype: str, size: int) -> np.ndarray:
    if zero_point is None:
        return np.zeros(size, np.int64)
    if str(zero_point.dtype) != dtype:
        raise BadQuantization(
            f"{node.where()}: the zero point has dtype {zero_point.dtype}, the tensor {dtype}; expected the same."
        )
    if zero_point.size == 1 and size > 1:
        zero_point = np.repeat(zero_point.reshape(-1), size)
    if zero_point.size != size or zero_point.ndim > 1:
        raise BadQuantization(f"{node.where()}: {zero_point.size} zero points for {size} scales; expected as many.")
    if dtype not in QUANTIZED_DTYPES and zero_point.any():
        raise BadQuantization(f"{node.where()}: the zero point of an int32 tensor is not 0; expected 0.")
    return zero_point.reshape(-1)
