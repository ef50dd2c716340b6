# SPDX-License-Identifier: Apache-2.0
"""Which operators LiteRT gives to XNNPACK, and how they clamp there. The built-in kernels compute the others.

The limits are those at which the runtime was seen to change sides; a test holds every operator to it on both.
Source: google-ai-edge/LiteRT tflite/delegates/xnnpack/xnnpack_delegate.cc.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node, QuantParams
from q8emu.numerics import Numerics
from q8emu.numerics.activation import NONE, bounds_half_even
from q8emu.numerics.profiles import TFLITE

BUILT_IN = frozenset({"AveragePool", "Relu", "Softmax"})
LARGEST_SCALE = 256  # of a product: from here on XNNPACK makes no kernel, and LiteRT does not open the model


def delegated(node: Node, numerics: Numerics) -> tuple[Node, Numerics]:
    """The node with the clamp of the kernel that runs it, and the arithmetic of that kernel.

    Raises:
        BadQuantization: a model that LiteRT does not open.
    """
    if numerics.delegate == "none":
        return node, numerics
    if not _takes(node):
        return node, TFLITE
    real, y = node.attrs.get("activation", NONE), node.out_quant[0] if node.out_quant else None
    if real == NONE or y is None:
        return node, numerics
    clamp = bounds_half_even(real, y.scale[0], y.zero_point[0], y.dtype)
    fused = {"clamps": (clamp,)} if "clamps" in node.attrs else {"clamp": clamp}
    return replace(node, attrs={**node.attrs, **fused}), numerics


def _takes(node: Node) -> bool:
    """Does XNNPACK run the node?"""
    if node.op in BUILT_IN:
        return False
    if node.op in ("Conv", "Gemm"):
        return _takes_product(node)
    if node.op in ("Add", "Sub"):
        return all(2.0**-10 <= _ratio(q, node.out_quant[0]) < 2.0**8 for q in node.in_quant)
    if node.op == "Mul":
        a, b = node.in_quant
        assert a is not None
        assert b is not None
        product = np.float32(a.scale[0]) * np.float32(b.scale[0])
        return 2.0**-16 <= _ratio(replace(a, scale=(float(product),)), node.out_quant[0]) < 2.0**8
    if node.op == "Requantize":
        return 2.0**-8 <= _ratio(node.in_quant[0], node.out_quant[0]) <= 2.0**7
    if node.op == "LeakyRelu":
        return _takes_leaky_relu(node)
    if node.op == "MaxPool":
        return all(s <= k for s, k in zip(node.attrs["strides"], node.attrs["kernel"], strict=True))
    return True


def _ratio(x: QuantParams | None, y: QuantParams | None) -> float:
    assert x is not None
    assert y is not None
    with np.errstate(all="ignore"):
        return float(np.float32(x.scale[0]) / np.float32(y.scale[0]))


def _takes_leaky_relu(node: Node) -> bool:
    ratio = _ratio(node.in_quant[0], node.out_quant[0])
    negative = float(np.float32(ratio) * np.float32(node.attrs["alpha"]))
    return bool(2.0**-8 <= ratio <= 2.0**7 and -(2.0**7) + 2.0**-8 <= negative <= 2.0**7 and abs(negative) >= 2.0**-8)


def _takes_product(node: Node) -> bool:
    x, w, y = node.in_quant[0], node.in_quant[1], node.out_quant[0]
    assert x is not None
    assert w is not None
    assert y is not None
    with np.errstate(all="ignore"):
        largest = float((x.scales() * w.scales()).astype(np.float32).max() / np.float32(y.scale[0]))
    if not largest < LARGEST_SCALE:
        _refuse(node, f"its scales combine to {largest:.6g}; expected less than {LARGEST_SCALE}")
    given = node.attrs.get("bias_scales", len(w.scale))
    if node.op == "Conv" and given not in (0, len(w.scale)):
        _refuse(node, f"{given} bias scales for {len(w.scale)} weight scales; expected as many")
    return node.op == "Gemm" or given > 0


def _refuse(node: Node, found: str) -> NoReturn:
    raise BadQuantization(
        f"{node.where()}: {found}; LiteRT does not open such a model with XNNPACK. Use another profile."
    )
