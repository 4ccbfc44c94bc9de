"""Placement: where a bias or a mask of a text stands in the scores of one call."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.functional._shapes import broadcasts, summed


class Placement(NamedTuple):
    """Of arrays (Lk,), (Lq, Lk) or (B, H, Lq, Lk), whose axes may be 1.

    shape : of the scores, (…, H, Lq, Lk)
    heads : those that the arrays are of; None for all
    first : the position in its text of the first query, () or (B,); None: not known
    first_key : that of the first key; None: axes must match
    items : the items of the arrays that the rows of the batch continue; None: their own
    layer : its name
    """

    shape: tuple[int, ...]
    heads: tuple[int, ...] | None
    first: Array | None
    first_key: Array | None
    items: Array | None
    layer: str

    @classmethod
    def of(cls, call: Any, layer: str, heads: tuple[int, ...] | None) -> Placement:
        first, first_key = (
            None if position is None else np.asarray(position, np.int64)
            for position in (call.first, call.first_key)
        )
        return cls(call.shape, heads, first, first_key, call.items, layer)

    def placed(self, name: str, array: Array, nothing: Any) -> Array:
        """The array for the scores of the call; `nothing` where it says nothing."""
        heads, length, keys = self.shape[-3:]
        found: Array = array.reshape((1,) * (4 - array.ndim) + array.shape)
        if self.items is not None and len(found) > 1:
            if self.items.max(initial=-1) >= len(found):
                raise self._misfit(name, array)
            found = found[self.items]
        if self.first_key is not None:
            found = self._queries(name, found, length, nothing)
            found = _columns(found, self.first_key, keys, nothing)
        if self.heads is not None:
            if found.shape[1] not in (1, len(self.heads)):
                raise self._misfit(name, array)
            size = len(found), heads, *found.shape[2:]
            whole: Array = np.full(size, nothing, found.dtype)
            whole[:, list(self.heads)] = found
            found = whole
        if len(self.shape) < 4 and len(found) == 1:
            found = found[0]  # a single sequence
        if not broadcasts(found.shape, self.shape):
            raise self._misfit(name, array)
        return found

    def gradient(self, dscores: Array, shape: tuple[int, ...]) -> Array:
        """That of an array of this shape, without a cache, from that of the sum of all biases."""
        found = dscores.reshape((1,) * (len(self.shape) - dscores.ndim) + dscores.shape)
        if self.heads is not None:
            found = found[..., list(self.heads), :, :]
        whole = (1,) * (found.ndim - len(shape)) + shape
        if len(whole) > found.ndim:
            found = found.reshape((1,) * (len(whole) - found.ndim) + found.shape)
        return summed(found, whole).reshape(shape)

    def _queries(self, name: str, array: Array, length: int, nothing: Any) -> Array:
        """The rows of the queries of this call, of an array (B or 1, H, L, Lk)."""
        rows = array.shape[2]
        if rows == 1:
            return array
        if self.first is None:
            raise ValueError(
                f"{name} must have one row for all queries in {self.layer!r}, whose cache does not "
                f"tell their positions: got {rows}"
            )
        positions = np.atleast_1d(self.first)[:, None] + np.arange(length)  # (B or 1, Lq)
        inside = positions < rows
        if len(positions) == 1:
            found = array[:, :, np.where(inside, positions, 0)[0]]
        else:
            items = np.arange(len(positions)) if len(array) > 1 else np.zeros(len(positions), int)
            found = array[items[:, None], :, np.where(inside, positions, 0)]  # (B, Lq, H, Lk)
            found = found.swapaxes(1, 2)
        return np.where(inside[:, None, :, None], found, nothing)

    def _misfit(self, name: str, array: Array) -> ValueError:
        chosen = "" if self.heads is None else f" with {len(self.heads)} heads"
        return ValueError(
            f"{name} must broadcast to the scores of {self.layer!r}, {self.shape}{chosen}: "
            f"got shape {array.shape}"
        )


def _columns(array: Array, first: Array, keys: int, nothing: Any) -> Array:
    """Those from position `first`, () or (B,), of the last axis; `nothing` outside it."""
    if array.shape[-1] == 1:
        return array
    positions = np.atleast_1d(first)[:, None] + np.arange(keys)  # (B or 1, keys)
    inside = (positions >= 0) & (positions < array.shape[-1])
    index, inside = (each[:, None, None] for each in (np.where(inside, positions, 0), inside))
    if len(index) == 1:
        return np.where(inside, array[..., index.ravel()], nothing)
    array = np.broadcast_to(array, (len(index), *array.shape[1:]))
    return np.where(inside, np.take_along_axis(array, index, -1), nothing)
