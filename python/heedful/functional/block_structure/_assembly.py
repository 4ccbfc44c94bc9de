"""A block mask in the making: the kind of each block, and patterns that are stored once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from heedful.functional.block_structure._grid import Grid, Integers
from heedful.functional.block_structure._pattern_bits import Bits
from heedful.functional.block_structure._pattern_table import PatternTable

_AT_ONCE = 2**19  # pairs that are evaluated together; their indices take 8 bytes each

# From block rows and block columns, N each, to which of their pairs are visible, a new array
# (N, block_q, block_k) with anything beyond the lengths.
Visible: TypeAlias = Callable[[Integers, Integers], NDArray[np.bool_]]


class Assembly:
    """Kinds of blocks (*leading, nq, nk), 0 until they are set: see PatternTable."""

    def __init__(self, grid: Grid, leading: tuple[int, ...]) -> None:
        self.grid = grid
        shape = (*leading, *grid.shape)
        try:
            self.kinds: NDArray[np.int32] = np.zeros(shape, np.int32)
        except (ValueError, MemoryError):  # more than can be addressed, or allocated
            raise MemoryError(f"no room for the blocks: shape {shape}, type int32") from None
        self._pairs = grid.pairs
        self._table = PatternTable(grid.block_size)

    def evaluate(
        self, index: tuple[int, ...], some: NDArray[np.bool_], keys: Integers, visible: Visible
    ) -> None:
        """Set the kinds of the blocks `some` (nq, nk) of an item from the pairs that are visible.

        Blocks with equal keys (nq, nk) must be equal: only one of them is evaluated.
        """
        places = np.flatnonzero(some)
        _, first, inverse = np.unique(
            keys.reshape(-1)[places], return_index=True, return_inverse=True
        )
        rows, columns = np.divmod(places[first], self.grid.shape[1])
        kinds = np.empty(len(first), np.int32)
        for part in self.chunks(len(first)):
            kinds[part] = self.kinds_of(
                visible(rows[part], columns[part]), rows[part], columns[part]
            )
        self.kinds[index].reshape(-1)[places] = kinds[inverse]

    def chunks(self, count: int) -> Iterator[slice]:
        """Ranges of blocks that are small enough to be evaluated together."""
        step = max(1, _AT_ONCE // (self.grid.block_size[0] * self.grid.block_size[1]))
        yield from (slice(first, first + step) for first in range(0, count, step))

    def kinds_of(
        self, visible: NDArray[np.bool_], rows: Integers, columns: Integers
    ) -> NDArray[np.int32]:
        """The kinds of N blocks, whose pairs beyond the lengths are cleared."""
        last_row, last_column = (count - 1 for count in self.grid.shape)
        visible[rows == last_row, int(self.grid.sizes(0)[-1]) :] = False
        visible[columns == last_column, :, int(self.grid.sizes(1)[-1]) :] = False
        return self._table.kinds(visible, self._pairs[rows, columns])

    def finish(self) -> tuple[NDArray[np.int32], Bits]:
        """Blocks and patterns, numbered as they first occur: equal masks have equal arrays."""
        kinds = self.kinds.reshape(-1)
        places = np.flatnonzero(kinds >= 2)
        numbers = kinds[places] - 2
        first = np.full(len(self._table), kinds.size)
        first[numbers[::-1]] = places[::-1]  # of repeated indices the last assignment remains
        order = np.argsort(first)[: np.count_nonzero(first < kinds.size)]
        renumbered = np.empty(len(self._table), np.int32)
        renumbered[order] = np.arange(2, 2 + len(order))
        kinds[places] = renumbered[numbers]
        return self.kinds, self._table.patterns(order)
