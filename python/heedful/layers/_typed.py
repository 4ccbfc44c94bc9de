"""Typed: a layer that computes in one floating type."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import numbers
from heedful.base._parameter import check_like
from heedful.base._types import Array, DType, floating
from heedful.functional._dtypes import finite_cast
from heedful.layers._trainable_layer import Layer


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
