"""Sums: what metrics add up over the batches of an epoch."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from heedful.base._types import Array


class Sum(Protocol):
    """What a metric gives for a batch."""

    def add(self, other: Sum) -> None:
        """That of one more batch."""

    def value(self) -> float:
        """Over all batches."""

    def latest(self) -> float:
        """The same, or nearly: it is asked for after every batch."""


class Mean:
    """A total and what it is divided by; 0 where that is 0."""

    def __init__(self, total: float = 0.0, count: float = 0.0) -> None:
        self.total, self.count = total, count

    def add(self, other: Sum) -> None:
        assert isinstance(other, Mean)
        self.total, self.count = self.total + other.total, self.count + other.count

    def value(self) -> float:
        return self.total / self.count if self.count else 0.0

    latest = value


class Ranking:
    """All scores of positive and of negative targets: how often the positive one is higher."""

    def __init__(self, positive: Array, negative: Array) -> None:
        self.positive, self.negative = [positive], [negative]
        self.count = positive.size + negative.size
        self._known = (0, math.nan)  # number of scores, and what was computed of them

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
        # sorted anew after every batch, an epoch would take the square of its time
        if self.count > 1.25 * self._known[0]:
            self._known = self.count, self.value()
        return self._known[1]
