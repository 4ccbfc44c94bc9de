"""Ranking: the tokens of the highest scores, without sorting a whole vocabulary."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array


def highest(values: Array, count: int) -> Array:
    """values (B, n) → indices (B, count) in descending order of the values, equal ones by index."""
    rows, size = values.shape
    if count >= size:
        return np.argsort(-values, -1, kind="stable")
    lowest = np.partition(values, size - count, -1)[:, size - count, None]
    chosen = values >= lowest
    if chosen.sum() > rows * count:  # of those equal to the lowest the first
        equal = values == lowest
        missing = count - (chosen.sum(-1, keepdims=True) - equal.sum(-1, keepdims=True))
        chosen ^= equal & (equal.cumsum(-1) > missing)
    found = np.nonzero(chosen)[1].reshape(rows, count)
    order = np.argsort(-np.take_along_axis(values, found, -1), -1, kind="stable")
    return np.take_along_axis(found, order, -1)
