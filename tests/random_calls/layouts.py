"""The same elements in another memory layout."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

LAYOUTS = (
    "contiguous", "fortran", "heads_inside", "reversed", "every_other", "sliced_depth",
    "unaligned", "swapped_bytes", "read_only",
)  # fmt: skip


def laid_out(array: Array, layout: str) -> Array:
    """An array of the same shape and elements; 16-bit types of ml_dtypes have no swapped bytes."""
    if layout == "contiguous" or array.ndim < 2:
        return array
    if layout == "fortran":
        return np.asfortranarray(array)
    if layout == "heads_inside":  # (…, L, H, D) in memory, as projections produce it
        if array.ndim < 3:
            return array
        return np.ascontiguousarray(array.swapaxes(-3, -2)).swapaxes(-3, -2)
    if layout == "reversed":
        return np.ascontiguousarray(array[..., ::-1, :])[..., ::-1, :]
    if layout == "every_other":
        return np.repeat(array, 2, axis=-2)[..., ::2, :]
    if layout == "sliced_depth":
        return np.concatenate([array, array], axis=-1)[..., : array.shape[-1]]
    if layout == "unaligned":
        if array.itemsize == 1 or array.size == 0:
            return array
        room = np.zeros(array.nbytes + 1, np.uint8)
        moved: Array = room[1:].view(array.dtype).reshape(array.shape)
        moved[...] = array
        return moved
    if layout == "swapped_bytes":
        if array.dtype.kind != "f":
            return array
        return array.astype(array.dtype.newbyteorder())
    assert layout == "read_only"
    array = array.copy()
    array.flags.writeable = False
    return array
