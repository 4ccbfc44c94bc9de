"""Masks in which tokens are marked: some that are global, or the document each belongs to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from heedful._checks import integer_array
from heedful.functional.block_mask._combination import Combination
from heedful.functional.block_mask._diagonals import Diagonals
from heedful.functional.block_mask._position import check_offset
from heedful.functional.block_structure import Assembly, check_grid

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from heedful.functional.block_mask._diagonals import Align, Integers
    from heedful.functional.block_structure import BlockSize, Grid, Lengths

Mask = TypeVar("Mask", bound="Tokens")


class Tokens(Combination, Diagonals):
    """Builders of masks from marks of single tokens."""

    __slots__ = ()

    @classmethod
    def window_and_global(
        cls: type[Mask],
        lengths: Lengths,
        left: int | None,
        right: int | None,
        global_tokens: ArrayLike,
        *,
        align: Align = None,
        block_size: BlockSize = 128,
    ) -> Mask:
        """A window, and global tokens that see all keys and are seen by all queries.

        ::

            visible[i, j] = p − left ≤ j ≤ p + right  or  j in G  or  p in G

        with p = i + offset and the global tokens G.

        Parameters
        ----------
        lengths : int or (Lq, Lk)
        left, right : int or None
            As in :meth:`window`.
        global_tokens : array_like of int
            Key positions, from 0 to Lk − 1, such as those of [CLS] and of the question.
        align, block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            For all items and heads.

        Raises
        ------
        ValueError, TypeError
            As :meth:`window` does; a token that is no key.

        Notes
        -----
        Beltagy, Peters and Cohan 2020, Longformer, https://arxiv.org/abs/2004.05150, with the same
        projections for both kinds of attention.

        Examples
        --------
        >>> import heedful
        >>> print(heedful.BlockMask.window_and_global(8, 1, 1, [0], block_size=2))
        BlockMask(lengths=(8, 8), block_size=(2, 2), density=0.875)
        ██▓▓▒▒▒▒
        ▓▓██▒▒··
        ▒▒▒▒██▒▒
        ▒▒··▒▒██
        """
        local = cls.window(lengths, left, right, align=align, block_size=block_size)
        grid = check_grid(lengths, block_size)
        tokens = integer_array("global_tokens", global_tokens).ravel()
        wrong = (tokens < 0) | (tokens >= grid.lengths[1])
        if wrong.any():
            raise ValueError(
                f"global_tokens must lie between 0 and {grid.lengths[1] - 1}: "
                f"got {tokens[wrong][0]}"
            )
        keys = np.zeros(grid.lengths[1], bool)
        keys[tokens.astype(np.int64)] = True
        queries = np.zeros(grid.lengths[0], bool)
        rows = tokens.astype(np.int64) - check_offset(grid.lengths, align)
        queries[rows[(rows >= 0) & (rows < grid.lengths[0])]] = True
        assembly, every = Assembly(grid, (1,)), np.ones(grid.shape, bool)
        marks = _by_block(grid, 0, queries), _by_block(grid, 1, keys)
        _evaluate(assembly, (0,), *marks, np.logical_or, every)
        return local | cls._assembled(assembly)

    @classmethod
    def documents(cls: type[Mask], ids: ArrayLike, *, block_size: BlockSize = 128) -> Mask:
        """Packed documents that do not see one another.

        ::

            visible[i, j] = ids[i] = ids[j]

        Parameters
        ----------
        ids : array_like of int, (L,) or (B…, L)
            The document of each token. Documents need not be contiguous, but blocks are empty only
            where they are.
        block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            For all heads, with the leading axes of `ids`. Its intersection with :meth:`causal` is
            the mask of packed causal training.

        Raises
        ------
        ValueError, TypeError
            Ids that are no integers, or none at all.

        Notes
        -----
        Sequences whose lengths are known are cheaper still in :func:`heedful.attention_varlen`.

        Examples
        --------
        >>> import heedful
        >>> documents = heedful.BlockMask.documents([0, 0, 0, 0, 1, 1, 2, 2], block_size=2)
        >>> print(documents & heedful.BlockMask.causal(8, block_size=2))
        BlockMask(lengths=(8, 8), block_size=(2, 2), density=0.312)
        ▓▓······
        ██▓▓····
        ····▓▓··
        ······▓▓
        """
        given = integer_array("ids", ids)
        if given.ndim < 1 or given.shape[-1] < 1:
            raise ValueError(
                f"ids must have shape (…, L), a token at least: got shape {given.shape}"
            )
        *batch, length = given.shape
        grid = check_grid(length, block_size)
        numbers = np.unique(given, return_inverse=True)[1].reshape(given.shape)
        assembly = Assembly(grid, (*batch, 1))
        for item in np.ndindex(*batch):
            queries, keys = (_by_block(grid, axis, numbers[item]) for axis in (0, 1))
            some = _with_common_marks(grid, numbers[item])
            _evaluate(assembly, (*item, 0), queries, keys, np.equal, some)
        return cls._assembled(assembly)


def _by_block(grid: Grid, axis: int, marks: NDArray[Any]) -> NDArray[Any]:
    """(blocks, block size), one mark for each query or key, filled up with those of the last."""
    padding = grid.shape[axis] * grid.block_size[axis] - len(marks)
    return np.pad(marks, (0, padding), mode="edge").reshape(-1, grid.block_size[axis])


def _evaluate(
    assembly: Assembly,
    index: tuple[int, ...],
    queries: NDArray[Any],
    keys: NDArray[Any],
    visible: np.ufunc,
    some: NDArray[np.bool_],
) -> None:
    """Set the kinds of an item's blocks `some` from the marks of queries and keys, by block.

    Blocks with equal marks are equal, so that few have to be evaluated.
    """
    grid = assembly.grid
    rows, columns = (np.unique(marks, axis=0, return_inverse=True)[1].ravel()
                     for marks in (queries, keys))  # fmt: skip
    numbers = np.add.outer(rows * grid.shape[1], columns) * 4 + grid.edges
    assembly.evaluate(
        index, some, numbers,
        lambda row, column: visible(queries[row][:, :, None], keys[column][:, None, :]),
    )  # fmt: skip


def _with_common_marks(grid: Grid, marks: Integers) -> NDArray[np.bool_]:
    """(nq, nk), whether a query and a key of a block have the same mark, counted from 0."""
    every = np.arange(marks.max() + 2)
    places, ends = [], []
    for axis in (0, 1):
        blocks = np.arange(len(marks)) // grid.block_size[axis]
        by_mark, found = np.divmod(np.unique(marks * grid.shape[axis] + blocks), grid.shape[axis])
        places.append(found)
        ends.append(np.searchsorted(by_mark, every))
    some = np.zeros(grid.shape, bool)
    for row, row_end, column, column_end in zip(
        ends[0], ends[0][1:], ends[1], ends[1][1:], strict=False
    ):
        some[np.ix_(places[0][row:row_end], places[1][column:column_end])] = True
    return some
