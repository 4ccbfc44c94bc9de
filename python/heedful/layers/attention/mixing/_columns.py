"""Sequences as columns: a feature is a row, whose elements are the positions.

Dense products across positions are those of :class:`Linear` on such rows.
"""

from __future__ import annotations

import numpy as np

from heedful._core import native
from heedful._core._memory import empty
from heedful.base._sums import add_sum_of_rows
from heedful.base._types import Array
from heedful.layers.blocks._rows import as_rows


def columns(x: Array, length: int | None = None) -> Array:
    """(…, L, E) as (…, E, length), with zeros past the end; None is L."""
    *batch, own, width = x.shape
    length = own if length is None else length
    found = empty((*batch, width, length), x.dtype)
    found[..., :own] = x.swapaxes(-1, -2)
    found[..., own:] = 0
    return found


def spread(x: Array, weight: Array, bias: Array, lower: bool) -> Array:
    """y[…, i] = Σ_j weight[i, j] x[…, j] + bias[i], with `lower` over j ≤ i.

    x, y (…, E, L), weight (L, L), which is 0 above the diagonal if `lower`.
    """

    def product(x: Array) -> Array:
        y = empty(x.shape, x.dtype)
        native.linear_forward(as_rows(x), weight, bias, None, "", None, as_rows(y))
        return y

    y = product(x)
    if not lower or np.isfinite(y).all():
        return y
    bad = ~np.isfinite(x)
    return _apart(y, product(np.where(bad, x.dtype.type(0), x)), np.logical_or.accumulate(bad, -1))


def spread_back(dy: Array, weight: Array, lower: bool) -> Array:
    """The gradient of x: dx[…, j] = Σ_i weight[i, j] dy[…, i]."""

    def product(dy: Array) -> Array:
        dx = empty(dy.shape, dy.dtype)
        native.linear_gradient_input(as_rows(dy), weight, as_rows(dx), False)
        return dx

    dx = product(dy)
    if not lower or np.isfinite(dx).all():
        return dx
    bad = ~np.isfinite(dy)
    seeing = np.logical_or.accumulate(bad[..., ::-1], -1)[..., ::-1]
    return _apart(dx, product(np.where(bad, dy.dtype.type(0), dy)), seeing)


def _apart(product: Array, without_bad: Array, sees_bad: Array) -> Array:
    """NaN and ∞ where they are seen alone: in a product of all positions 0 · NaN is NaN."""
    return np.where(sees_bad, product, without_bad)


def spread_gradients(
    dy: Array, x: Array, dweight: Array | None, dbias: Array | None, lower: bool
) -> None:
    """Adds the gradients of weight (L, L), up to the diagonal if `lower`, and of bias (L,)."""
    if dweight is None:
        if dbias is not None:
            add_sum_of_rows(as_rows(dy), dbias)
        return
    own = np.zeros(dweight.shape, x.dtype) if lower else dweight
    native.linear_gradient_weight(as_rows(dy), as_rows(x), own, dbias)
    if lower:
        dweight += np.tril(own)
