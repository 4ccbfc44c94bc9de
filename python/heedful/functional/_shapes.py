"""Shapes of one call: what the axes mean, how they must agree, into "bhld" order and back."""

from typing import NamedTuple

import numpy as np

from heedful.functional._checks import one_of
from heedful.functional._dtypes import Array

LAYOUTS = ("bhld", "blhd")


class Axes(NamedTuple):
    """The sizes of one call; a packed batch has no leading axes."""

    batch: tuple[int, ...]
    heads: int
    kv_heads: int
    query_length: int
    key_length: int
    depth: int
    value_depth: int

    @property
    def rows(self) -> tuple[int, ...]:
        """(*batch, H, Lq): one output row, one log-sum-exp each."""
        return (*self.batch, self.heads, self.query_length)

    @property
    def scores(self) -> tuple[int, ...]:
        return (*self.batch, self.heads, self.query_length, self.key_length)


class Layout(NamedTuple):
    """How the caller sees the results: with 1, 2 or more axes, heads before or after the rows."""

    axes: int
    length_first: bool

    def inward(self, array: Array) -> Array:
        """A view in "bhld" order with three axes at least."""
        if array.ndim == 2:
            return array[np.newaxis]
        if array.ndim < 2:
            return array[np.newaxis, np.newaxis]
        return np.swapaxes(array, -3, -2) if self.length_first else array

    @property
    def missing(self) -> int:
        """How many of (H, Lq) the caller did not give."""
        return max(0, 3 - self.axes)

    def outward(self, array: Array) -> Array:
        """lse (*batch, H, Lq), weights (*batch, H, Lq, Lk), without axes that nobody gave."""
        return array if self.axes > 2 else array[0] if self.axes == 2 else array[0, 0]

    def like(self, array: Array, given: Array) -> Array:
        """Back from "bhld" order to the axes of a given query, key or value."""
        if given.ndim < 3:
            array = array[(0,) * (3 - given.ndim)]
            return array
        return np.swapaxes(array, -3, -2) if self.length_first else array

    def shape(self, batch: tuple[int, ...], heads: int, length: int, depth: int) -> tuple[int, ...]:
        """What the caller sees of an array (*batch, heads, length, depth) of one row a query."""
        if self.axes > 2:
            middle = (length, heads) if self.length_first else (heads, length)
            return (*batch, *middle, depth)
        return (length, depth) if self.axes == 2 else (depth,)


def check_layout(layout: str) -> bool:
    """Whether the rows stand before the heads."""
    return one_of("layout", layout, LAYOUTS) == "blhd"


def check_number_of_axes(query: Array, key: Array, value: Array) -> int:
    """How many axes the result has: 1 for a single query, else those of the largest input."""
    for name, array in (("key", key), ("value", value)):
        if array.ndim < 2:
            length = array.shape[0] if array.ndim else "L"
            raise ValueError(
                f"{name} must have a row for each key, write (L, 1) for a column of numbers: "
                f"got shape {array.shape}, reshape it to ({length}, 1)"
            )
    if query.ndim == 0:
        raise ValueError("query must have one axis at least: got shape ()")
    if query.ndim > 1:
        return max(query.ndim, key.ndim, value.ndim)
    for name, array in (("key", key), ("value", value)):
        if array.ndim != 2:
            raise ValueError(
                f"a query of one axis needs a {name} of two: "
                f"query has shape {query.shape}, {name} has {array.shape}"
            )
    return 1


def check_packed_axes(query: Array, key: Array, value: Array) -> None:
    for name, array in (("query", query), ("key", key), ("value", value)):
        if array.ndim != 3:
            raise ValueError(f"{name} must have shape (tokens, heads, depth): got {array.shape}")


def check_axes(query: Array, key: Array, value: Array) -> Axes:
    """The sizes of three arrays in "bhld" order, with three axes at least."""
    heads, query_length, depth = query.shape[-3:]
    kv_heads, key_length, key_depth = key.shape[-3:]
    value_heads, value_length, value_depth = value.shape[-3:]
    if key_depth != depth:
        raise ValueError(
            f"key and query must have the same depth: query has {depth}, key has {key_depth}"
        )
    if value_length != key_length:
        raise ValueError(
            "value and key must have the same length: "
            f"key has {key_length}, value has {value_length}"
        )
    if value_heads != kv_heads:
        raise ValueError(
            "value and key must have the same number of heads: "
            f"key has {kv_heads}, value has {value_heads}"
        )
    if heads != kv_heads and (kv_heads == 0 or heads % kv_heads):
        raise ValueError(
            "the heads of query must be a multiple of the heads of key: "
            f"query has {heads}, key has {kv_heads}"
        )
    batch = query.shape[:-3]
    if key.shape[:-3] != batch or value.shape[:-3] != batch:
        batch = _broadcast(batch, key.shape[:-3], value.shape[:-3])
    return Axes(batch, heads, kv_heads, query_length, key_length, depth, value_depth)


def _broadcast(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            "the leading axes of query, key and value must broadcast: "
            f"query has {shapes[0]}, key has {shapes[1]}, value has {shapes[2]}"
        ) from None


def broadcasts(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether an array of this shape repeats to the target without changing it."""
    return len(shape) <= len(target) and all(
        size in (1, wanted) for size, wanted in zip(reversed(shape), reversed(target), strict=False)
    )


def summed(array: Array, shape: tuple[int, ...]) -> Array:
    """The sum over every axis that an array of this shape is repeated along."""
    if array.shape == shape:
        return array
    extra = array.ndim - len(shape)
    repeated = tuple(range(extra)) + tuple(
        extra + axis
        for axis, size in enumerate(shape)
        if size == 1 and array.shape[extra + axis] != 1
    )
    total = array.sum(axis=repeated, keepdims=True) if repeated else array
    return total.reshape(shape)
