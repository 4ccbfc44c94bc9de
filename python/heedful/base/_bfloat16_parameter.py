"""Bfloat16Parameter: a weight of bfloat16, which is computed with as float32."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._types import Array

_ROWS = 1024  # that are rounded at a time


class Bfloat16Parameter(NarrowParameter):
    """A weight that is not trained, in half the memory of float32.

    Attributes
    ----------
    bits : numpy.ndarray of uint16, (Out, In)
        The upper halves of its elements in float32. NumPy has no bfloat16.
    value : numpy.ndarray of float32, (Out, In)
        A copy, read-only.
    """

    __slots__ = ("bits",)

    kind = "bfloat16"

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

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {**super().__getstate__()[1], "bits": self.bits}

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        super().__setstate__(state)
        self.bits = state[1]["bits"]

    @property
    def value(self) -> Array:  # type: ignore[override]
        found = self.widened()
        found.flags.writeable = False
        return found

    def replace(self, array: Array) -> None:
        self.write(0, array)

    def write(self, first: int, rows: Array) -> None:
        self.bits[first : first + len(rows)] = narrowed(rows)

    def widened(self) -> Array:
        return widened(self.bits)


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
