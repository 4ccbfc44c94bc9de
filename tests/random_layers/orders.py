"""Orders: the same elements in another memory order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

ORDERS = ("C", "F", "strided", "reversed", "read-only", "float64", "byte-swapped", "unaligned")


def in_order(order: str, array: Array) -> Array:
    """An array that is equal to this one; "float64" is another type with the same values."""
    if order == "F":
        return np.asarray(array, order="F")
    if order == "float64" and array.dtype.kind == "f":
        return array.astype(np.float64)
    if order == "byte-swapped":
        return array.astype(array.dtype.newbyteorder())
    if order == "reversed" and array.ndim:
        return array[..., ::-1].copy()[..., ::-1]
    if order == "strided" and array.ndim:
        wide = np.repeat(array, 2, -1)
        wide[..., 1::2] = np.nan if array.dtype.kind == "f" else 0
        return wide[..., ::2]
    if order == "unaligned":
        memory = np.empty(array.nbytes + 1, np.uint8)
        moved = memory[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    copy = array.copy()
    copy.flags.writeable = order != "read-only"
    return copy
