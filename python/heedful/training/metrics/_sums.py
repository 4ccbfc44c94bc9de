"""Sums: what metrics accumulate over the batches of an epoch."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from heedful.base._types import Array


class Sum(Protocol):
    """What a metric returns for a batch."""

    def add(self, other: Sum) -> None:
        """Add that of another batch."""

    def value(self) -> float:
        """Over all batches."""

    def latest(self) -> float:
        """The same, or an approximation: it is evaluated after every batch."""


class Mean:
    """A total and its divisor; the value is 0 where the divisor is 0."""

    total: float
    count: float

    def __init__(self, total: float = 0.0, count: float = 0.0) -> None:
        self.total, self.count = total, count

    def add(self, other: Sum) -> None:
        assert isinstance(other, Mean)
        self.total, self.count = self.total + other.total, self.count + other.count

    def value(self) -> float:
        return self.total / self.count if self.count else 0.0

    latest = value


class Ranking:
    """All scores of positive and negative targets; the value is how often a positive is higher."""

    positive: list[Array]
    negative: list[Array]
    count: int

    def __init__(self, positive: Array, negative: Array) -> None:
        self.positive, self.negative = [positive], [negative]
        self.count = positive.size + negative.size
        self._known = (0, math.nan)  # number of scores, and the value for them

    def add(self, other: Sum) -> None:
        assert isinstance(other, Ranking)
        self.positive += other.positive
        self.negative += other.negative
        self.count += other.count

    def value(self) -> float:
        positive, negative = np.concatenate(self.positive), np.sort(np.concatenate(self.negative))
        self.positive, self.negative = [positive], [negative]
        if not len(positive) or not len(negative):
            return math.nan
        if np.isnan(positive).any() or np.isnan(negative[-1]):  # which is sorted to the end
            return math.nan
        below = int(np.searchsorted(negative, positive, "left").sum(dtype=np.int64))
        below_or_equal = int(np.searchsorted(negative, positive, "right").sum(dtype=np.int64))
        return (below + below_or_equal) / (2 * len(positive) * len(negative))

    def latest(self) -> float:
        # sorting again after every batch would make an epoch quadratic
        if self.count > 1.25 * self._known[0]:
            self._known = self.count, self.value()
        return self._known[1]
