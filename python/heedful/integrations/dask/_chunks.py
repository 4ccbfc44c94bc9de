"""Arrays as chunks along the queries and the keys, and results from such chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeVar

import numpy as np

from heedful._checks import as_array
from heedful.integrations._key_pieces import Span, length_axis

da: Any = import_module("dask.array")  # its functions have no types

Chunks = tuple[int, ...]
Part = TypeVar("Part")

FAN_IN = 8  # results that one task merges or adds


def as_dask(name: str, given: Any, layout: str | None = None) -> Any:
    """A dask array of anything with a shape and slices; with a layout, in chunks of its length."""
    if isinstance(given, da.Array):
        if np.isnan(given.shape).any():
            raise ValueError(
                f"{name} must have chunks of known sizes, see compute_chunk_sizes: "
                f"got shape {given.shape}"
            )
        return given
    if not (hasattr(given, "shape") and hasattr(given, "dtype")):
        given = as_array(name, given)
    axes = len(given.shape)
    axis = None if layout is None or axes < 2 else length_axis(axes, layout)
    chunks = tuple("auto" if n == axis else -1 for n in range(axes))
    return da.from_array(given, chunks, name=False)  # its contents are not hashed


def pieces(array: Any, axis: int, sizes: Chunks) -> list[Any]:
    """Delayed arrays: the chunks along one axis, whole along all others."""
    chunks = tuple(sizes if n == axis else -1 for n in range(array.ndim))
    return list(array.rechunk(chunks).to_delayed(optimize_graph=False).ravel())


def spans(sizes: Chunks) -> list[Span]:
    """The first and one past the last element of each chunk."""
    ends = np.cumsum(sizes).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def score_sizes(shape: tuple[int, ...], rows: Chunks, keys: Chunks) -> tuple[Chunks, ...]:
    """Chunks of the last two axes of a mask or a bias: axes of size 1 are not cut."""
    found = zip((rows, keys)[-len(shape) :] if shape else (), shape[-2:], strict=True)
    return tuple(sizes if size == sum(sizes) else (size,) for sizes, size in found)


def score_pieces(array: Any, rows: Chunks, keys: Chunks) -> list[list[Any]]:
    """The chunks of a mask or a bias, [rows][keys]; an axis of size 1 is in all of them."""
    own = score_sizes(array.shape, rows, keys)
    blocks = array.rechunk((-1,) * (array.ndim - len(own)) + own) if array.ndim else array
    grid = (1,) * (2 - len(own)) + tuple(map(len, own))
    found = blocks.to_delayed(optimize_graph=False).reshape(grid)
    cut: list[list[Any]] = np.broadcast_to(found, (len(rows), len(keys))).tolist()
    return cut


def tree(reduce: Callable[[list[Part]], Part], parts: Sequence[Part]) -> Part:
    """Reduce eight at a time, so that no task waits for all others."""
    while True:
        parts = [reduce(list(parts[n : n + FAN_IN])) for n in range(0, len(parts), FAN_IN)]
        if len(parts) == 1:
            return parts[0]


def joined(
    blocks: Sequence[Any], shape: tuple[int, ...], axis: int, sizes: Chunks, dtype: Any
) -> Any:
    """One dask array of delayed chunks along an axis; None is a chunk of zeros."""
    arrays = []
    for block, size in zip(blocks, sizes, strict=True):
        own = (*shape[:axis], size, *shape[axis + 1 :])
        if block is None:
            arrays.append(da.zeros(own, dtype, chunks=-1))
        else:
            arrays.append(da.from_delayed(block, own, dtype=dtype))
    return da.concatenate(arrays, axis) if shape else arrays[0]


def joined_scores(blocks: list[list[Any]], like: Any, rows: Chunks, keys: Chunks) -> Any:
    """The gradient of a bias from its delayed chunks [rows][keys], None those of zeros."""
    own, dtype = score_sizes(like.shape, rows, keys), like.dtype
    if len(own) < 2:
        return joined(blocks[0], like.shape, 0, own[0] if own else (1,), dtype)
    lines = [
        joined(line, (*like.shape[:-2], size, like.shape[-1]), like.ndim - 1, own[1], dtype)
        for line, size in zip(blocks, own[0], strict=True)
    ]
    return da.concatenate(lines, like.ndim - 2)
