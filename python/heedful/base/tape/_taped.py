"""Taped: a value of a tape."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._types import Array
from heedful.base.tape._traced import Recorder, Traced


class Taped(Traced):
    """A value of a tape: an array that layers and steps computed, or an input.

    Attributes
    ----------
    value : numpy.ndarray
    shape, ndim, size, dtype
        Of the array.
    """

    __slots__ = ("recorder", "slot", "value")
    kind = "a value of a tape"

    def __init__(self, tape: Recorder, value: Array, slot: int) -> None:
        self.recorder = tape
        self.value, self.slot = value, slot

    @property
    def shape(self) -> tuple[int, ...]:
        return self.value.shape

    @property
    def ndim(self) -> int:
        return self.value.ndim

    @property
    def size(self) -> int:
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.value.dtype

    def __len__(self) -> int:
        return len(self.value)

    def __iter__(self) -> Any:
        return (self[number] for number in range(len(self.value)))

    def __repr__(self) -> str:
        return f"Taped({self.value.dtype} {self.value.shape})"
