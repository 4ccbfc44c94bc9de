"""A parameter: an array that is learned, its gradient, and whether it may change."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named
from heedful.layers._types import Array


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
        self.value = value
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
        if self.grad is None:
            self.grad = np.array(gradient, self.value.dtype)  # a copy: nobody else writes it
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
    array = np.asarray(given)
    if array.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}: got {array.shape}")
    bfloat16 = array.dtype.kind == "V" and array.dtype.name == "bfloat16"
    if array.dtype.kind not in "fiub" and not bfloat16:
        raise TypeError(f"{name} must hold numbers: got {named(array)}")
    return array
