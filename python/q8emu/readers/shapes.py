# SPDX-License-Identifier: Apache-2.0
"""Shapes that a model file claims, checked against limits before anything of that size is made."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from q8emu.errors import BadModel, TooLarge

MAX_ELEMENTS = 2**28
"""Largest tensor that is read or planned, in elements."""

MAX_DIMENSION = 2**23
"""Longest axis."""

MAX_RANK = 8
"""Most axes."""


def checked_shape(shape: Sequence[int], where: str, least: int = 1) -> tuple[int, ...]:
    """The shape, if every dimension is at least `least` and the number of elements is within the limit."""
    if any(d < least for d in shape) or len(shape) > MAX_RANK:
        raise BadModel(
            f"The model's {where} has shape {list(shape)}; expected up to {MAX_RANK} dimensions of {least} or more."
        )
    if prod(shape) > MAX_ELEMENTS or max(shape, default=0) > MAX_DIMENSION:
        raise TooLarge(
            f"The model's {where} has shape {list(shape)}, {prod(shape)} elements; the limit is {MAX_ELEMENTS} "
            f"elements and {MAX_DIMENSION} along an axis."
        )
    return tuple(int(d) for d in shape)
