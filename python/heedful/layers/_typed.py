"""Typed: a layer that computes in one floating type; Stateless: in that of its input."""

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

    Inputs, real numbers of any type, are converted to it; outputs have it.
    """

    dtype: DType

    def __init__(self, dtype: DTypeLike = np.float32) -> None:
        self.dtype = floating(dtype)

    def array(self, name: str, given: ArrayLike, width: int | None = None) -> Array:
        """An input as an array of the layer's type, with a last axis of length `width`."""
        if (  # a step of generation asks a hundred times, mostly of arrays that fit
            type(given) is np.ndarray
            and given.dtype == self.dtype
            and given.flags.aligned
            and (width is None or (given.ndim and given.shape[-1] == width))
        ):
            return given
        return as_typed(name, numbers(name, given), self.dtype, width)

    def optional(self, name: str, shape: tuple[int, ...]) -> Array | None:
        """An optional parameter, checked for compiled functions."""
        own = self.own_parameters().get(name)  # as an attribute it is found last, by __getattr__
        if own is None:
            given = getattr(self, name)
            if given is None:
                return None
            raise TypeError(f"{name} must be a Parameter or None: got {type(given).__name__}")
        check_like(name, own.value, shape, self.dtype)
        return own.value

    def gradient(self, given: ArrayLike, shape: tuple[int, ...]) -> Array:
        """An incoming gradient, as an array of the layer's type and exactly of this shape."""
        array = self.array("dy", given)
        if array.shape != shape:
            raise ValueError(f"dy must have shape {shape}: got {array.shape}")
        return array


class Stateless(Layer):
    """A layer that computes in `dtype`, or if that is None in the type of its input.

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
        """An input as an array of the computing type, with a last axis of length `width`."""
        array = numbers(name, given)
        return as_typed(name, array, self.dtype or _own_type(array.dtype), width)

    def gradient(self, given: ArrayLike, shape: tuple[int, ...], dtype: DType) -> Array:
        """An incoming gradient, as an array of this type and exactly of this shape."""
        array = as_typed("dy", numbers("dy", given), dtype)
        if array.shape != shape:
            raise ValueError(f"dy must have shape {shape}: got {array.shape}")
        return array


def as_typed(name: str, array: Array, dtype: DType, width: int | None = None) -> Array:
    """The array as compiled functions need it: of this type, aligned, of this width."""
    if array.dtype != dtype:
        array = finite_cast(array, dtype)
    if not array.flags.aligned:  # compiled functions read element by element
        array = array.copy()
    if width is not None and (array.ndim == 0 or array.shape[-1] != width):
        raise ValueError(
            f"{name} must have {width} elements in its last axis: got shape {array.shape}"
        )
    return array


def _own_type(dtype: DType) -> DType:
    narrow = dtype.kind not in "biu" and dtype.itemsize <= 4
    return FLOAT32 if narrow else FLOAT64
