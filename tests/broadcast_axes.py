"""Gradients of inputs that were broadcast: sums over the axes and the heads that share them."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]


def sum_groups(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Adds the gradients of the query heads that share a key head: (…, Hkv, L, D)."""
    num_kv_heads = shape[-3] if len(shape) > 2 else 1
    *batch, heads, length, depth = gradient.shape
    groups = gradient.reshape(*batch, num_kv_heads, heads // num_kv_heads, length, depth)
    return groups.sum(axis=-3)


def sum_to(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Adds along the axes that an input of this shape was broadcast along."""
    padded = (1,) * (gradient.ndim - len(shape)) + shape
    stretched = tuple(axis for axis, size in enumerate(padded) if size == 1)
    return gradient.sum(axis=stretched, keepdims=True).reshape(shape)
