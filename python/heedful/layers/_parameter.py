"""A parameter: an array that is learned, its gradient, and whether it may change."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import numbers
from heedful.layers._types import Array, floating


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

    __slots__ = ("grad", "regularizer", "trainable", "value")

    def __init__(self, value: Array) -> None:
        given = numbers("value", value)
        # compiled steps go through the memory from end to end
        self.value: Array = np.ascontiguousarray(given, floating(given.dtype)).reshape(given.shape)
        if not self.value.flags.writeable:
            self.value = self.value.copy()
        self.grad: Array | None = None
        self.trainable = True
        self.regularizer: Any = None

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
            self.grad = np.array(gradient, self.value.dtype, order="C")
        else:
            self.grad += gradient

    def clear(self) -> None:
        if self.grad is not None:
            self.grad.fill(0)

    def assign(self, name: str, given: Any) -> None:
        """Takes over the numbers of an array of the same shape."""
        self.value[...] = checked(name, given, self.value)


def checked(name: str, given: Any, like: Array) -> Array:
    """The given numbers, if they can stand where `like` stands."""
    array = numbers(name, given)
    if array.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}: got {array.shape}")
    return array
