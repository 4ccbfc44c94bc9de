"""BigBird's mask: a window, global and random keys, all of them whole blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from heedful._checks import generator, is_integer, named, size
from heedful.functional.block_mask._position import check_offset
from heedful.functional.block_structure import BlockStructure, check_grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from heedful.functional.block_mask._diagonals import Align
    from heedful.functional.block_structure import BlockSize, Lengths

Mask = TypeVar("Mask", bound="BigBird")


class BigBird(BlockStructure):
    """The builder of one kind of mask."""

    __slots__ = ()

    @classmethod
    def bigbird(
        cls: type[Mask],
        lengths: Lengths,
        window: int = 3,
        global_blocks: int = 2,
        random_blocks: int = 3,
        rng: int | np.random.Generator | None = None,
        *,
        heads: int | None = None,
        align: Align = None,
        block_size: BlockSize = 128,
    ) -> Mask:
        """A window of blocks, blocks that all see and that see all, and some drawn at random.

        A block of queries sees

        - the `window` blocks of keys around its own position,
        - the first `global_blocks` blocks of keys, and all if it stands among them itself,
        - `random_blocks` others, or all others where they are fewer.

        Parameters
        ----------
        lengths : int or (Lq, Lk)
        window : int, default 3
            An odd number of blocks, the query's own included.
        global_blocks, random_blocks : int, default 2 and 3
            0 is none.
        rng : None, int or numpy.random.Generator
            What the random blocks are drawn from.
        heads : int, optional
            Draw random blocks for each of so many heads; None draws once for all.
        align, block_size
            As in :meth:`causal`; the paper's blocks are of 64.

        Returns
        -------
        BlockMask
            All its blocks are full or empty.

        Raises
        ------
        ValueError, TypeError
            As :meth:`causal` does; an even window, negative numbers of blocks.

        Notes
        -----
        Zaheer et al. 2020, Big Bird, https://arxiv.org/abs/2007.14062, the variant in which global
        tokens are the first ones of the sequence.

        Examples
        --------
        >>> import heedful
        >>> print(heedful.BlockMask.bigbird(1280, 3, 1, 1, rng=0))
        BlockMask(lengths=(1280, 1280), block_size=(128, 128), density=0.53)
        ████████████████████
        ████████············
        ████████··██········
        ██··████████········
        ██····██████····██··
        ██······██████····██
        ██··██····██████····
        ██········████████··
        ██······██····██████
        ██··██··········████
        """
        grid = check_grid(lengths, block_size)
        window = size("window", window)
        if window % 2 == 0:
            raise ValueError(
                f"window must be odd, the query's own block in its middle: got {window}"
            )
        everyone = _count("global_blocks", global_blocks)
        drawn = _count("random_blocks", random_blocks)
        heads = 1 if heads is None else size("heads", heads)
        rng = generator(rng)
        # the first and last block of keys among which the block's queries stand
        first = grid.firsts(0) + check_offset(grid.lengths, align)
        last = (first + grid.sizes(0) - 1) // grid.block_size[1]
        first = first // grid.block_size[1]
        column = np.arange(grid.shape[1])
        reach = window // 2
        fixed = (column >= first[:, None] - reach) & (column <= last[:, None] + reach)
        fixed |= column < everyone
        fixed[(first < everyone) & (last >= 0)] = True
        blocks = np.repeat(fixed[None], heads, axis=0)
        for of_head in blocks:
            _draw(of_head, drawn, rng)
        return cls(blocks, grid.block_size, grid.lengths)


def _draw(blocks: NDArray[np.bool_], count: int, rng: np.random.Generator) -> None:
    """Add `count` blocks to each row, of those that it has not yet."""
    chance = rng.random(blocks.shape)
    chance[blocks] = 2  # after all others
    count = min(count, blocks.shape[1])
    if count:
        chosen = np.argpartition(chance, count - 1, axis=1)[:, :count]
        np.put_along_axis(blocks, chosen, True, axis=1)


def _count(name: str, value: Any) -> int:
    if not is_integer(value):
        raise TypeError(f"{name} must be an integer: got {named(value)}")
    if value < 0:
        raise ValueError(f"{name} must not be negative: got {named(value)}")
    return int(value)
