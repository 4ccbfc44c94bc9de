"""rank_correlation: whether two rankings agree."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array


def rank_correlation(first: Array, second: Array) -> Array:
    """Spearman's correlation of each row of (N, F) and (N, F) → (N,); NaN if one is constant."""
    a, b = (_ranks(rows) for rows in (first, second))
    a -= a.mean(1, keepdims=True)
    b -= b.mean(1, keepdims=True)
    with np.errstate(invalid="ignore"):
        found: Array = (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return found


def _ranks(rows: Array) -> Array:
    """The ranks of the elements of each row; equal elements get the mean of theirs."""
    found = np.empty(rows.shape)
    for row, ranks in zip(rows, found, strict=True):
        _, which, counts = np.unique(row, return_inverse=True, return_counts=True)
        last = np.cumsum(counts)
        ranks[:] = (last - (counts - 1) / 2)[which]
    return found
