"""The same array in another memory layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def heads_inside(array: Array) -> Array:
    """(…, H, L, D) whose memory is (…, L, H, D)."""
    return np.ascontiguousarray(array.swapaxes(-3, -2)).swapaxes(-3, -2)


def columns_apart(array: Array) -> Array:
    """Every third element of rows three times as long."""
    return np.repeat(array, 3, axis=-1)[..., 1::3]


def columns_first(array: Array) -> Array:
    """(…, L, D) whose memory is (…, D, L)."""
    return np.ascontiguousarray(array.swapaxes(-1, -2)).swapaxes(-1, -2)
