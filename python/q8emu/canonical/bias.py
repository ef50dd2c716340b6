# SPDX-License-Identifier: Apache-2.0
"""The bias of a convolution or product as int32 in the accumulator's scale, x_scale * w_scale per channel."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node, QuantParams

BIAS_READINGS = ("auto", "as-is", "rescaled")
INT32 = (-(2**31), 2**31 - 1)
FLOAT_NOISE = 2.0**-20  # a relative difference that comes from writing a product as binary32

# ONNX Runtime fuses a convolution, and ignores the scale of its bias, up to this difference from x_scale * w_scale in
# every channel; the absolute part decides for small scales. It fuses a product whatever the scale is.
# Source: core/optimizer/qdq_transformer/selectors_actions/qdq_selectors.cc, bisected by running it.
ORT_ABSOLUTE, ORT_RELATIVE = 1e-6, 1e-2


def accumulator_scale(node: Node, x: QuantParams, w: QuantParams, channels: int) -> np.ndarray:
    """float32[channels]: f32(x_scale * w_scale).

    Raises:
        BadQuantization: the product leaves the range of float32.
    """
    product = np.zeros(channels, np.float32)
    with np.errstate(over="ignore", under="ignore"):
        product[:] = x.scales() * w.scales()
    if not np.isfinite(product).all() or not product.all():
        raise BadQuantization(
            f"{node.where()}: x_scale * w_scale leaves the range of float32, so its bias has no scale. "
            "Quantize the model again."
        )
    return product


def integer_bias(
    node: Node, bias: np.ndarray, params: QuantParams, scale: np.ndarray, reading: str
) -> tuple[np.ndarray, str | None]:
    """The int32 bias under one of the readings, and a note when its scale is not the accumulator's.

    Args:
        node: for the messages.
        bias: int32[..., O] as the file has it.
        params: its scale and zero point in the file.
        scale: float32[O] of the accumulator.
        reading: one of BIAS_READINGS.
    """
    own = np.broadcast_to(params.scales(), scale.shape).astype(np.float64)
    relative = np.abs(own / scale.astype(np.float64) - 1)
    worst = int(relative.argmax())
    if relative[worst] <= FLOAT_NOISE:
        return bias, None
    fused = node.op != "Conv" or bool((np.abs(own - scale) <= ORT_ABSOLUTE + ORT_RELATIVE * scale).all())
    as_is = reading == "as-is" or (reading == "auto" and fused)
    note = (
        f"{node.where()}: the bias scale is {own[worst] / float(scale[worst]):.6g} times x_scale * w_scale "
        f"(channel {worst}); the integers are {'added as they are' if as_is else 'rescaled'} "
        f"(--bias {'rescaled' if as_is else 'as-is'} for the other reading)."
    )
    return (bias if as_is else _rescaled(bias, own, scale)), note


def _rescaled(bias: np.ndarray, own: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Half to even, exactly, saturated to int32."""
    ratios = [Fraction(float(a)) / Fraction(float(b)) for a, b in zip(own, scale, strict=True)]
    wide = np.broadcast_to(bias, bias.shape[:-1] + scale.shape).reshape(-1, scale.size)
    values = [
        [min(max(round(int(v) * r), INT32[0]), INT32[1]) for v, r in zip(row, ratios, strict=True)] for row in wide
    ]
    return np.array(values, np.int32).reshape(bias.shape[:-1] + scale.shape)
