"""Steps over axes: sum, mean, maximum, softmax and its logarithm."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.base.tape._step import Found, step


@step()
def sum_(x: Any, axis: Any = None, keepdims: bool = False) -> Found:
    """The sum over one axis, several, or all."""
    shape = x.shape
    return np.asarray(x.sum(_axes(axis), keepdims=keepdims)), (
        lambda dy: np.broadcast_to(_expanded(dy, axis, len(shape)), shape),
    )


@step()
def mean(x: Any, axis: Any = None, keepdims: bool = False) -> Found:
    """The mean over one axis, several, or all."""
    shape = x.shape
    y = np.asarray(x.mean(_axes(axis), keepdims=keepdims))
    factor = y.dtype.type(y.size / x.size if x.size else 0)
    return y, (lambda dy: np.broadcast_to(_expanded(dy * factor, axis, len(shape)), shape),)


@step()
def max_(x: Any, axis: Any = None, keepdims: bool = False) -> Found:
    """The maximum over one axis, several, or all; equal elements share the gradient."""
    y = np.asarray(x.max(_axes(axis), keepdims=keepdims))

    def gradient(dy: Array) -> Array:
        is_maximum = (x == _expanded(y, axis, x.ndim)).astype(dy.dtype)
        share = _expanded(dy, axis, x.ndim) / is_maximum.sum(_axes(axis), keepdims=True)
        dx: Array = is_maximum * share
        return dx

    return y, (gradient,)


@step()
def softmax(x: Any, axis: int = -1) -> Found:
    """exp(x) / Σ exp(x), the sum over one axis."""
    y = np.exp(x - np.max(x, axis, keepdims=True))
    y /= y.sum(axis, keepdims=True)
    return y, (lambda dy: y * (dy - (dy * y).sum(axis, keepdims=True)),)


@step()
def log_softmax(x: Any, axis: int = -1) -> Found:
    """x − log Σ exp(x), the sum over one axis: finite where the softmax rounds to 0."""
    y = x - np.max(x, axis, keepdims=True)
    y -= np.log(np.exp(y).sum(axis, keepdims=True))
    return y, (lambda dy: dy - np.exp(y) * dy.sum(axis, keepdims=True),)


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _expanded(dy: Array, axis: Any, ndim: int) -> Array:
    """With axes of length 1 where the reduction removed them."""
    if dy.ndim == ndim:
        return dy
    if axis is None:
        return dy.reshape((1,) * ndim)
    return np.expand_dims(dy, _axes(axis))
