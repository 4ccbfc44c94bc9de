"""Rows of items: taken from (B, L, …), and gradients put back."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array


def flat(index: Array, length: int) -> Array:
    """Rows (B, K) of items as rows of (B · length, …)."""
    places: Array = index + length * np.arange(len(index))[:, None]
    return places


def taken(x: Array, index: Array) -> Array:
    """y[b, k] = x[b, index[b, k]]; x (B, L, …), index (B, K) → y (B, K, …)."""
    rows = x.reshape(-1, *x.shape[2:])
    return rows.take(flat(index, x.shape[1]), axis=0)


def put_back(dy: Array, index: Array, length: int) -> Array:
    """The gradient of x: 0 where nothing was taken; no row was taken twice."""
    dx = np.zeros((len(dy) * length, *dy.shape[2:]), dy.dtype)
    dx[flat(index, length)] = dy
    return dx.reshape(len(dy), length, *dy.shape[2:])
