"""Merge: the weighted mean of tokens that are merged, and its gradient."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array
from heedful.pruning._matching import Matching
from heedful.pruning._rows import flat, taken


class Merge:
    """y[row] = Σ size · x / Σ size over the tokens of a row.

    Parameters
    ----------
    pairs : Matching
    valid : (B, L) of bool
    sizes : (B, L), or None if all are 1

    Attributes
    ----------
    rows : (B, L)
        Of y, that each token is in; −1 for tokens that are not valid.
    length : int
        Number of rows of y; those of an item are the first `counts` (B,), the others are 0.
    sizes : (B, length)
        Of the rows; 1 past the last.
    """

    def __init__(self, pairs: Matching, valid: Array, sizes: Array | None) -> None:
        self.shape, self.length = valid.shape, valid.shape[1] - pairs.source.shape[1]
        source = flat(pairs.source, valid.shape[1])
        left = valid.copy()
        left.ravel()[source] &= ~pairs.merged
        self.counts = left.sum(1)
        rows = np.where(left, np.cumsum(left, axis=1) - 1, -1)
        into = np.where(pairs.merged, taken(rows, pairs.destination), taken(rows, pairs.source))
        rows.ravel()[source] = into
        self.rows, places = rows, flat(rows, self.length).ravel()
        self.token = np.flatnonzero(valid)
        self.place = places[self.token]
        weights = np.ones(valid.size) if sizes is None else sizes.ravel()
        total = np.bincount(self.place, weights[self.token], len(valid) * self.length)
        total = np.maximum(total, 1)
        self.sizes = total.reshape(len(valid), self.length)
        self.factors = np.zeros(valid.size)
        self.factors[self.token] = weights[self.token] / total[self.place]
        # of each row the token that is left, and the rows without one
        self.left = np.zeros(len(total), np.int64)
        self.left[places[left.ravel()]] = np.flatnonzero(left)
        self.empty = np.flatnonzero(np.arange(self.length) >= self.counts[:, None])
        # merged tokens whose rows are all different: one of each item
        merged = [one[chosen] for one, chosen in zip(source.T, pairs.merged.T, strict=True)]
        self.merged = [(token, places[token]) for token in merged]
        self.means = np.unique(places[source[pairs.merged]])

    @np.errstate(all="ignore")
    def __call__(self, x: Array) -> Array:
        """x (B, L, E) → y (B, length, E)"""
        factors, tokens = self.factors.astype(x.dtype)[:, None], x.reshape(-1, x.shape[2])
        y = tokens.take(self.left, axis=0)
        y[self.empty] = 0
        y[self.means] *= factors[self.left[self.means]]
        for token, place in self.merged:
            y[place] += tokens[token] * factors[token]
        return y.reshape(len(x), self.length, x.shape[2])

    @np.errstate(all="ignore")
    def backward(self, dy: Array) -> Array:
        """dy (B, length, E) → dx (B, L, E)"""
        dx = np.zeros((*self.shape, dy.shape[2]), dy.dtype)
        factors = self.factors[self.token].astype(dy.dtype)[:, None]
        rows = dy.reshape(-1, dy.shape[2])
        dx.reshape(-1, dy.shape[2])[self.token] = rows[self.place] * factors
        return dx
