"""Int8Parameter: a weight of int8, with a scale for each of its rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful._core import native
from heedful.base._narrow_parameter import NarrowParameter
from heedful.base._parameter import Parameter
from heedful.base._types import Array

MAX_WIDTH = 1 << 16  # of a row: the sums of products then fit into 32 bits
_ROWS = 1024  # that are quantised at a time
Split: TypeAlias = tuple[Array, Array, Array]  # what native.int8_split makes


class Int8Parameter(NarrowParameter):
    """A weight that is not trained: ``weight[o, k] ≈ scale[o] · value[o, k]``.

    Attributes
    ----------
    value : numpy.ndarray of int8, (Out, In), of a convolution (Out, In, K)
        Read-only for others, because the sums belong to it.
    scale : Parameter, (Out,)
        The maximum magnitude of each row divided by 127.
    sums : numpy.ndarray of int32, (Out,)
        Of the rows of value.
    """

    __slots__ = ("_split", "scale", "sums")

    kind = "int8"

    def __init__(self, name: str, weight: Parameter) -> None:
        value, scale = quantised(name, weight.value)
        self._take(weight)
        self.scale = Parameter(scale)
        self.scale.trainable = False
        self.hold(value)

    def hold(self, value: Array) -> None:
        super().hold(value)
        value.flags.writeable = False
        # a list of this array: a thread that still splits the one before adds to another list
        self._split: list[Split | None] = []
        self.sums: NDArray[np.int32] = value.sum(tuple(range(1, value.ndim)), dtype=np.int32)

    def split(self, matrix: Callable[[Array], Array] | None) -> Split | None:
        """The elements, or the matrix that is made of them, in the form that products of bytes
        read without VNNI; None where that is no faster.

        Made once for this array: by the first call, or by several threads the same. Copies and
        files do not have it.
        """
        made = self._split
        if not made:
            made.append(native.int8_split(self.value if matrix is None else matrix(self.value)))
        return made[0]

    def __getstate__(self) -> tuple[None, dict[str, Any]]:
        return None, {**super().__getstate__()[1], "value": self.value, "scale": self.scale}

    def __setstate__(self, state: tuple[None, dict[str, Any]]) -> None:
        super().__setstate__(state)
        self.scale = state[1]["scale"]
        self.hold(state[1]["value"].copy())

    def assign(self, name: str, given: Any) -> None:
        raise TypeError(f"{name} is int8, and only load_state_dict changes it: dequantize it first")

    def replace(self, array: Array) -> None:
        self.value.flags.writeable = True
        super().replace(array)
        self.hold(self.value)

    def widened(self) -> Array:
        return dequantised(self.value, self.scale.value)


@np.errstate(all="ignore")
def quantised(name: str, weight: Array) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """The nearest int8 of each element, and the scales of the rows; (Out, …) of any float type."""
    value = np.empty(weight.shape, np.int8)
    scale = np.empty(len(weight), np.float32)
    for begin in range(0, len(weight), _ROWS):
        rows = weight[begin : begin + _ROWS].astype(np.float32, copy=False)
        largest = np.abs(rows).max(tuple(range(1, rows.ndim)), initial=0)
        if not np.isfinite(largest).all():
            raise ValueError(f"{name} must be finite to become int8: it holds NaN or infinity")
        of_rows = largest / np.float32(127)
        scale[begin : begin + _ROWS] = of_rows
        divisor = _beside(rows, np.where(of_rows > 0, of_rows, np.float32(1)))
        # a scale that is subnormal is too inexact for the largest element to become 127
        value[begin : begin + _ROWS] = np.clip(np.rint(rows / divisor), -127, 127)
    return value, scale


@np.errstate(all="ignore")
def dequantised(value: Array, scale: Array) -> NDArray[np.float32]:
    weight: NDArray[np.float32] = np.multiply(value, _beside(value, scale), dtype=np.float32)
    return weight


def _beside(rows: Array, scale: Array) -> Array:
    """One number for each row (Out, …)."""
    return scale.reshape(-1, *(1,) * (rows.ndim - 1))
