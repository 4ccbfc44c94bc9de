"""DistinctRows: training examples with those of equal features merged, and what they stand for."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful.base._types import Array


class DistinctRows(NamedTuple):
    """The examples of positive weight, one for each different row of features.

    So an example of weight 2 is the same as the example twice, also where one is left out: leaving
    out one of two equal examples would leave its answer behind.

    Attributes
    ----------
    x : (n, F)
    targets : (n, outputs)
        Weighted means of the targets of equal rows.
    weights : (n,)
        Sums of their weights.
    places : (N,) of int
        The row that each example is part of; −1 for examples of weight 0.
    shares : (N,)
        The share of the row's weight that each example has.
    variance : (outputs,)
        Weighted mean of the squared differences of targets of equal rows from their mean.
    """

    x: Array
    targets: Array
    weights: Array
    places: Array
    shares: Array
    variance: Array

    @classmethod
    def of(cls, x: Array, targets: Array, weights: Array) -> DistinctRows:
        """x (N, F), targets (N, outputs), weights (N,) not negative, some positive."""
        kept = np.flatnonzero(weights > 0)
        rows, own = x[kept], weights[kept].astype(np.float64)
        first, place = _equal_rows(rows)
        total = np.bincount(place, own)
        means = np.empty((len(first), targets.shape[1]), targets.dtype)
        for output, column in enumerate(targets[kept].T.astype(np.float64)):
            means[:, output] = np.bincount(place, own * column) / total
        spread = own[:, None] * (targets[kept] - means[place]).astype(np.float64) ** 2
        places, shares = np.full(len(x), -1), np.zeros(len(x))
        places[kept], shares[kept] = place, own / total[place]
        return cls(rows[first], means, total, places, shares, spread.sum(0) / own.sum())


def _equal_rows(x: Array) -> tuple[Array, Array]:
    """A row of each kind, in an order that depends on their contents alone, and each row's kind.

    So nothing that is computed depends on the order of the examples.
    """
    rows = np.ascontiguousarray(x + 0.0)  # −0 and 0 are equal, their bits are not
    _, first, kind = np.unique(
        rows.view(np.dtype((np.void, rows.itemsize * rows.shape[1]))).ravel(),
        return_index=True, return_inverse=True,
    )  # fmt: skip
    return first, kind.ravel()
