"""Steps that change the axes of an array, not its elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base.tape._step import Found, step, summed_to


@step()
def reshape(x: Any, shape: Any) -> Found:
    """The same elements in another shape; one length may be −1."""
    before = x.shape
    return np.reshape(x, shape), (lambda dy: dy.reshape(before),)


@step()
def transpose(x: Any, axes: Any = None) -> Found:
    """The axes in another order; None for the reverse one."""
    back = None if axes is None else np.argsort([axis % x.ndim for axis in axes])
    return np.transpose(x, axes), (lambda dy: np.transpose(dy, back),)


@step()
def swapaxes(x: Any, one: int, other: int) -> Found:
    """Two axes exchanged."""
    return np.swapaxes(x, one, other), (lambda dy: np.swapaxes(dy, one, other),)


@step()
def expand_dims(x: Any, axis: Any) -> Found:
    """With an axis of length 1 at this place, or several."""
    before = x.shape
    return np.expand_dims(x, axis), (lambda dy: dy.reshape(before),)


@step()
def squeeze(x: Any, axis: Any = None) -> Found:
    """Without axes of length 1: one, several, or all of them."""
    before = x.shape
    return np.squeeze(x, axis), (lambda dy: dy.reshape(before),)


@step()
def broadcast_to(x: Any, shape: Any) -> Found:
    """x repeated to a shape, as in NumPy."""
    before = x.shape
    return np.broadcast_to(x, shape), (lambda dy: summed_to(dy, before),)
