"""Dense layers of int8 in plain NumPy, with exact integers: the oracle of what is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def weight_as_int8(weight: Array) -> tuple[Array, Array]:
    """(Out, In) → int8 (Out, In) and float32 scales (Out,): the maximum of a row becomes ±127."""
    largest = np.array([max(abs(float(element)) for element in row) for row in weight])
    scale = (largest.astype(np.float32) / np.float32(127)).astype(np.float32)
    safe = np.where(scale == 0, np.float32(1), scale)
    return np.round(weight / safe[:, None]).clip(-127, 127).astype(np.int8), scale


def rows_as_uint8(x: Array) -> tuple[Array, Array, Array]:
    """(N, In) → integers from 0 to 255 as int64, scales float32 (N, 1), zeros int64 (N, 1)."""
    low = np.minimum(x.min(-1, keepdims=True, initial=0), 0).astype(np.float32)
    high = np.maximum(x.max(-1, keepdims=True, initial=0), 0).astype(np.float32)
    full = np.float32(255)
    scale = np.maximum(high / full - low / full, np.finfo(np.float32).tiny)
    inverse = np.float32(1) / scale
    zero = -np.round(low * inverse).astype(np.int64)
    q = np.minimum(np.round(x * inverse).astype(np.int64) + zero, 255)
    return q, scale, zero


def sums(x: Array, value: Array) -> Array:
    """Exact: Σ_k (q − zero) · value, int64 (N, Out)."""
    q, _, zero = rows_as_uint8(x)
    return (q - zero) @ value.astype(np.int64).T


def product(x: Array, value: Array, scale: Array) -> Array:
    """x Wᵀ in float32, by the same roundings as the compiled one."""
    x_scale = rows_as_uint8(x)[1]
    return (sums(x, value).astype(np.float32) * scale) * x_scale
