"""How the caller orders the axes, and the views that bring arrays into "bhld" order and back."""

from typing import NamedTuple

import numpy as np

from heedful.functional._checks import one_of
from heedful.functional._dtypes import Array

LAYOUTS = ("bhld", "blhd")

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """What the caller sees: results of 1, 2 or more axes, the heads before or after the rows."""

    axes: int
    length_first: bool

    def inward(self, array: Array) -> Array:
        """A view in "bhld" order with three axes at least."""
        if array.ndim > 2:
            return np.swapaxes(array, -3, -2) if self.length_first else array
        return array[np.newaxis] if array.ndim == 2 else array[np.newaxis, np.newaxis]

    def inward_shape(self, shape: Shape) -> Shape:
        if len(shape) < 3:
            return (1,) * (3 - len(shape)) + shape
        if self.length_first:
            return (*shape[:-3], shape[-2], shape[-3], shape[-1])
        return shape

    def like(self, array: Array, given: Array) -> Array:
        """Back from "bhld" order to the axes of a given query, key or value."""
        if given.ndim < 3:
            array = array[(0,) * (3 - given.ndim)]
            return array
        return np.swapaxes(array, -3, -2) if self.length_first else array

    def shape(self, batch: Shape, heads: int, length: int, depth: int) -> Shape:
        """What the caller sees of an array (*batch, heads, length, depth) of one row a query."""
        if self.axes > 2:
            middle = (length, heads) if self.length_first else (heads, length)
            return (*batch, *middle, depth)
        return (length, depth) if self.axes == 2 else (depth,)

    @property
    def missing(self) -> int:
        """How many of (H, Lq) the caller did not give."""
        return max(0, 3 - self.axes)

    def outward(self, array: Array) -> Array:
        """lse (*batch, H, Lq), weights (*batch, H, Lq, Lk), without axes that nobody gave."""
        return array if self.axes > 2 else array[0] if self.axes == 2 else array[0, 0]


def check_layout(layout: str) -> bool:
    """Whether the rows stand before the heads."""
    return one_of("layout", layout, LAYOUTS) == "blhd"
