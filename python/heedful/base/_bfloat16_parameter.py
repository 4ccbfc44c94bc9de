"""Bfloat16Parameter: a weight of bfloat16, which is computed with as float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from heedful.base._parameter import Parameter
from heedful.base._types import Array

_ROWS = 1024  # that are rounded at a time


class Bfloat16Parameter(Parameter):
    """A weight that is not trained, in half the memory of float32.

    Attributes
    ----------
    bits : numpy.ndarray of uint16, (Out, In)
        The upper halves of its elements in float32. NumPy has no bfloat16.
    value : numpy.ndarray of float32, (Out, In)
        A copy, read-only.
    trainable : bool
        False; True may be assigned for the weight that `dequantised` makes.
    """

    __slots__ = ("_original", "_was_trainable", "bits")

    def __init__(self, name: str, weight: Parameter) -> None:
        self._take(weight)
        self.bits: NDArray[np.uint16] = narrowed(weight.value)

    @classmethod
    def unset(cls, name: str, weight: Parameter) -> Bfloat16Parameter:
        """One of zeros, for a weight that is loaded next; that of float32 is not read."""
        made = cls.__new__(cls)
        made._take(weight)
        made.bits = np.zeros(weight.value.shape, np.uint16)
        return made

    def _take(self, weight: Parameter) -> None:
        self.grad = self._spare = None
        self.regularizer: Any = weight.regularizer
        self._was_trainable = weight.trainable
        self._original: Callable[[], Parameter | None] = ref(weight)

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {
            "bits": self.bits, "regularizer": self.regularizer,
            "was_trainable": self._was_trainable, "original": self._original(),
        }  # fmt: skip

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        held = state[1]
        self.grad = self._spare = None
        self.regularizer, self._was_trainable = held["regularizer"], held["was_trainable"]
        original = held["original"]
        self._original = (lambda: None) if original is None else ref(original)
        self.bits = held["bits"]

    @property
    def value(self) -> Array:  # type: ignore[override]
        found = widened(self.bits)
        found.flags.writeable = False
        return found

    @property
    def trainable(self) -> bool:
        return False

    @trainable.setter
    def trainable(self, given: bool) -> None:
        self._was_trainable = given

    @property
    def original(self) -> Parameter | None:
        """The parameter that this was made of, if another layer still has it."""
        return self._original()

    def replace(self, array: Array) -> None:
        self.write(0, array)

    def write(self, first: int, rows: Array) -> None:
        self.bits[first : first + len(rows)] = narrowed(rows)

    def dequantised(self) -> Parameter:
        """A parameter of float32."""
        made = Parameter(widened(self.bits))
        made.trainable, made.regularizer = self._was_trainable, self.regularizer
        return made


def widened(bits: NDArray[np.uint16]) -> NDArray[np.float32]:
    wide = bits.astype(np.uint32)
    np.left_shift(wide, 16, out=wide)
    return wide.view(np.float32)


@np.errstate(all="ignore")
def narrowed(weight: Array) -> NDArray[np.uint16]:
    """The bits of the nearest bfloat16 of each element, ties to even; of (Out, …), any float type.

    What files hold as bfloat16, an array of a structured type of two bytes, keeps its bits.
    """
    if weight.dtype.names is not None:
        own: NDArray[np.uint16] = np.ascontiguousarray(weight[weight.dtype.names[0]])
        return own
    bits = np.empty(weight.shape, np.uint16)
    for begin in range(0, len(weight), _ROWS):
        rows = np.ascontiguousarray(weight[begin : begin + _ROWS], np.float32)
        wide = rows.view(np.uint32)
        rounded = (wide + np.uint32(0x7FFF) + ((wide >> np.uint32(16)) & np.uint32(1))) >> 16
        quiet = (wide >> np.uint32(16)) | np.uint32(0x40)
        bits[begin : begin + _ROWS] = np.where(np.isnan(rows), quiet, rounded)
    return bits
