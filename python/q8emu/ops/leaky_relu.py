# SPDX-License-Identifier: Apache-2.0
"""LeakyRelu: y = Q(x if x >= 0 else alpha * x) of the dequantized x, a table of 256 entries.

Rules "half_away" and "fixed_point": x - x_zero_point rescaled by f32(x_scale / y_scale), negative ones by
f32(f32(x_scale alpha) / y_scale). Source of that: google-ai-edge/LiteRT tflite/kernels/activations.cc.

Rule "half_even": the factors are f32(x_scale / y_scale) and f32(that alpha), with 8 fraction bits, half_up. Source of
that: google/XNNPACK src/microparams-init.c.
"""

from __future__ import annotations

import numpy as np

from q8emu.graph import Node
from q8emu.lowering import Lowering
from q8emu.numerics import unary
from q8emu.ops.base import Attributes, FileView, lower_integer_unary, lower_unary, out_quant, quant, ratio
from q8emu.tables import eight_bits, rescaled


def attributes(node: Node, view: FileView) -> Attributes:
    """alpha."""
    return {"alpha": float(np.float32(node.attrs.get("alpha", 0.01)))}


def lower(node: Node, low: Lowering) -> None:
    """One lut."""
    if low.numerics.unary in ("fixed_point", "half_away"):
        x, y = quant(node, 0), out_quant(node)
        positive = rescaled(node, low.numerics.rescale, float(ratio(x.scale[0], over=y.scale[0])))
        negative = rescaled(node, low.numerics.rescale, float(ratio(x.scale[0], node.attrs["alpha"], over=y.scale[0])))
        return lower_integer_unary(node, low, lambda v: (positive(v) if v >= 0 else negative(v)) + y.zero_point[0])
    if low.numerics.unary == "half_even":
        x, y = quant(node, 0), out_quant(node)
        factor = ratio(x.scale[0], over=y.scale[0])
        above, below = eight_bits(factor), eight_bits(factor * np.float32(node.attrs["alpha"]))
        return lower_integer_unary(node, low, lambda v: (above(v) if v >= 0 else below(v)) + y.zero_point[0])
    return lower_unary(node, low, lambda x: unary.leaky_relu(x, node.attrs["alpha"]))
