"""Stateless: a layer without parameters, which computes in the type of what it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import numbers
from heedful.base._types import Array, DType, floating
from heedful.layers._trainable_layer import Layer
from heedful.layers._typed import as_typed

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Stateless(Layer):
    """A layer that computes in `dtype`, or where that is None in the type of what it is given.

    ======================================  =========
    given                                   computed in, and returned
    ======================================  =========
    float32, float16, bfloat16              float32
    float64, long double, integers, bools   float64
    ======================================  =========
    """

    dtype: DType | None

    def __init__(self, dtype: DTypeLike | None = None) -> None:
        self.dtype = None if dtype is None else floating(dtype)

    def array(self, name: str, given: ArrayLike, width: int | None = None) -> Array:
        """An input as an array of the type that is computed in, its last axis `width` long."""
        array = numbers(name, given)
        return as_typed(name, array, self.dtype or _own_type(array.dtype), width)

    def gradient(self, given: ArrayLike, shape: tuple[int, ...], dtype: DType) -> Array:
        """What comes back, of the type and the very shape of what went out."""
        array = as_typed("dy", numbers("dy", given), dtype)
        if array.shape != shape:
            raise ValueError(f"dy must have shape {shape}: got {array.shape}")
        return array


def _own_type(dtype: DType) -> DType:
    narrow = dtype.kind not in "biu" and dtype.itemsize <= 4
    return FLOAT32 if narrow else FLOAT64
