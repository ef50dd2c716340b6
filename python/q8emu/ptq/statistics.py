# SPDX-License-Identifier: Apache-2.0
"""When a count of right answers says something: binomial tails, and the best matching of two sets of classes."""

from __future__ import annotations

from collections.abc import Sequence
from math import lgamma, log

import numpy as np


def log_tail(trials: int, hits: int, chance: float) -> float:
    """The logarithm of P(at least `hits` of `trials` succeed), each with probability `chance`.

    log Σ_{k ≥ hits} C(trials, k) · chance^k · (1 - chance)^(trials - k)

    Example:
        >>> round(np.exp(log_tail(10, 10, 0.5)) * 1024, 6)
        1.0
    """
    if hits <= 0:
        return 0.0
    if hits > trials:
        return -np.inf
    k = np.arange(hits, trials + 1)
    factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, trials + 1)))])
    with np.errstate(divide="ignore"):
        rest = np.where(k == trials, 0.0, (trials - k) * np.log1p(-chance))
    terms = factorial[trials] - factorial[k] - factorial[trials - k] + k * log(chance) + rest
    largest = terms.max()
    return float(min(0.0, largest + np.log(np.exp(terms - largest).sum())))


def guessing_bound(trials: int, chance: float, level: float) -> int:
    """The most right answers that guessing gets, but for a share `level` of all cases.

    Example:
        >>> guessing_bound(10_000, 0.1, 1e-3)
        1094
    """
    low, high = 0, trials  # log_tail falls: the first count whose tail is below the level, minus one
    while low < high:
        middle = (low + high) // 2
        if log_tail(trials, middle + 1, chance) < log(level):
            high = middle
        else:
            low = middle + 1
    return low


def log_sign_test(wins: int, losses: int) -> float:
    """The logarithm of the probability of so many wins or more, were wins and losses equally likely."""
    return log_tail(wins + losses, wins, 0.5)


def log_orders(count: int) -> float:
    """The logarithm of the number of orders of `count` things."""
    return lgamma(count + 1)


def best_matching(gain: np.ndarray) -> list[int]:
    """The one-to-one matching of rows to columns with the largest sum; the column of each row.

    Args:
        gain: numbers [n, n].

    Source: the Hungarian method by shortest augmenting paths (Kuhn 1955, Jonker and Volgenant 1987).

    Example:
        >>> best_matching(np.array([[1, 9], [8, 9]]))
        [1, 0]
    """
    cost = -gain.astype(np.float64)
    n = len(cost)
    row_price, column_price = np.zeros(n), np.zeros(n)
    row_of = np.full(n, -1)  # of each column
    for start in range(n):
        distance, before = np.full(n, np.inf), np.full(n, -1)
        done = np.zeros(n, bool)
        row, column, reached = start, -1, 0.0
        while True:
            step = reached + cost[row] - row_price[row] - column_price
            better = ~done & (step < distance)
            distance[better], before[better] = step[better], column
            column = int(np.argmin(np.where(done, np.inf, distance)))
            reached, done[column] = float(distance[column]), True
            if row_of[column] < 0:
                break
            row = int(row_of[column])
        row_price[start] += reached
        others = [c for c in np.flatnonzero(done) if c != column]
        row_price[row_of[others]] += reached - distance[others]
        column_price[others] -= reached - distance[others]
        while column >= 0:
            previous = int(before[column])
            row_of[column] = start if previous < 0 else row_of[previous]
            column = previous
    columns: Sequence[int] = np.argsort(row_of).tolist()
    return list(columns)
