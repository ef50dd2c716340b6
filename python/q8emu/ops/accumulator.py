# SPDX-License-Identifier: Apache-2.0
"""Sums of products under a profile whose accumulators or biases are narrower than 32 bits, or must not overflow.

The proofs are about all inputs: a sum from the bias on lies between the bias plus all products that can be negative and
plus all that can be positive, in whatever order it is made; each product's extremes are those of the operand's dtype.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from q8emu.errors import BadQuantization
from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.numerics import spec

_VECTORS = {"pair_saturate_all": 32, "pair_saturate_depthwise": 64}
"""Bytes of FBGEMM's vectors, by the overflow of its profiles."""


def accumulator_params(low: Lowering) -> dict[str, int | tuple[int, ...]]:
    """What a product step is told: nothing where its sums are int32 that wrap, or cannot leave their width."""
    if low.numerics.overflow.startswith("pair_saturate"):
        return {"saturates_pairs": 1} if _adds_pairs(low) else {}
    bits, overflow = low.numerics.accumulator_bits, low.numerics.overflow
    if overflow in ("refuse", "pairs_of_taps") or (bits, overflow) == (32, "wrap"):
        return {}
    return {"accumulator_bits": bits, "overflow": int(overflow == "saturate")}


def _adds_pairs(low: Lowering) -> bool:
    """Is it a product of uint8 by int8 that the backend computes pair by pair?

    "pair_saturate": ONNX Runtime has exact kernels for depthwise convolutions whose weights share one zero point, and
    ConvInteger gives it the weights as the first operand, which becomes uint8.
    "pair_saturate_depthwise": FBGEMM's kernel for the usual depthwise convolutions; with VNNI the others are exact.
    """
    node, rule = low.node, low.numerics.overflow
    x, w = (low.graph.tensors[name] for name in node.inputs[:2])
    if (x.dtype, w.dtype) != ("uint8", "int8"):
        return False
    if rule == "pair_saturate_depthwise":
        return "group" in node.attrs and _is_usual(node, w.shape)
    is_depthwise = "group" in node.attrs and w.shape[:2] == (node.attrs["group"], 1)
    params = node.in_quant[1] if len(node.in_quant) > 1 else None
    shares = params is None or len(set(params.zero_point)) == 1
    return rule == "pair_saturate_all" or not ((is_depthwise and shares) or node.op == "ConvInteger")


def _is_usual(node: Node, w_shape: Sequence[int]) -> bool:
    """Depthwise with one or two outputs, a multiple of 8 channels, 3x3 or 5x5 taps, stride 1 or 2, unchanged size.

    Source: pytorch/FBGEMM src/FbgemmConv.cc.
    """
    kernel, attrs = tuple(node.attrs["kernel"]), node.attrs
    return (
        attrs["group"] % 8 == 0
        and w_shape[1] == 1
        and w_shape[0] in (attrs["group"], 2 * attrs["group"])
        and kernel in ((3, 3), (5, 5))
        and set(attrs["strides"]) <= {1, 2}
        and set(attrs["dilations"]) == {1}
        and set(attrs["pads"]) == {kernel[0] // 2}
    )


def check_taps(node: Node, low: Lowering, w: np.ndarray) -> None:
    """Under the overflow "pairs_of_taps", refuse depthwise weights OIHW with which a sum of two taps can leave int16.

    The kernels take taps two by two in 16 bits, x - 128 for uint8: only twice -128 times -128 does not fit.
    """
    if low.numerics.overflow != "pairs_of_taps" or w.shape[:2] != (node.attrs["group"], 1) or w.dtype != np.int8:
        return
    taps = w.reshape(w.shape[0], -1)
    pairs = taps[:, : taps.shape[1] // 2 * 2].reshape(len(taps), -1, 2)
    if (pairs == -128).all(-1).any():
        low.refuse(node, "has no rule for depthwise weights of -128 at two taps in a row, whose sum leaves 16 bits")


def check_groups(node: Node, low: Lowering, w: np.ndarray) -> None:
    """Under the rules of FBGEMM, refuse a convolution OIHW that FBGEMM computes outside its arrays.

    Its kernel for groups takes as many of them at a time as fill a vector, and reads and writes on behind the last.
    Source: pytorch/FBGEMM src/GroupwiseConv.cc, src/PackWeightMatrixForGConv.cc.
    """
    width, attrs, per = _VECTORS.get(low.numerics.overflow, 0), node.attrs, w.shape[1]
    together = max(width // (per * max(per, 4)), 1)
    if (
        attrs["group"] > together
        and attrs["group"] % together
        and per in (2, 4)
        and w.shape[0] == attrs["group"] * per
        and tuple(attrs["kernel"]) == (3, 3)
        and tuple(attrs["strides"]) in ((1, 1), (2, 2))
        and set(attrs["dilations"]) == set(attrs["pads"]) == {1}
    ):
        low.refuse(
            node,
            f"has no rule for {attrs['group']} groups of {per} channels with 3x3 taps: FBGEMM takes {together} groups "
            "at a time and goes on behind the last one; a multiple of that has a rule",
        )


def refuse_unproven(node: Node, low: Lowering) -> None:
    """Under the overflow "refuse", refuse an operator whose zero points are not known when a model is lowered."""
    if low.numerics.overflow == "refuse":
        low.refuse(node, "has to prove that sums stay within its accumulator, and cannot for this operator")


def check_bias(node: Node, low: Lowering, bias: np.ndarray | None) -> None:
    """Refuse a bias that is wider than the profile's.

    Raises:
        BadQuantization: the value and the width.
    """
    bits = low.numerics.bias_bits
    if bias is None or bits == 32 or bias.dtype != np.int32:
        return
    wide = (bias < -(2 ** (bits - 1))) | (bias >= 2 ** (bits - 1))
    if wide.any():
        raise BadQuantization(
            f"{node.where()}: a bias of {int(bias[wide].reshape(-1)[0])} does not fit into {bits} bits, which the "
            f"numerics profile '{low.numerics.name}' gives to one (bias_bits); use larger scales or a wider bias."
        )


def check_product(node: Node, low: Lowering, bias: np.ndarray | None) -> None:
    """The checks of a product of two matrices, the second of which may be known at run time only."""
    check_bias(node, low, bias)
    a, b = node.in_quant[:2]
    if not _has_proofs(low) or a is None or b is None:
        return None
    depth = low.graph.tensors[node.inputs[0]].shape[0 if node.attrs.get("transA") else -1]
    constant = low.graph.constants.get(node.inputs[1])
    if constant is None or constant.ndim != 2:
        return check_sums(node, low, a, b, depth, bias)
    matrix = constant.T if node.attrs.get("transB") else constant
    return check_sums(node, low, a, matrix.astype(np.int64) - b.zero_points(), depth, bias)


def check_sums(
    node: Node, low: Lowering, x: QuantParams, weights: np.ndarray | QuantParams, depth: int, bias: np.ndarray | None
) -> None:
    """Prove that no input lets a sum leave what the profile has for it.

    Under the overflow "refuse" that is the accumulator; with `beyond_int32` "refuse" it is int32 for the sum times its
    factor.

    Args:
        node: the product.
        low: the program under construction.
        x: parameters of the operand.
        weights: int64[depth, channels], zero points off; or the parameters of a second operand known at run time.
        depth: number of products in a sum.
        bias: int32[channels or rows, channels], or none.

    Raises:
        BadQuantization: the sum that can leave, and the width.
        UnsupportedOperator: the channel whose sum times its factor can leave int32.
    """
    if not _has_proofs(low):
        return
    least, greatest = _reach(x, weights, depth, bias)
    if low.numerics.overflow == "refuse":
        _check_accumulator(node, low, least, greatest)
    if low.numerics.beyond_int32 == "refuse":
        _check_rescaled(node, low, np.maximum(greatest, -least))


def _has_proofs(low: Lowering) -> bool:
    return "refuse" in (low.numerics.overflow, low.numerics.beyond_int32)


def _reach(
    x: QuantParams, weights: np.ndarray | QuantParams, depth: int, bias: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest sum of each channel, int64."""
    reach = [limit - x.zero_point[0] for limit in spec.limits(x.dtype)]
    if isinstance(weights, QuantParams):
        other = [limit - z for limit in spec.limits(weights.dtype) for z in weights.zero_point]
        products = np.array([[r * o for r in reach for o in other]])
        least, greatest = (np.array([depth * int(edge)]) for edge in (products.min(), products.max()))
    else:
        products = np.stack([weights * r for r in reach])
        least, greatest = products.min(0).sum(0), products.max(0).sum(0)
    added = np.zeros(1, np.int64) if bias is None else bias.astype(np.int64)
    return added + least, added + greatest


def _check_accumulator(node: Node, low: Lowering, least: np.ndarray, greatest: np.ndarray) -> None:
    half = 2 ** (low.numerics.accumulator_bits - 1)
    beyond = np.where(greatest >= half, greatest, np.where(least < -half, least, 0))
    if beyond.any():
        at = int(np.flatnonzero(beyond)[0])
        raise BadQuantization(
            f"{node.where()}: the sum of channel {at % beyond.shape[-1]} can reach {int(beyond.reshape(-1)[at])}, "
            f"beyond {low.numerics.accumulator_bits} bits, which the numerics profile '{low.numerics.name}' refuses; "
            "use more accumulator_bits, or the overflow wrap or saturate."
        )


def _check_rescaled(node: Node, low: Lowering, most: np.ndarray) -> None:
    """`most` bounds the magnitude of each channel's sum; an accumulator that wraps holds int32."""
    x, w, y = (*node.in_quant[:2], node.out_quant[0])
    if x is None or w is None or y is None:
        return
    factors = x.scales().astype(np.float64) * w.scales() * node.attrs.get("alpha", 1.0) / y.scale[0]
    rescaled = np.minimum(most, 2**31) * factors + abs(y.zero_point[0]) + 1
    if (rescaled >= 2**31).any():
        channel = int(np.flatnonzero(rescaled >= 2**31)[0]) % rescaled.shape[-1]
        low.refuse(
            node,
            f"requantizes within int32 before the clamp; the sum of channel {channel} times its factor of "
            f"{np.broadcast_to(factors, rescaled.shape[-1:])[channel]:.6g} can leave it",
        )
