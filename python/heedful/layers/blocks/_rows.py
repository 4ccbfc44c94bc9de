"""Arrays as rows, for compiled functions."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array


def as_rows(array: Array) -> Array:
    """(…, width) as (rows, width), contiguous along the last axis; a copy only if necessary."""
    rows = (
        array.reshape(-1, array.shape[-1])
        if array.shape[-1]
        else array.reshape(int(np.prod(array.shape[:-1])), 0)
    )
    if rows.shape[1] > 1 and rows.strides[1] != rows.itemsize:
        return np.ascontiguousarray(rows)
    if rows.shape[0] > 1 and rows.strides[0] < rows.shape[1] * rows.itemsize:
        return np.ascontiguousarray(rows)
    return rows
