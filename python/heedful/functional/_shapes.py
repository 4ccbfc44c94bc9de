"""Shapes of one call: what the axes mean, how they must agree, and sums over broadcast ones."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from heedful._checks import listed
from heedful.functional._dtypes import Array
from heedful.functional._layout import Layout, Shape

MAX_AXES = 64 if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else 32  # of any array


class Axes(NamedTuple):
    """The sizes of one call; a packed batch has no leading axes."""

    batch: Shape
    heads: int
    kv_heads: int
    query_length: int
    key_length: int
    depth: int
    value_depth: int
    layout: Layout
    out: Shape  # as the caller sees it

    @property
    def rows(self) -> Shape:
        """(*batch, H, Lq): one output row, one log-sum-exp each."""
        return (*self.batch, self.heads, self.query_length)

    @property
    def scores(self) -> Shape:
        return (*self.batch, self.heads, self.query_length, self.key_length)


def check_axes(
    query: Shape, key: Shape, value: Shape, length_first: bool,
    names: Sequence[str] = ("query", "key", "value"),
) -> Axes:  # fmt: skip
    """The common sizes of three shapes in the caller's layout; `names` are the arguments."""
    layout = Layout(_number_of_axes(query, key, value), length_first)
    query, key, value = map(layout.inward_shape, (query, key, value))
    heads, query_length, depth = query[-3:]
    kv_heads, key_length, key_depth = key[-3:]
    value_heads, value_length, value_depth = value[-3:]
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
    batch = broadcast_batches(names, (query[:-3], key[:-3], value[:-3]))
    out = layout.shape(batch, heads, query_length, value_depth)
    return Axes(batch, heads, kv_heads, query_length, key_length, depth, value_depth, layout, out)


def _number_of_axes(query: Shape, key: Shape, value: Shape) -> int:
    """How many axes the result has: 1 for a single query, else those of the largest input."""
    for name, shape in (("key", key), ("value", value)):
        if len(shape) < 2:
            length = shape[0] if shape else "L"
            raise ValueError(
                f"{name} must have a row for each key, write (L, 1) for a column of numbers: "
                f"got shape {shape}, reshape it to ({length}, 1)"
            )
    if not query:
        raise ValueError("query must have one axis at least: got shape ()")
    if len(query) > 1:
        return max(len(query), len(key), len(value))
    for name, shape in (("key", key), ("value", value)):
        if len(shape) != 2:
            raise ValueError(
                f"a query of one axis needs a {name} of two: "
                f"query has shape {query}, {name} has {shape}"
            )
    return 1


def broadcast_batches(names: Sequence[str], shapes: Sequence[Shape], hint: str = "") -> Shape:
    """The leading axes of all, broadcast."""
    together = broadcast(*shapes)
    if together is None:
        found = (f"{name} has {shape}" for name, shape in zip(names, shapes, strict=False))
        raise ValueError(
            f"the leading axes of {listed(names)} must broadcast{hint}: {', '.join(found)}"
        )
    return together


def check_axes_left(name: str, array: Array) -> None:
    """One more axis, for the heads, must be within NumPy's limit."""
    if array.ndim >= MAX_AXES:
        raise ValueError(f"{name} must have at most {MAX_AXES - 1} axes: got {array.ndim}")


def broadcast(*shapes: Shape) -> Shape | None:
    """As numpy.broadcast_shapes, which is limited to 32 axes; None where they do not fit."""
    axes = max(map(len, shapes))
    together = []
    for sizes in zip(*((1,) * (axes - len(shape)) + shape for shape in shapes), strict=True):
        larger = {size for size in sizes if size != 1}
        if len(larger) > 1:
            return None
        together.append(larger.pop() if larger else 1)
    return tuple(together)


def broadcasts(shape: Shape, target: Shape) -> bool:
    """Whether an array of this shape broadcasts to the target without changing it."""
    return len(shape) <= len(target) and all(
        size in (1, wanted) for size, wanted in zip(reversed(shape), reversed(target), strict=False)
    )


def summed(array: Array, shape: Shape) -> Array:
    """The sum over every axis along which an array of this shape was broadcast."""
    extra = array.ndim - len(shape)
    repeated = tuple(range(extra)) + tuple(
        extra + axis
        for axis, size in enumerate(shape)
        if size == 1 and array.shape[extra + axis] != 1
    )
    if repeated:  # in float64: the axes may be long
        array = array.sum(axis=repeated, keepdims=True, dtype=np.float64)
    return array.reshape(shape)
