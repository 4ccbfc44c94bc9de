"""Sums of activations and of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array


@np.errstate(all="ignore")
def plus(one: Any, other: Any, out: Array | None = None) -> Array:
    """one + other; overflow gives inf and underflow 0, whatever numpy.errstate says."""
    total: Array = np.add(one, other, out=out)
    return total


@np.errstate(all="ignore")
def times(array: Array, factor: Any) -> Array:
    """array · factor, likewise."""
    product: Array = array * factor
    return product


@np.errstate(all="ignore")
def add_sum_of_rows(rows: Array, total: Array) -> None:
    """total += Σ rows, likewise; accumulated in float64, as there may be very many."""
    total += rows.sum(0, dtype=np.float64)
