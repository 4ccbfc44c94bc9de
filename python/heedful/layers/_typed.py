"""Typed: a layer that computes in one floating type; Stateless: in that of what it is given."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import numbers
from heedful.base._parameter import check_like
from heedful.base._types import Array, DType, floating
from heedful.functional._dtypes import finite_cast
from heedful.layers._trainable_layer import Layer

FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


class Typed(Layer):
    """A layer that computes in one floating type, `dtype`.

    What it is given, real numbers of any type, is converted to it, and what it gives is of it.
    """

    dtype: DType

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype = floating(dtype)

    def array(self, name: str, given: ArrayLike, width: int | None = None) -> Array:
        """An input as an array of the layer's type, its last axis `width` long."""
        return as_typed(name, numbers(name, given), self.dtype, width)

    def optional(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """A parameter that a layer may lack, fit for compiled functions."""
        value: Array | None = getattr(self, name)
        if value is None:
            return None
        if name not in self.own_parameters():
            raise TypeError(f"{name} must be a Parameter or None: got {type(value).__name__}")
        check_like(name, value, shape, self.dtype)
        return value

    def gradient(self, given: ArrayLike, shape: tuple[int, ...]) -> Array:
        """What comes back: an array of the layer's type, of the very shape that went out."""
        array = self.array("dy", given)
        if array.shape != shape:
            raise ValueError(f"dy must have shape {shape}: got {array.shape}")
        return array


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


def as_typed(name: str, array: Array, dtype: DType, width: int | None = None) -> Array:
    """The array as compiled functions read it: of this type, aligned, its last axis so long."""
    if array.dtype != dtype:
        array = finite_cast(array, dtype)
    if not array.flags.aligned:  # compiled functions go from number to number
        array = array.copy()
    if width is not None and (array.ndim == 0 or array.shape[-1] != width):
        raise ValueError(
            f"{name} must have {width} numbers in its last axis: got shape {array.shape}"
        )
    return array


def _own_type(dtype: DType) -> DType:
    narrow = dtype.kind not in "biu" and dtype.itemsize <= 4
    return FLOAT32 if narrow else FLOAT64
