"""A pooler: a dense layer that makes one vector of the first of each item."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful._checks import flag
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward
from heedful.layers.blocks._linear import Linear


def asked(pooler: Linear | None, pooled: bool) -> Linear | None:
    """The pooler, if its vector is asked for."""
    if not flag("pooled", pooled):
        return None
    if pooler is None:
        raise ValueError("pooled must be False: the model has no pooler")
    return pooler


def with_pooled(
    mode: Mode, pooler: Linear | None, y: Array
) -> tuple[tuple[Array, ...], Callable[..., Any]]:
    """(y, pooled), or (y,) without a pooler, and the function from their gradients to dy."""
    if pooler is None:
        return (y,), lambda dy, dpooled=None: dy
    vector, back = pooler.compute(mode, y[..., 0, :])
    return (y, vector), _backward(back, y.dtype)


def _backward(back: Backward, dtype: Any) -> Callable[..., Any]:
    def backward(dy: Any, dpooled: Any = None) -> Any:
        if dpooled is None:
            return dy
        dy = np.array(dy, dtype)
        dy[..., 0, :] = plus(dy[..., 0, :], back(dpooled))
        return dy

    return backward
