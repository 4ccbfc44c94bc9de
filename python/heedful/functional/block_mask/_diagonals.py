"""Masks in which only the distance from query to key matters: causal, window, dilated, strided."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from heedful._checks import size
from heedful.functional.block_mask._position import check_offset, check_side
from heedful.functional.block_structure import Assembly, BlockStructure, check_grid

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal, TypeAlias

    from numpy.typing import NDArray

    from heedful.functional.block_structure import BlockSize, Grid, Lengths

    Integers: TypeAlias = NDArray[np.int64]
    Align: TypeAlias = Literal["upper_left", "lower_right"] | int | None

Mask = TypeVar("Mask", bound="Diagonals")


class Diagonals(BlockStructure):
    """Builders of masks that are constant along diagonals."""

    __slots__ = ()

    @classmethod
    def causal(
        cls: type[Mask], lengths: Lengths, *, align: Align = None, block_size: BlockSize = 128
    ) -> Mask:
        """Each query sees the keys up to its own position.

        ::

            visible[i, j] = j ≤ i + offset

        Parameters
        ----------
        lengths : int or (Lq, Lk)
            Numbers of queries and keys.
        align : {"upper_left", "lower_right"} or int, optional
            The offset, as in :func:`heedful.attention`: 0, Lk − Lq, or the number given. None is
            allowed where Lq = Lk.
        block_size : int or (int, int), default 128
            Queries and keys of a block.

        Returns
        -------
        BlockMask
            For all items and heads.

        Raises
        ------
        ValueError, TypeError
            Numbers that are not positive integers; lengths that differ without `align`.

        Examples
        --------
        >>> import heedful
        >>> print(heedful.BlockMask.causal(8, block_size=2))
        BlockMask(lengths=(8, 8), block_size=(2, 2), density=0.625)
        ▓▓······
        ██▓▓····
        ████▓▓··
        ██████▓▓
        """
        grid = check_grid(lengths, block_size)
        return cls._from_distances(grid, check_offset(grid.lengths, align), lambda d: d >= 0)

    @classmethod
    def window(
        cls: type[Mask],
        lengths: Lengths,
        left: int | None,
        right: int | None,
        *,
        align: Align = None,
        block_size: BlockSize = 128,
    ) -> Mask:
        """Each query sees the keys near its own position.

        ::

            visible[i, j] = p − left ≤ j ≤ p + right        p = i + offset

        Parameters
        ----------
        lengths : int or (Lq, Lk)
        left, right : int or None
            How many keys before and after its own position a query sees; None: all.
        align, block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            For all items and heads.

        Raises
        ------
        ValueError, TypeError
            As :meth:`causal` does; a side that is negative.

        Examples
        --------
        >>> import heedful
        >>> heedful.BlockMask.window(65536, 512, 0)
        BlockMask(lengths=(65536, 65536), block_size=(128, 128), density=0.00973)
        """
        grid = check_grid(lengths, block_size)
        before, after = check_side("left", left), check_side("right", right)
        return cls._from_distances(
            grid, check_offset(grid.lengths, align), lambda d: (-after <= d) & (d <= before)
        )

    @classmethod
    def dilated(
        cls: type[Mask],
        lengths: Lengths,
        left: int | None,
        right: int | None,
        dilation: int,
        *,
        align: Align = None,
        block_size: BlockSize = 128,
    ) -> Mask:
        """A window with gaps: of the keys near its position a query sees every `dilation`-th.

        ::

            visible[i, j] = j = p + n · dilation for a whole number −left ≤ n ≤ right

        Parameters
        ----------
        lengths : int or (Lq, Lk)
        left, right : int or None
            How many keys before and after its own position a query sees; None: all.
        dilation : int
            The distance of one visible key from the next; 1 is :meth:`window`.
        align, block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            For all items and heads; :meth:`from_function` can give each head its own dilation.

        Raises
        ------
        ValueError, TypeError
            As :meth:`window` does.

        Notes
        -----
        Beltagy, Peters and Cohan 2020, Longformer, https://arxiv.org/abs/2004.05150. Gaps save
        work only where they are as long as blocks: a dilation below the block size leaves every
        block of the window partly visible.

        Examples
        --------
        >>> import heedful
        >>> heedful.BlockMask.dilated(5, 1, 1, 2, block_size=4).to_dense().astype(int)
        array([[[1, 0, 1, 0, 0],
                [0, 1, 0, 1, 0],
                [1, 0, 1, 0, 1],
                [0, 1, 0, 1, 0],
                [0, 0, 1, 0, 1]]])
        """
        grid = check_grid(lengths, block_size)
        before, after = check_side("left", left), check_side("right", right)
        gap = size("dilation", dilation)

        def visible(distance: Integers) -> NDArray[np.bool_]:
            steps, rest = np.divmod(distance, gap)
            seen: NDArray[np.bool_] = (rest == 0) & (-after <= steps) & (steps <= before)
            return seen

        return cls._from_distances(grid, check_offset(grid.lengths, align), visible)

    @classmethod
    def strided(
        cls: type[Mask],
        lengths: Lengths,
        stride: int,
        *,
        align: Align = None,
        block_size: BlockSize = 128,
    ) -> Mask:
        """Each query sees the last `stride` keys, and every `stride`-th one before them.

        ::

            visible[i, j] = j ≤ p  and  (p − j < stride  or  (p − j) mod stride = 0)

        with p = i + offset, so in two layers every earlier position reaches every later one.

        Parameters
        ----------
        lengths : int or (Lq, Lk)
        stride : int
            About √Lk in the paper.
        align, block_size
            As in :meth:`causal`.

        Returns
        -------
        BlockMask
            For all items and heads, both parts in one.

        Raises
        ------
        ValueError, TypeError
            As :meth:`causal` does.

        Notes
        -----
        Child, Gray, Radford and Sutskever 2019, Sparse Transformers,
        https://arxiv.org/abs/1904.10509. Single keys in each block save no work: for the speed of
        the paper's kernels choose a stride of several blocks, or order the keys by their position
        modulo `stride`.

        Examples
        --------
        >>> import heedful
        >>> heedful.BlockMask.strided(6, 3, block_size=4).to_dense().astype(int)
        array([[[1, 0, 0, 0, 0, 0],
                [1, 1, 0, 0, 0, 0],
                [1, 1, 1, 0, 0, 0],
                [1, 1, 1, 1, 0, 0],
                [0, 1, 1, 1, 1, 0],
                [0, 0, 1, 1, 1, 1]]])
        """
        grid, period = check_grid(lengths, block_size), size("stride", stride)
        return cls._from_distances(
            grid,
            check_offset(grid.lengths, align),
            lambda d: (d >= 0) & ((d < period) | (d % period == 0)),
        )

    @classmethod
    def _from_distances(
        cls: type[Mask],
        grid: Grid,
        offset: int,
        visible: Callable[[Integers], NDArray[np.bool_]],
    ) -> Mask:
        """`visible` is asked once for each distance i + offset − j of a query and a key."""
        assembly = Assembly(grid, (1,))
        (rows, columns), count = grid.block_size, grid.shape[1]
        # descending, so that the keys of a query follow one another
        highest = offset + grid.shape[0] * rows - 1
        seen = visible(np.arange(highest, offset - count * columns, -1))
        before = np.concatenate(([0], np.cumsum(seen)))
        # where the first query and the first key of a block meet
        corner = highest - offset - np.subtract.outer(grid.firsts(0), grid.firsts(1))
        first = corner - (grid.sizes(0) - 1)[:, None]
        last = corner + grid.sizes(1)
        found, distances = before[last] - before[first], last - first
        assembly.kinds[0] = found == distances
        windows = np.lib.stride_tricks.sliding_window_view(seen, columns)
        assembly.evaluate(
            (0,),
            (found > 0) & (found < distances),
            corner * 4 + grid.edges,
            lambda row, column: windows[corner[row, column][:, None] - np.arange(rows)],
        )
        return cls._assembled(assembly)
