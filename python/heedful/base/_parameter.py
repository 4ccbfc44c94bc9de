"""A parameter: a trainable array, its gradient, and whether it may change."""

from __future__ import annotations

import sys
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from heedful._checks import numbers
from heedful.base._sums import plus
from heedful.base._types import Array, DType, floating
from heedful.functional._dtypes import finite_cast


class Parameter:
    """A trainable array. Layers that share it hold the same object.

    Attributes
    ----------
    value : numpy.ndarray
        Changed in place and never replaced, so every reference to the array stays valid.
    grad : numpy.ndarray or None
        Sum of the gradients since the last `clear`. None if nothing was added since: optimizers
        then leave the parameter unchanged.
    trainable : bool
        If False no gradient is computed, and optimizers skip it.
    regularizer
        A penalty that fit adds to the loss, see :mod:`heedful.training`; None for none.
    """

    trainable: bool

    __slots__ = ("__weakref__", "_spare", "grad", "regularizer", "trainable", "value")

    def __init__(self, value: Array) -> None:
        given = numbers("value", value)
        # compiled optimizer steps traverse the memory linearly
        value = np.require(given, floating(given.dtype), ["C", "ALIGNED"])
        value = value.reshape(given.shape)
        self.hold(value if value.flags.writeable else value.copy())
        self.grad: Array | None = None
        self._spare: Array | None = None  # memory of the last gradient, for the next one
        self.trainable = True
        self.regularizer: Any = None

    def __repr__(self) -> str:
        frozen = "" if self.trainable else ", frozen"
        return f"{type(self).__name__}({self.value.shape}, {self.value.dtype}{frozen})"

    def hold(self, value: Array) -> None:
        """Makes this array the parameter's, which it stays."""
        self.value: Array = value
        _OWNERS[id(value)] = self

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        names = ("grad", "regularizer", "trainable", "value")
        return None, {name: getattr(self, name) for name in names}

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        self._spare = None
        for name, held in state[1].items():  # of a copy, or from a pickle
            setattr(self, name, held)
        self.hold(self.value)

    def buffer(self) -> Array | None:
        """The array that gradients are added to, 0 initially; None if the parameter is frozen."""
        if not self.trainable:
            return None
        if self.grad is None:
            self.grad = self._memory()
            self.grad.fill(0)
        return self.grad

    def add(self, gradient: Array) -> None:
        if not self.trainable:
            return
        gradient = numbers("gradient", gradient)
        if gradient.shape != self.value.shape:
            raise ValueError(
                f"a gradient must have the parameter's shape {self.value.shape}: "
                f"got {gradient.shape}"
            )
        if self.grad is None:  # a copy: no other reference may write to it
            memory = self._memory()
            with np.errstate(all="ignore"):
                memory[...] = gradient
            self.grad = memory
        else:
            plus(self.grad, gradient, out=self.grad)

    def clear(self) -> None:
        """Remove the gradient; its memory is reused for the next one."""
        if self.grad is not None:
            self._spare, self.grad = self.grad, None

    def freeze(self) -> None:
        """No gradient from now on, and no memory for one."""
        self.trainable, self.grad, self._spare = False, None, None

    def _memory(self) -> Array:
        # fresh memory costs page faults, but an array that is still referenced is not overwritten:
        # one reference is the slot's, one the argument's
        if self._spare is None or sys.getrefcount(self._spare) > 2:
            return np.empty_like(self.value)
        spare, self._spare = self._spare, None
        return spare

    def assign(self, name: str, given: Any) -> None:
        """Copy the elements of an array of the same shape."""
        array = checked(name, given, self.value)
        if array.dtype != self.value.dtype:
            array = finite_cast(array, self.value.dtype)
        self.replace(array)

    def replace(self, array: Array) -> None:
        """Copy the elements of an array of the same shape, without a check."""
        self.value[...] = array

    def write(self, first: int, rows: Array) -> None:
        """Copy rows into those from `first` on, without a check."""
        self.value[first : first + len(rows)] = rows


# by the id of the array, which a parameter references during its whole life
_OWNERS: WeakValueDictionary[int, Parameter] = WeakValueDictionary()


def owner_of(array: Any) -> Parameter | None:
    """The parameter whose array this very object is."""
    own = _OWNERS.get(id(array))
    return own if own is not None and own.value is array else None


def checked(name: str, given: Any, like: Array) -> Array:
    """The argument as an array, if it has the shape of `like`."""
    array = numbers(name, given)
    if array.shape != like.shape:
        raise ValueError(f"{name} must have shape {like.shape}: got {array.shape}")
    return array


def check_like(name: str, value: Array, shape: tuple[int, ...], dtype: DType) -> None:
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}: got {value.shape}")
    if value.dtype != dtype:
        raise TypeError(f"{name} must be of {dtype}: got {value.dtype}")
