"""Steps that take arrays apart and put them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful._checks import size
from heedful.base._types import Array
from heedful.base.tape._step import Found, step


@step()
def index(x: Any, key: Any) -> Found:
    """x[key]: integers, slices, None and …, integer arrays and masks, as in NumPy."""
    shape = x.shape
    basic = all(_is_basic(part) for part in (key if isinstance(key, tuple) else (key,)))

    def gradient(dy: Array) -> Array:
        dx = np.zeros(shape, dy.dtype)
        if basic:
            dx[key] = dy
        else:  # an element may be taken several times
            np.add.at(dx, key, dy)
        return dx

    return np.asarray(x[key]), (gradient,)


def _is_basic(part: Any) -> bool:
    return part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))


@step(one_type=True, several=True)
def concatenate(arrays: Sequence[Any], axis: int = 0) -> Found:
    """Arrays joined along an axis that they have."""
    arrays = list(arrays)
    y = np.concatenate(arrays, axis)
    ends = np.cumsum([array.shape[axis] for array in arrays])
    return y, lambda dy: np.split(dy, ends[:-1], axis)


@step(one_type=True, several=True)
def stack(arrays: Sequence[Any], axis: int = 0) -> Found:
    """Arrays of one shape joined along a new axis."""
    return np.stack(list(arrays), axis), lambda dy: list(np.moveaxis(dy, axis, 0))


@step()
def split(x: Any, parts: int | Sequence[int], axis: int = 0) -> Found:
    """Parts along an axis, a tuple: a number of equal ones, or of these lengths.

    Lengths are as in PyTorch, not positions as in NumPy.
    """
    length = x.shape[axis]
    if isinstance(parts, (int, np.integer)):
        count = size("parts", parts)
        if length % count:
            raise ValueError(f"an axis of length {length} has no {count} equal parts")
        lengths = [length // count] * count
    else:
        lengths = [size("parts", part) for part in parts]
        if sum(lengths) != length:
            raise ValueError(f"parts must add up to {length}, the axis's length: got {lengths}")
    found = tuple(np.split(x, np.cumsum(lengths)[:-1], axis))

    def gradient(*dys: Array | None) -> Array:
        pairs = zip(dys, found, strict=True)
        parts = [np.zeros(part.shape, part.dtype) if dy is None else dy for dy, part in pairs]
        return np.concatenate(parts, axis)

    return found, (gradient,)
