# SPDX-License-Identifier: Apache-2.0
"""Accuracy over size as the coordinates of a plot: axes with whole ticks, marks, and numbers that do not overlap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil, cos, floor, log10, pi, sin

from q8emu.ptq.compare_models import Comparison

WIDTH, HEIGHT = 860, 400
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 16, 52
_LABEL = 9.0  # half of the room that a number takes
_MARK = 8.0  # the same of a mark


@dataclass(frozen=True)
class Tick:
    """A line of the grid and what it says."""

    at: float
    text: str


@dataclass(frozen=True)
class Mark:
    """One model: where it is, where its number is, and what a pointer on it is told."""

    index: int
    x: float
    y: float
    label_x: float
    label_y: float
    tells: str


@dataclass(frozen=True)
class Plot:
    """Everything that the drawing needs, in pixels."""

    marks: tuple[Mark, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    top: int = TOP
    bottom: int = HEIGHT - BOTTOM


def plot(found: Comparison) -> Plot:
    """Lay out the plot."""
    sizes = [entry.model.bytes / 1000 for entry in found.entries]
    rates = [entry.percent for entry in found.entries]
    x_ticks, y_ticks = _ticks(0, max(sizes) * 1.08), _ticks(min(rates), max(rates))
    across = _axis(x_ticks, LEFT, WIDTH - RIGHT)
    up = _axis(y_ticks, HEIGHT - BOTTOM, TOP)
    points = [(across(size), up(rate)) for size, rate in zip(sizes, rates, strict=True)]
    marks = tuple(
        Mark(i, x, y, *place, f"{i + 1}: {entry.model.name}, {entry.percent:.2f} %, {entry.model.bytes:,} bytes")
        for i, ((x, y), place, entry) in enumerate(zip(points, _places(points), found.entries, strict=True))
    )
    return Plot(marks, tuple(_told(x_ticks, across)), tuple(_told(y_ticks, up)))


def _ticks(low: float, high: float) -> list[float]:
    """Five to ten whole steps of 1, 2 or 5 times a power of ten that hold both ends."""
    span = max(high - low, 0.05)
    power = 10.0 ** floor(log10(span / 5))
    step = next(power * k for k in (1, 2, 5, 10) if span / (power * k) <= 7)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    if low > 0 and low / step - first < 0.25:
        first -= 1
    if high / step > last - 0.25:
        last += 1
    return [i * step for i in range(first, last + 1)]


def _axis(ticks: Sequence[float], begin: float, end: float) -> Callable[[float], float]:
    low, high = ticks[0], ticks[-1]
    return lambda value: round(begin + (end - begin) * (value - low) / (high - low), 1)


def _told(ticks: Sequence[float], place: Callable[[float], float]) -> list[Tick]:
    digits = max(0, -floor(log10(ticks[1] - ticks[0]) + 1e-9))
    return [Tick(place(value), f"{value:,.{digits}f}") for value in ticks]


def _places(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """For each point the nearest place for its number that meets no mark, no other number and no edge."""
    taken: list[tuple[float, float]] = []
    for x, y in points:
        candidates = (
            (x + radius * cos(turn * pi / 8), y - radius * sin(turn * pi / 8))
            for radius in range(20, 200, 6)
            for turn in (0, 2, 14, 4, 12, 6, 10, 8, 1, 15, 3, 13, 5, 11, 7, 9)
        )
        taken.append(next((c for c in candidates if _is_free(c, points, taken)), (x, y)))
    return [(round(x, 1), round(y, 1)) for x, y in taken]


def _is_free(
    place: tuple[float, float], points: Sequence[tuple[float, float]], taken: Sequence[tuple[float, float]]
) -> bool:
    x, y = place
    inside = LEFT + _LABEL < x < WIDTH - RIGHT - _LABEL and TOP + _LABEL < y < HEIGHT - BOTTOM - _LABEL
    far = all(max(abs(x - a), abs(y - b)) > _MARK + _LABEL / 2 for a, b in points)
    return inside and far and all(max(abs(x - a), abs(y - b)) > 2 * _LABEL for a, b in taken)
