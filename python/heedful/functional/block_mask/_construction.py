"""Block masks from a boolean mask, and from a function of positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from heedful._checks import as_array, named, size
from heedful.functional._shapes import broadcasts
from heedful.functional.block_mask._bounds import block_bounds
from heedful.functional.block_structure import Assembly, BlockStructure, check_grid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from numpy.typing import ArrayLike, NDArray

    from heedful.functional.block_structure import BlockSize, Grid, Lengths

    Indices: TypeAlias = NDArray[np.int64]

Mask = TypeVar("Mask", bound="Construction")

_AT_ONCE = 2**19  # pairs that are asked for together, which with their indices fit into L2 and L3
_KEYS = 4096  # at least, also of large blocks: below 2,700 NumPy compares four times as slowly
_AT_MOST = 2**22  # pairs, for this reason
_GAP = 8  # blocks that are sooner evaluated in vain than by a call that leaves them out


class Construction(BlockStructure):
    """Builders that look at every pair."""

    __slots__ = ()

    @classmethod
    def from_mask(cls: type[Mask], mask: ArrayLike, *, block_size: BlockSize = 128) -> Mask:
        """The blocks of a boolean mask.

        Parameters
        ----------
        mask : array_like of bool, (…, Lq, Lk)
            True where a query may attend to a key.
        block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            With the leading axes of `mask`, of which the last one is the heads.

        Raises
        ------
        ValueError, TypeError
            A mask that is not boolean, or without queries or keys.

        Examples
        --------
        >>> import numpy as np
        >>> import heedful
        >>> mask = np.tri(1000, dtype=bool)
        >>> heedful.BlockMask.from_mask(mask) == heedful.BlockMask.causal(1000)
        True
        """
        dense = as_array("mask", mask)
        if dense.dtype != np.bool_:
            raise TypeError(
                f"mask must be boolean, True where a query may attend: got type {dense.dtype}"
            )
        if dense.ndim < 2 or 0 in dense.shape[-2:]:
            raise ValueError(
                "mask must have shape (…, Lq, Lk), a query and a key at least: "
                f"got shape {dense.shape}"
            )
        grid = check_grid(dense.shape[-2:], block_size)
        assembly = Assembly(grid, dense.shape[:-2])
        for index in np.ndindex(dense.shape[:-2]):
            for row, columns in _strips(grid, 1, np.ones(grid.shape, bool)):
                strip = dense[index][grid.positions(0, row), _keys(grid, columns)]
                assembly.kinds[index][row, columns] = _kinds(assembly, row, columns, strip)
        return cls._assembled(assembly)

    @classmethod
    def from_function(
        cls: type[Mask],
        f: Callable[[Indices, Indices, Indices, Indices], Any],
        lengths: Lengths,
        batch: int | None = None,
        heads: int | None = None,
        *,
        block_size: BlockSize = 128,
    ) -> Mask:
        """The blocks of the mask that a function of positions describes.

        ::

            visible[b, h, i, j] = f(b, h, i, j)

        Parameters
        ----------
        f : function of (batch, head, query_index, key_index)
            Of integer arrays that broadcast, (B, 1, 1, 1), (1, H, 1, 1), (1, 1, rows, 1) and
            (1, 1, 1, columns); it returns booleans of their common shape, or ones that broadcast
            to it. It is called for some rows and columns at a time and may keep no state.
        lengths : int or (Lq, Lk)
        batch, heads : int, optional
            How many items and heads there are, if the mask depends on them.
        block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            Blocks of shape (B, H, nq, nk), without B and with one head where they are not given.

        Raises
        ------
        ValueError, TypeError
            Numbers that are not positive integers, a result of another shape or type.

        Notes
        -----
        `f` is first asked for bounds: where it is made of comparisons, ``&``, ``|``, ``~`` and
        integer arithmetic (+, −, ·, // and % by constants, abs, minimum, maximum), interval
        arithmetic decides most blocks at once. The others, or all where it does something else
        such as looking up tables, are asked for pair by pair, some 500 thousand at a time: the
        matrix of all pairs never exists. ``create_block_mask`` of PyTorch's FlexAttention (Dong
        et al. 2024, https://arxiv.org/abs/2412.05496) takes the same functions.

        Examples
        --------
        >>> import numpy as np
        >>> import heedful
        >>> prefix = np.array([3, 6])  # of each item, which all its queries see
        >>> print(heedful.BlockMask.from_function(
        ...     lambda b, h, i, j: (j <= i) | (j < prefix[b]), 8, batch=2, block_size=2))
        BlockMask(lengths=(8, 8), block_size=(2, 2), batch=(2,), density=0.75)
        blocks[0, 0] of (2, 1):
        ██▒▒····
        ██▓▓····
        ████▓▓··
        ██████▓▓
        """
        if not callable(f):
            raise TypeError(
                f"f must be a function of (batch, head, query_index, key_index): got {named(f)}"
            )
        grid = check_grid(lengths, block_size)
        items = 1 if batch is None else size("batch", batch)
        per_item = 1 if heads is None else size("heads", heads)
        leading = (per_item,) if batch is None else (items, per_item)
        assembly = Assembly(grid, leading)
        kinds = assembly.kinds.reshape(items, per_item, *grid.shape)
        largest = max(grid.block_size[0] * grid.block_size[1], grid.shape[0] * grid.shape[1])
        together = items * per_item * largest <= _AT_ONCE
        parts = [(slice(items), slice(per_item))] if together else [
            (slice(item, item + 1), slice(head, head + 1))
            for item, head in np.ndindex(items, per_item)
        ]  # fmt: skip
        indices = [np.arange(count) for count in (items, per_item, *grid.lengths)]
        for one in indices:
            one.flags.writeable = False  # f is given views of them
        every_item, every_head, query, key = indices
        for some_items, some_heads in parts:
            item = every_item[some_items, None, None, None]
            head = every_head[None, some_heads, None, None]
            target = kinds[some_items, some_heads]
            undecided = np.ones(grid.shape, bool)
            bounds = block_bounds(f, item, head, grid)
            if bounds is not None:
                target[:] = bounds.low
                undecided[:] = (bounds.high & ~bounds.low).any(axis=(0, 1))
                undecided[0, 0] = True  # its shape and type are checked in any case
            for row, columns in _strips(grid, item.size * head.size, undecided):
                found = _result(
                    f, item, head,
                    query[None, None, grid.positions(0, row), None],
                    key[None, None, None, _keys(grid, columns)],
                )  # fmt: skip
                # one for all where it does not depend on the item or the head
                several = [
                    _kinds(assembly, row, columns, found[place])
                    for place in np.ndindex(found.shape[:2])
                ]
                target[:, :, row, columns] = np.reshape(several, (*found.shape[:2], -1))
        return cls._assembled(assembly)


def _strips(grid: Grid, items: int, some: NDArray[np.bool_]) -> Iterator[tuple[int, slice]]:
    """Ranges of columns in rows of blocks that cover `some`, small enough for so many items."""
    pairs = items * grid.block_size[0] * grid.block_size[1]
    wide = min(-(-_KEYS // grid.block_size[1]), _AT_MOST // pairs)
    step = max(1, wide, _AT_ONCE // pairs)
    for row in np.flatnonzero(some.any(axis=1)).tolist():
        columns = np.flatnonzero(some[row])
        for run in np.split(columns, np.flatnonzero(np.diff(columns) > _GAP) + 1):
            end = int(run[-1]) + 1
            for first in range(int(run[0]), end, step):
                yield row, slice(first, min(first + step, end))


def _keys(grid: Grid, columns: slice) -> slice:
    """The keys of a range of columns of blocks."""
    return slice(columns.start * grid.block_size[1], columns.stop * grid.block_size[1])


def _result(f: Callable[..., Any], *indices: Indices) -> NDArray[np.bool_]:
    """(B or 1, H or 1, rows, columns) from a function of the user."""
    shape = np.broadcast_shapes(*(index.shape for index in indices))
    found = as_array("f", f(*indices))
    if found.dtype != np.bool_:
        raise TypeError(
            f"f must return booleans, True where a query may attend: got type {found.dtype}"
        )
    # fewer axes would broadcast to whichever length they happen to have
    if found.ndim not in (0, 4) or not broadcasts(found.shape, shape):
        raise ValueError(
            f"f must return an array that broadcasts to the shape of its arguments, here {shape}: "
            f"got shape {found.shape}"
        )
    leading = found.shape[:2] if found.ndim else (1, 1)
    return np.broadcast_to(found, (*leading, *shape[2:]))


def _kinds(
    assembly: Assembly, row: int, columns: slice, strip: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """The kinds of blocks side by side from which of their pairs (rows, keys) are visible."""
    count = columns.stop - columns.start
    if strip.all():
        return np.ones(count, np.int32)
    if not strip.any():
        return np.zeros(count, np.int32)
    size = assembly.grid.block_size[1]
    firsts = np.arange(count) * size
    every = np.logical_and.reduceat(np.logical_and.reduce(strip, axis=0), firsts)
    some = np.logical_or.reduceat(np.logical_or.reduce(strip, axis=0), firsts)
    kinds = every.astype(np.int32)
    partial = np.flatnonzero(some & ~every)
    for part in assembly.chunks(len(partial)):
        places = partial[part]
        visible = np.zeros((len(places), *assembly.grid.block_size), bool)
        for block, place in zip(visible, places, strict=True):
            tile = strip[:, place * size : (place + 1) * size]
            block[: len(tile), : tile.shape[1]] = tile
        rows = np.full(len(places), row)
        kinds[places] = assembly.kinds_of(visible, rows, columns.start + places)
    return kinds
