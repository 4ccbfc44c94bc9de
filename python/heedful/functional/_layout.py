"""How the caller orders the axes of query, key, value and out."""

from typing import NamedTuple

from heedful._checks import one_of
from heedful.functional._dtypes import Array

LAYOUTS = ("bhld", "blhd")

Shape = tuple[int, ...]


class Layout(NamedTuple):
    """The caller's layout: results of 1, 2 or more axes, the heads before or after the rows."""

    axes: int
    length_first: bool

    def inward_shape(self, shape: Shape) -> Shape:
        if len(shape) < 3:
            return (1,) * (3 - len(shape)) + shape
        if self.length_first:
            return (*shape[:-3], shape[-2], shape[-3], shape[-1])
        return shape

    def with_heads(self, shape: Shape) -> Shape:
        """The shape of a query, key or value with an axis for the heads, if the result has one."""
        if self.axes < 3 or len(shape) > 2:
            return shape
        length, depth = shape
        return (length, 1, depth) if self.length_first else (1, length, depth)

    def rows(self, array: Array, first: int, last: int) -> Array:
        """Rows [first, last) of a query."""
        if array.ndim > 2 and self.length_first:
            return array[..., first:last, :, :]
        return array[..., first:last, :] if array.ndim > 1 else array

    def shape(self, batch: Shape, heads: int, length: int, depth: int) -> Shape:
        """The caller's shape of an array (*batch, heads, length, depth) of one row per query."""
        if self.axes > 2:
            middle = (length, heads) if self.length_first else (heads, length)
            return (*batch, *middle, depth)
        return (length, depth) if self.axes == 2 else (depth,)

    @property
    def missing(self) -> int:
        """How many of (H, Lq) the caller did not give."""
        return max(0, 3 - self.axes)

    def outward(self, array: Array) -> Array:
        """lse (*batch, H, Lq), weights (*batch, H, Lq, Lk), without axes that were not given."""
        return array if self.axes > 2 else array[0] if self.axes == 2 else array[0, 0]


def check_layout(layout: str) -> bool:
    """Whether the rows precede the heads."""
    return one_of("layout", layout, LAYOUTS) == "blhd"
