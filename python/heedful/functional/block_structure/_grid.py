"""The blocks into which queries and keys are divided: how many there are, and their sizes."""

import sys
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful._checks import is_integer, named, size

Lengths: TypeAlias = int | tuple[int, int]
BlockSize: TypeAlias = int | tuple[int, int]
Integers: TypeAlias = NDArray[np.int64]


class Grid(NamedTuple):
    """Blocks of queries × keys, those of the last row and column cut off at the lengths."""

    lengths: tuple[int, int]  # Lq, Lk
    block_size: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(nq, nk)"""
        rows, columns = (
            -(-length // size) for length, size in zip(self.lengths, self.block_size, strict=True)
        )
        return rows, columns

    def firsts(self, axis: int) -> Integers:
        """The first query (axis 0) or key (axis 1) of each block."""
        return np.arange(self.shape[axis], dtype=np.int64) * self.block_size[axis]

    def sizes(self, axis: int) -> Integers:
        """How many queries or keys each block has."""
        return np.minimum(self.block_size[axis], self.lengths[axis] - self.firsts(axis))

    @property
    def pairs(self) -> Integers:
        """(nq, nk), how many pairs of a query and a key each block has."""
        return np.multiply.outer(self.sizes(0), self.sizes(1))

    @property
    def edges(self) -> Integers:
        """(nq, nk), from 0 to 3: equal for blocks of equal size."""
        row, column = (self.sizes(axis) < self.block_size[axis] for axis in (0, 1))
        return np.add.outer(2 * row.astype(np.int64), column.astype(np.int64))

    def positions(self, axis: int, block: int) -> slice:
        """The queries or keys of a block."""
        first = block * self.block_size[axis]
        return slice(first, min(first + self.block_size[axis], self.lengths[axis]))


def check_grid(lengths: Any, block_size: Any) -> Grid:
    grid = Grid(
        _pair("lengths", lengths, "(Lq, Lk)"), _pair("block_size", block_size, "(queries, keys)")
    )
    if grid.block_size[0] * grid.block_size[1] > sys.maxsize:
        raise ValueError(
            f"block_size must be at most {sys.maxsize} pairs: got {named(grid.block_size)}"
        )
    return grid


def _pair(name: str, given: Any, form: str) -> tuple[int, int]:
    """Two counts, or one for both."""
    if is_integer(given):
        return (size(name, given),) * 2
    if not isinstance(given, (tuple, list)):
        raise TypeError(f"{name} must be an integer or a pair {form}: got {named(given)}")
    if len(given) != 2:
        raise ValueError(f"{name} must be an integer or a pair {form}: got {named(given)}")
    first, second = (size(name, one) for one in given)
    return first, second
