# SPDX-License-Identifier: Apache-2.0
"""Random legal models: one operator, or a small graph with residual connections, in the QDQ and QOperator spellings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from strategies_builder import SPELLINGS, Case, ModelBuilder, Tensor
from strategies_functions import binary, pool, reduce_mean, softmax, unary
from strategies_movement import concat, movement, requantize
from strategies_numbers import Chooser, HypothesisChooser, RandomChooser
from strategies_products import conv, gemm, integer_product, matmul

OPSETS = (10, 11, 12, 13, 13, 14, 15, 17, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26)
"""From the first with QuantizeLinear to the newest that the oracle runs."""

LARGEST = 700  # elements of one tensor: the definition in Python is slow
IMAGE, MATRIX, ANY = "image", "matrix", "any"
# operator → (what it can be applied to, how often it is chosen)
OPERATORS: dict[str, tuple[str, int]] = {
    "conv": (IMAGE, 8),
    "matmul": (ANY, 4),
    "gemm": (MATRIX, 3),
    "integer_product": (ANY, 2),
    "binary": (ANY, 5),
    "unary": (ANY, 4),
    "pool": (IMAGE, 4),
    "softmax": (ANY, 2),
    "reduce_mean": (ANY, 1),
    "movement": (ANY, 5),
    "concat": (ANY, 2),
    "requantize": (ANY, 1),
}
FUNCTIONS: dict[str, Any] = {
    "conv": conv,
    "matmul": matmul,
    "gemm": gemm,
    "integer_product": integer_product,
    "unary": unary,
    "pool": pool,
    "softmax": softmax,
    "reduce_mean": reduce_mean,
    "movement": movement,
    "requantize": requantize,
}
BOTH_WITH_OTHERS: dict[str, Any] = {"binary": binary, "concat": concat}
BAG = tuple(name for name, (_, weight) in OPERATORS.items() for _ in range(weight))


def shape_for(c: Chooser, kind: str) -> tuple[int, ...]:
    """Shape of a model's first input."""
    if kind == MATRIX:
        return (1, 700) if c.chance(5) else (c.integer(1, 5), c.pick(1, 2, 3, 8, 16, 17, 33, 64))
    if kind == ANY and c.chance(60):
        return tuple(c.pick(1, 2, 3, 4, 5, 16) for _ in range(c.integer(1, 4)))
    batch, channels = c.integer(1, 3), c.pick(1, 2, 3, 4, 8, 16, 17)
    image = (c.integer(1, 12),) if c.chance(25) else (c.integer(1, 7), c.integer(1, 7))
    return (batch, channels, *image)


def applies(name: str, x: Tensor) -> bool:
    """Can the operator take this tensor?"""
    if x.values.size > LARGEST or (not x.shape and name not in ("unary", "binary")):
        return False
    kind = OPERATORS[name][0]
    if kind == IMAGE:
        return len(x.shape) in (3, 4)
    return len(x.shape) == 2 if kind == MATRIX else len(x.shape) <= 5


def grow(b: ModelBuilder, name: str, pool_: list[Tensor], x: Tensor) -> list[Tensor]:
    """Apply one operator."""
    if name in BOTH_WITH_OTHERS:
        found: list[Tensor] = BOTH_WITH_OTHERS[name](b, x, pool_)
        return found
    made: list[Tensor] = FUNCTIONS[name](b, x)
    return made


def build(
    c: Chooser,
    *,
    operators: Sequence[str] = BAG,
    most: int = 6,
    opsets: Sequence[int] = OPSETS,
    spellings: Sequence[str] = SPELLINGS,
) -> Case:
    """A model of one to `most` operators."""
    b = ModelBuilder(c, c.pick(*opsets), spellings)
    count = c.integer(2, most) if most > 1 and c.chance(45) else 1
    first = c.pick(*operators)
    tensors = [b.input(shape_for(c, OPERATORS[first][0]))]
    used: set[str] = set()
    for index in range(count):
        x = tensors[-1] if c.chance(80) else tensors[c.integer(0, len(tensors) - 1)]
        fitting = [n for n in operators if applies(n, x)]
        name = first if index == 0 else c.pick(*fitting) if fitting else None
        if name is None:
            break
        before = set(b.outputs)
        made = grow(b, name, tensors, x)
        used.update(i for node in b.nodes for i in node.input)
        tensors += made
        if not made and set(b.outputs) == before:
            break
    _choose_outputs(b, tensors, used)
    return b.finish()


def _choose_outputs(b: ModelBuilder, tensors: Sequence[Tensor], used: set[str]) -> None:
    """Every tensor that nothing reads is an output, as it is or dequantized; sometimes one in the middle too."""
    used.update(i for node in b.nodes for i in node.input)
    leaves = [t for t in tensors if t.name not in used and t.name not in b.feeds]
    made = [t for t in tensors if t.name not in b.feeds]
    if not leaves and not b.outputs:
        leaves = made[-1:]
    for tensor in dict.fromkeys((t.name, t.dtype) for t in leaves):
        whole = next(t for t in tensors if t.name == tensor[0])
        if b.c.chance(50):
            b.outputs[b.real(whole)] = ("float32", whole.shape)
        else:
            b.outputs[whole.name] = (whole.dtype, whole.shape)
    if b.c.chance(10) and made:
        extra = b.c.pick(*made)
        b.outputs.setdefault(extra.name, (extra.dtype, extra.shape))


@st.composite
def models(draw: Any, operators: Sequence[str] = BAG, most: int = 6) -> Case:
    """A hypothesis strategy for `build`."""
    return build(HypothesisChooser(draw), operators=operators, most=most)


def model(
    seed: int,
    *,
    operators: Sequence[str] = BAG,
    most: int = 6,
    opsets: Sequence[int] = OPSETS,
    spellings: Sequence[str] = SPELLINGS,
) -> Case:
    """The same from a seed, without hypothesis."""
    return build(RandomChooser(seed), operators=operators, most=most, opsets=opsets, spellings=spellings)
