"""A parameter: an array that is learned, its gradient, and whether it may change."""

from __future__ import annotations

from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from heedful._checks import numbers
from heedful.functional._dtypes import finite_cast
from heedful.layers._sums import plus
from heedful.layers._types import Array, DType, floating


class Parameter:
    """One array that is learned. Layers that share it hold the same object.

    Attributes
    ----------
    value : numpy.ndarray
        Changed in place and never exchanged, so whoever holds the array sees it learn.
    grad : numpy.ndarray or None
        Sum of the gradients since the last `clear`; None before the first.
    trainable : bool
        Where it is False no gradient is computed, and optimizers pass it by.
    regularizer
        A penalty that fit adds to the loss, see :mod:`heedful.training`; None for none.
    """

    __slots__ = ("__weakref__", "grad", "regularizer", "trainable", "value")

    def __init__(self, value: Array) -> None:
        given = numbers("value", value)
        # compiled steps go through the memory from end to end
        self.value: Array = np.ascontiguousarray(given, floating(given.dtype)).reshape(given.shape)
        if not self.value.flags.writeable:
            self.value = self.value.copy()
        self.grad: Array | None = None
        self.trainable = True
        self.regularizer: Any = None
        _OWNERS[id(self.value)] = self

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        for name, held in state[1].items():  # of a copy, or out of a pickle
            setattr(self, name, held)
        _OWNERS[id(self.value)] = self

    def buffer(self) -> Array | None:
        """Where a gradient is added; None if it is frozen."""
        if not self.trainable:
            return None
        if self.grad is None:
            self.grad = np.zeros_like(self.value)
        return self.grad

    def add(self, gradient: Array) -> None:
        if not self.trainable:
            return
        if gradient.shape != self.value.shape:
            raise ValueError(
                f"a gradient must have the parameter's shape {self.value.shape}: "
                f"got {gradient.shape}"
            )
        if self.grad is None:  # a copy: nobody else writes it
            with np.errstate(all="ignore"):
                self.grad = np.array(gradient, self.value.dtype, order="C")
        else:
            plus(self.grad, gradient, out=self.grad)

    def clear(self) -> None:
        if self.grad is not None:
            self.grad.fill(0)

    def assign(self, name: str, given: Any) -> None:
        """Takes over the numbers of an array of the same shape."""
        array = checked(name, given, self.value)
        if array.dtype != self.value.dtype:
            array = finite_cast(array, self.value.dtype)
        self.value[...] = array


# by the address of the array, which a parameter keeps as long as it lives
_OWNERS: WeakValueDictionary[int, Parameter] = WeakValueDictionary()


def owner_of(array: Any) -> Parameter | None:
    """The parameter whose array this very object is."""
    own = _OWNERS.get(id(array))
    return own if own is not None and own.value is array else None


def checked(name: str, given: Any, like: Array) -> Array:
    """The given numbers, if they can stand where `like` stands."""
    array = numbers(name, given)
    if array.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}: got {array.shape}")
    return array


def check_like(name: str, value: Array, shape: tuple[int, ...], dtype: DType) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}: got {value.shape}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must be of {dtype}: got {value.dtype}")
