# SPDX-License-Identifier: Apache-2.0
"""Fewer bits on the 8-bit grid: a file that every runtime loads, whose codes are those of a B-bit network.

Weights: w_q = clamp(half_even(w / s)), s = max|w| / (2^(B-1) - 1), so the int8 codes lie in ±(2^(B-1) - 1).
Activations: s = (high - low) / (2^B - 1), zero point in the B-bit range; behind each QuantizeLinear an integer Clip to
the B-bit codes, [-2^(B-1), 2^(B-1) - 1] or [0, 2^B - 1]. ONNX Runtime's quantizer sees a range that is as much wider as
8 bits have more codes, so that the scale that it computes is the B-bit one.

What the host hands over and takes back keeps 8 bits: the inputs, and every tensor behind the last layer with weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from q8emu.errors import BadInput, ConversionFailed
from q8emu.ptq.calibrate import range_of, with_ranges
from q8emu.ptq.float_model import PRODUCTS, FloatModel
from q8emu.ptq.static import DTYPES

FEWEST, MOST = 4, 8


def check_bits(option: str, bits: int) -> None:
    """Raises BadInput where a bit width is not on offer."""
    if not FEWEST <= bits <= MOST:
        raise BadInput(f"{option} {bits}: expected {FEWEST} to {MOST} bits.")


def limits(dtype: str, bits: int) -> tuple[int, int]:
    """Smallest and largest B-bit code.

    Example:
        >>> limits("int8", 4), limits("uint8", 5)
        ((-8, 7), (0, 31))
    """
    low = int(np.iinfo(dtype).min) // 2 ** (MOST - bits)
    return low, low + 2**bits - 1


def parameters(low: float, high: float, dtype: str, bits: int) -> tuple[float, int]:
    """Scale and zero point of a range that holds 0, in B bits.

    Example:
        >>> parameters(0.0, 3.0, "int8", 4)
        (0.2, -8)
    """
    qmin, qmax = limits(dtype, bits)
    scale = (high - low) / (qmax - qmin)
    return (scale, min(max(round(qmin - low / scale), qmin), qmax)) if scale > 0 else (1.0, 0)


def weight_overrides(
    model: FloatModel, bits: Mapping[str, int], *, per_channel: bool
) -> dict[str, list[dict[str, Any]]]:
    """The scales of the weights of some layers, for the quantizer.

    Args:
        model: in float.
        bits: by the layer's name.
        per_channel: a scale for each output channel?
    """
    found = {}
    for layer in model.layers:
        if layer.name not in bits:
            continue
        weights = np.abs(model.graph.constants[layer.weights])
        others = tuple(axis for axis in range(weights.ndim) if axis != layer.axis)
        peaks = np.atleast_1d(weights.max(others) if per_channel else weights.max())
        scales = (peaks / np.float32(2 ** (bits[layer.name] - 1) - 1)).astype(np.float32)
        scales[scales == 0] = 1
        fixed = {"quant_type": DTYPES["int8"], "zero_point": np.array(0, np.int8)}
        found[layer.weights] = [fixed | {"scale": np.array(scale, np.float32)} for scale in scales]
        if per_channel:
            found[layer.weights][0] = {"axis": layer.axis} | found[layer.weights][0]
    return found


def narrow_ranges(model: FloatModel, ranges: str, dtype: str, bits: int) -> tuple[str, frozenset[str]]:
    """Ranges so wide that the 8-bit scale of each inner tensor is its B-bit scale, and the names of these tensors."""
    qmin, qmax = limits(dtype, MOST)
    inner = _inner(model.proto)
    found = {name: ends for name, ends in range_of(ranges).items() if name in inner and ends != (0.0, 0.0)}
    wide = {}
    for name, ends in found.items():
        scale, zero_point = parameters(*ends, dtype, bits)
        wide[name] = (qmin - zero_point) * scale, (qmax - zero_point) * scale
    return with_ranges(ranges, wide), frozenset(wide)


def clamp_codes(quantized: bytes, tensors: frozenset[str], dtype: str, bits: int) -> bytes:
    """A Clip on the integers behind each QuantizeLinear whose parameters are those of one of `tensors`.

    Raises:
        ConversionFailed: parameters that the file has under an unknown name, or that are no B-bit ones.
    """
    proto = onnx.load_from_string(quantized)
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    ends = limits(dtype, bits)
    bounds = [f"code_{end}_{bits}_bit" for end in ("min", "max")]
    renamed: dict[str, str] = {}
    nodes = []
    for node in proto.graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        nodes.append(node)
        if node.op_type != "QuantizeLinear" or node.input[0] in constants:
            continue
        source = node.input[1].removesuffix("_scale")  # the tensor whose parameters they are
        if source == node.input[1] or node.input[2] not in constants:
            raise ConversionFailed(f"QuantizeLinear '{node.name}': the quantizer wrote parameters of an unknown form.")
        if source not in tensors:
            continue
        if not ends[0] <= int(numpy_helper.to_array(constants[node.input[2]])) <= ends[1]:
            raise ConversionFailed(f"QuantizeLinear '{node.name}': the zero point is no {bits}-bit code.")
        clamped = f"{node.input[0]}_Clip_Output"
        renamed[node.output[0]] = clamped
        nodes.append(helper.make_node("Clip", [node.output[0], *bounds], [clamped], f"{node.input[0]}_Clip"))
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.array(end, dtype), name) for name, end in zip(bounds, ends, strict=True)
    )
    return bytes(proto.SerializeToString())


def _inner(proto: onnx.ModelProto) -> set[str]:
    """Tensors that nodes write and that a layer with weights still depends on."""
    needed: set[str] = set()
    for node in reversed(proto.graph.node):  # in topological order
        if node.op_type in PRODUCTS or needed.intersection(node.output):
            needed.update(node.input)
    return needed & {name for node in proto.graph.node for name in node.output}
