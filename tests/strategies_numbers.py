# SPDX-License-Identifier: Apache-2.0
"""Choices, scales, zero points and data for the generated models: random, powers of two, extremes, near ties."""

from __future__ import annotations

import random
from typing import Any, Protocol, TypeVar

import numpy as np
from hypothesis import strategies as st

T = TypeVar("T")

STYLES = ("random", "powers of two", "mixed")
DATA = ("random", "extremes", "one-hot", "alternating", "small", "silent")
FITS = ("fit", "near tie", "exact tie", "power of two", "coarse", "saturating")


class Chooser(Protocol):
    """Makes the choices of a generator; `rng` fills arrays."""

    seed: int
    rng: np.random.Generator

    def pick(self, *options: T) -> T:
        """One of the options."""
        ...

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        ...

    def chance(self, percent: int) -> bool:
        """True in this many of a hundred cases; False is the simple answer."""
        ...


class HypothesisChooser:
    """Choices drawn by hypothesis, so that it can shrink a failing model; arrays follow a drawn seed."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw
        self.seed: int = draw(st.integers(0, 2**32 - 1))
        self.rng = np.random.default_rng(self.seed)

    def pick(self, *options: T) -> T:
        """One of the options."""
        chosen: T = options[self._draw(st.integers(0, len(options) - 1))]
        return chosen

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return int(self._draw(st.integers(low, high)))

    def chance(self, percent: int) -> bool:
        """True in this many of a hundred cases."""
        return bool(self._draw(st.integers(0, 99)) >= 100 - percent)


class RandomChooser:
    """Choices from a seed alone."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self._random = random.Random(seed)

    def pick(self, *options: T) -> T:
        """One of the options."""
        return self._random.choice(options)

    def integer(self, low: int, high: int) -> int:
        """From low to high, both included."""
        return self._random.randint(low, high)

    def chance(self, percent: int) -> bool:
        """True in this many of a hundred cases."""
        return self._random.randrange(100) < percent


def limits(dtype: str) -> tuple[int, int]:
    """Least and greatest value of an integer dtype."""
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def zero_point(c: Chooser, dtype: str) -> int:
    """The middle, an end, or anything."""
    low, high = limits(dtype)
    kind = c.pick("middle", "low", "high", "random", "random")
    return {"middle": (low + high + 1) // 2, "low": low, "high": high}.get(kind, c.integer(low, high))


def scale(c: Chooser, style: str) -> np.float32:
    """A positive binary32 number of a size that activations and weights have."""
    if style == "powers of two" or (style == "mixed" and c.chance(50)):
        return np.float32(2.0 ** c.integer(-10, 1))
    return np.float32(2.0 ** c.rng.uniform(-10, 1))


def values(c: Chooser, shape: tuple[int, ...], dtype: str, point: int = 0) -> np.ndarray:
    """Quantized data of one of the kinds in DATA."""
    low, high = limits(dtype)
    kind = c.pick("random", "random", *DATA)
    if kind == "random":
        return c.rng.integers(low, high, shape, dtype=dtype, endpoint=True)
    if kind == "extremes":
        return c.rng.choice(np.array([low, high, high, point], dtype), shape)
    if kind == "alternating":
        return np.resize(np.array([low, high], dtype), shape)
    if kind == "small":
        return np.clip(point + c.rng.integers(-2, 2, shape, endpoint=True), low, high).astype(dtype)
    found = np.full(shape, point, dtype)
    if kind == "one-hot" and found.size:
        found.reshape(-1)[c.rng.integers(found.size)] = c.rng.choice(np.array([low, high], dtype))
    return found


def output_params(c: Chooser, real: np.ndarray, dtype: str, point: int) -> np.float32:
    """A scale for real values that an operator gives: one that fits, saturates, or lands them on ties."""
    low, high = limits(dtype)
    finite = real[np.isfinite(real)].astype(np.float64)
    largest = float(np.abs(finite).max(initial=0.0))
    if largest < 1e-20:
        return np.float32(2.0 ** c.integer(-10, 1))
    room = max(point - low, high - point)
    kind = c.pick("near tie", *FITS)
    if kind in ("near tie", "exact tie"):
        return _on_a_tie(c, finite, min(room, 127), ulps=3 if kind == "near tie" else 0)
    factor = {"coarse": 8.0, "saturating": 0.2}.get(kind, 1.0)
    found = np.float32(largest / max(room, 1) * factor * c.rng.uniform(0.7, 1.4))
    return np.float32(2.0 ** np.round(np.log2(found))) if kind == "power of two" else found


def _on_a_tie(c: Chooser, finite: np.ndarray, room: int, ulps: int) -> np.float32:
    """value / scale = k + 1/2 for one of the values, give or take some units in the last place."""
    nonzero = np.abs(finite[finite != 0])
    chosen = float(nonzero[c.rng.integers(nonzero.size)])
    k = int(c.rng.integers(0, max(room, 1))) if c.chance(80) else 0
    found = np.float32(chosen / (k + 0.5))
    for _ in range(c.integer(0, ulps) if ulps else 0):
        found = np.nextafter(found, np.float32(np.inf if c.seed & 1 else 0), dtype=np.float32)
    return np.float32(found) if np.isfinite(found) and found > 0 else np.float32(1)
