# SPDX-License-Identifier: Apache-2.0
"""The Add rules of accelerators, which bring each operand to a scale of its own before the sum.

"common_scale": both operands rescaled to the output's scale by the rule of the products, and added as they are; exact
where the three scales are equal.

"per_branch": both operands rescaled to the output's scale, rounded and saturated to the dtype; their sum saturates.
Source: ucb-bar/gemmini-rocc-tests include/gemmini.h (resadd), with a_scale / y_scale and b_scale / y_scale as the
scales of the two loads, as in ucb-bar/onnxruntime-riscv core/mlas/lib/systolic.

"converted": the operand with the smaller scale rescaled to the larger one, the sum requantized. Source: nvdla/hw
cmod/hls/sdp (the operand's converter and the output's); operands of one scale go in as they are, which is what the
compiler of nvdla/sw makes.

"aligned": powers of two; both operands shifted left to the finer of them, the sum requantized. Source: majianjia/nnom
src/backends/nnom_local.c for operands of one format; otherwise exact until the one rounding at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import mul

import numpy as np

from q8emu.graph import Node, QuantParams
from q8emu.lowering import Lowering
from q8emu.numerics import spec
from q8emu.numerics.multiplier import Rule
from q8emu.ops.base import clamp_params, out_quant, quant, ratio, scale_bits
from q8emu.ops.output_stage import Stage, by_multiplier, multiplier_arrays, rule_of
from q8emu.tables import quantize_multiplier, rescaled

WIDEST = 23  # bits between the exponents of two operands of 8 bits, with which their sum stays within int32


def lower_branches(node: Node, low: Lowering, sign: int) -> None:
    """One add_rescaled under one of the rules; sign -1 subtracts the second operand."""
    a_table, b_table, (more, stage) = BRANCHES[low.numerics.add](node, low)
    params = more | {"y_zero_point": out_quant(node).zero_point[0], **clamp_params(node.attrs["clamp"])}
    low.binary(node, "add_rescaled", (0, 1), params, {"a_rescaled": a_table, "b_rescaled": sign * b_table} | stage)


def _table(operand: QuantParams, function: Callable[[int], int]) -> np.ndarray:
    """int32[256], entry i for the value whose bits read as uint8 are i."""
    codes = np.arange(256, dtype=np.uint8).view(operand.dtype).tolist()
    return np.array([function(code - operand.zero_point[0]) for code in codes], np.int32)


def _per_branch(node: Node, low: Lowering) -> tuple[np.ndarray, np.ndarray, Stage]:
    y = out_quant(node)
    tables = []
    for operand in (quant(node, 0), quant(node, 1)):
        factor = ratio(operand.scale[0], over=y.scale[0])
        low.check_scale(node, np.array([factor]))
        tables.append(_table(operand, partial(_loaded, spec.f32_bits(factor))))
    return tables[0], tables[1], ({}, {"scale_bits": scale_bits(np.float32(1))})


def _loaded(scale_bits: int, value: int) -> int:
    """A value under a scale of the load, int8 again."""
    limits = spec.limits("int8")
    return spec.requantize(value, scale_bits, 0, limits, limits)


def _common_scale(node: Node, low: Lowering) -> tuple[np.ndarray, np.ndarray, Stage]:
    y = float(out_quant(node).scale[0])
    a, b = (
        _table(q, rescaled(node, low.numerics.rescale, float(q.scale[0]) / y)) for q in (quant(node, 0), quant(node, 1))
    )
    as_it_is = [(1, 0)]
    return a, b, (rule_of(Rule("floor", beyond="saturate"), as_it_is), multiplier_arrays(as_it_is))


def _converted(node: Node, low: Lowering) -> tuple[np.ndarray, np.ndarray, Stage]:
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    largest = max(float(a.scale[0]), float(b.scale[0]))
    tables = []
    for operand in (a, b):
        own = float(operand.scale[0])
        tables.append(_table(operand, rescaled(node, low.numerics.rescale, own / largest) if own < largest else int))
    stage = by_multiplier(node, low.numerics.rescale, np.array([largest / float(y.scale[0])]))
    return tables[0], tables[1], stage


def _aligned(node: Node, low: Lowering) -> tuple[np.ndarray, np.ndarray, Stage]:
    a, b, y = quant(node, 0), quant(node, 1), out_quant(node)
    rescaling = low.numerics.rescale
    shifts = [quantize_multiplier(node, rescaling, float(q.scale[0]) / float(y.scale[0]))[1] for q in (a, b)]
    if abs(shifts[0] - shifts[1]) > WIDEST:
        low.refuse(node, f"adds operands whose scales are within 2^{WIDEST}; found {a} and {b}")
    finest = max(shifts)
    tables = [_table(q, partial(mul, 2 ** (finest - shift))) for q, shift in zip((a, b), shifts, strict=True)]
    pairs = [(1, finest)]
    return tables[0], tables[1], (rule_of(rescaling.rule, pairs), multiplier_arrays(pairs))


BRANCHES: dict[str, Callable[[Node, Lowering], tuple[np.ndarray, np.ndarray, Stage]]] = {
    "aligned": _aligned,
    "common_scale": _common_scale,
    "converted": _converted,
    "per_branch": _per_branch,
}
