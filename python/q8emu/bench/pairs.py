# SPDX-License-Identifier: Apache-2.0
"""Two functions timed in turns, A B, B A, A B …: the ratio of each pair, its median and its quartiles.

A machine that slows down slows both halves of a pair, so the ratio holds where the times do not. The clock is read
before and after each call; a sample is as many calls as take five milliseconds; the garbage collector is off meanwhile.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from statistics import median, quantiles
from time import perf_counter_ns, process_time_ns

Run = Callable[[], object]

SAMPLE_NS = 5_000_000
WARM_UP_NS = 50_000_000
LEAST_WARM_UP = 2  # calls
LEAST_ROUNDS = 5
MOST_ROUNDS = 1000


@dataclass(frozen=True)
class Sample:
    """Some calls in a row.

    Attributes:
        calls: how many, at least 1.
        total_ns: their time together.
        least_ns: the time of the fastest.
        cpu_ns: processor time of all threads of this process meanwhile.
    """

    calls: int
    total_ns: int
    least_ns: int
    cpu_ns: int

    @property
    def ns(self) -> float:
        """Mean time of a call."""
        return self.total_ns / self.calls


@dataclass(frozen=True)
class Spread:
    """The middle of some numbers: 25 %, 50 % and 75 % of them are not greater."""

    q1: float
    median: float
    q3: float


@dataclass(frozen=True)
class Pairs:
    """Samples of two functions; entries of the same index were taken one right after the other."""

    first: tuple[Sample, ...]
    second: tuple[Sample, ...]

    @property
    def rounds(self) -> int:
        """Number of pairs."""
        return len(self.first)

    @property
    def ratios(self) -> tuple[float, ...]:
        """second / first of each pair: above 1 the first is faster."""
        return tuple(b.ns / a.ns for a, b in zip(self.first, self.second, strict=True))

    @property
    def ratio(self) -> Spread:
        """The middle of the ratios."""
        return spread(self.ratios)

    @property
    def ratio_of_least(self) -> float:
        """The fastest call of the second / the fastest call of the first."""
        return min(s.least_ns for s in self.second) / min(s.least_ns for s in self.first)


def spread(values: Sequence[float]) -> Spread:
    """Quartiles, with linear interpolation between the two nearest values.

    Args:
        values: at least one number.

    Example:
        >>> spread([4.0, 1.0, 2.0, 3.0, 5.0])
        Spread(q1=2.0, median=3.0, q3=4.0)
    """
    if len(values) == 1:
        return Spread(values[0], values[0], values[0])
    q1, _, q3 = quantiles(values, n=4, method="inclusive")
    return Spread(q1, median(values), q3)


def take_sample(run: Run, calls: int) -> Sample:
    """Call `run` so many times, one reading of the clock before and one after each."""
    times = []
    cpu = process_time_ns()
    for _ in range(calls):
        begin = perf_counter_ns()
        run()
        times.append(perf_counter_ns() - begin)
    return Sample(calls, sum(times), min(times), process_time_ns() - cpu)


def warm_up(run: Run) -> int:
    """Call `run` for a while; how many calls fill a sample."""
    begin, times = perf_counter_ns(), list[int]()
    while len(times) < LEAST_WARM_UP or perf_counter_ns() - begin < WARM_UP_NS:
        times.append(take_sample(run, 1).total_ns)
    return max(1, ceil(SAMPLE_NS / max(1, min(times))))


def in_turns(first: Run, second: Run, seconds: float) -> Pairs:
    """Time both in turns, each round in the other order than the one before.

    Args:
        first: the one whose gain the ratio says.
        second: what it is compared with.
        seconds: how long, warm-up apart; 5 rounds are run in any case, and no more than 1,000.
    """
    found: tuple[list[Sample], list[Sample]] = ([], [])
    with no_collector():
        calls = warm_up(first), warm_up(second)
        end = perf_counter_ns() + int(seconds * 1e9)
        while len(found[0]) < LEAST_ROUNDS or (perf_counter_ns() < end and len(found[0]) < MOST_ROUNDS):
            order = (0, 1) if len(found[0]) % 2 == 0 else (1, 0)
            for at in order:
                found[at].append(take_sample((first, second)[at], calls[at]))
    return Pairs(tuple(found[0]), tuple(found[1]))


def alone(run: Run, seconds: float) -> tuple[Sample, ...]:
    """Time one function, where there is nothing to compare it with; rounds as `in_turns`."""
    found: list[Sample] = []
    with no_collector():
        calls = warm_up(run)
        end = perf_counter_ns() + int(seconds * 1e9)
        while len(found) < LEAST_ROUNDS or (perf_counter_ns() < end and len(found) < MOST_ROUNDS):
            found.append(take_sample(run, calls))
    return tuple(found)


@contextmanager
def no_collector() -> Iterator[None]:
    """The garbage collector off, after it ran once."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
