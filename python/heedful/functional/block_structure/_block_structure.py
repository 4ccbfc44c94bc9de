"""BlockStructure: which blocks of queries × keys exist, and what is visible in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from heedful._checks import as_array
from heedful.functional.block_structure._grid import check_grid
from heedful.functional.block_structure._intact import check_intact
from heedful.functional.block_structure._pattern_bits import bytes_of, unpacked

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from heedful.functional.block_structure._assembly import Assembly
    from heedful.functional.block_structure._grid import BlockSize, Grid, Lengths
    from heedful.functional.block_structure._pattern_bits import Bits

Structure = TypeVar("Structure", bound="BlockStructure")


class BlockStructure:
    """What a :class:`heedful.BlockMask` holds, without the ways of making one."""

    __slots__ = ("_blocks", "_grid", "_patterns")
    _blocks: NDArray[np.int32]
    _patterns: Bits
    _grid: Grid

    def __init__(
        self, blocks: ArrayLike, block_size: BlockSize = 128, lengths: Lengths | None = None
    ) -> None:
        exists = as_array("blocks", blocks)
        if exists.dtype != np.bool_:
            raise TypeError(
                f"blocks must be boolean, True where a block exists: got type {exists.dtype}"
            )
        if exists.ndim < 2 or 0 in exists.shape[-2:]:
            raise ValueError(
                "blocks must have shape (…, nq, nk), a block at least for queries and for keys: "
                f"got shape {exists.shape}"
            )
        grid = check_grid(1 if lengths is None else lengths, block_size)
        if lengths is None:
            rows, columns = exists.shape[-2:]
            grid = check_grid((rows * grid.block_size[0], columns * grid.block_size[1]), block_size)
        if exists.shape[-2:] != grid.shape:
            raise ValueError(
                f"blocks must have shape (…, {grid.shape[0]}, {grid.shape[1]}), one for each "
                f"{grid.block_size[0]} × {grid.block_size[1]} of lengths {grid.lengths}: "
                f"got shape {exists.shape}"
            )
        size, keys = grid.block_size
        none = np.zeros((0, size, bytes_of(keys)), np.uint8)
        self._set(exists.astype(np.int32, order="C"), none, grid)

    def _set(self, blocks: NDArray[np.int32], patterns: Bits, grid: Grid) -> None:
        # a view that nobody can make writeable: they are checked before a call, and read during it
        blocks = blocks if blocks.ndim > 2 else blocks[None]
        self._blocks = np.asarray(blocks.data.toreadonly())
        self._patterns, self._grid = patterns, grid
        self._patterns.flags.writeable = False

    @classmethod
    def _of(
        cls: type[Structure], blocks: NDArray[np.int32], patterns: Bits, grid: Grid
    ) -> Structure:
        made = cls.__new__(cls)
        made._set(blocks, patterns, grid)
        return made

    @classmethod
    def _assembled(cls: type[Structure], assembly: Assembly) -> Structure:
        return cls._of(*assembly.finish(), assembly.grid)

    @property
    def blocks(self) -> NDArray[np.int32]:
        return self._blocks

    @property
    def patterns(self) -> Bits:
        return self._patterns

    @property
    def block_size(self) -> tuple[int, int]:
        return self._grid.block_size

    @property
    def lengths(self) -> tuple[int, int]:
        return self._grid.lengths

    @property
    def density(self) -> float:
        """Share of the blocks that are not empty, over all items and heads.

        Partly visible blocks count as one each, as do those that the lengths cut off: it is what
        attention costs, as a share of all that it costs without the mask.
        """
        return np.count_nonzero(self._blocks) / max(1, self._blocks.size)

    @property
    def pair_density(self) -> float:
        """Share of the pairs of a query and a key that are visible, over all items and heads."""
        items = int(np.prod(self._blocks.shape[:-2]))
        pairs = items * self.lengths[0] * self.lengths[1]
        visible = self._visible_pairs(self._blocks).sum(dtype=np.float64)
        return float(visible) / max(1, pairs)

    def _visible_pairs(self, kinds: NDArray[np.int32]) -> NDArray[np.int64]:
        """(…, nq, nk), how many pairs of each block are visible; `kinds` are of that shape."""
        keys = self.block_size[1]
        by_pattern = [0, 0, *(np.count_nonzero(unpacked(bits, keys)) for bits in self._patterns)]
        return np.where(kinds == 1, self._grid.pairs, np.array(by_pattern)[kinds])

    def _tiles(self, kinds: NDArray[np.int32]) -> NDArray[np.bool_]:
        """(N, block_q, block_k), which pairs blocks of these kinds (N,) show.

        A full block shows all, also beyond the lengths.
        """
        tiles = np.empty((len(kinds), *self.block_size), bool)
        tiles[:] = (kinds == 1)[:, None, None]
        partial = kinds >= 2
        tiles[partial] = unpacked(self._patterns[kinds[partial] - 2], self.block_size[1])
        return tiles

    def to_dense(self) -> NDArray[np.bool_]:
        """The same as a boolean mask, which takes a byte for each pair.

        Returns
        -------
        mask : numpy.ndarray of bool, (B…, H or 1, Lq, Lk)
            True where a query may attend to a key, as :func:`heedful.attention` takes it.

        Raises
        ------
        MemoryError
            No room for it.

        Examples
        --------
        >>> import heedful
        >>> heedful.BlockMask.causal(3, block_size=2).to_dense().astype(int)
        array([[[1, 0, 0],
                [1, 1, 0],
                [1, 1, 1]]])
        """
        leading, grid = self._blocks.shape[:-2], self._grid
        shape = (*leading, *grid.lengths)
        try:
            dense = np.empty(shape, bool)
        except (ValueError, MemoryError):  # more than can be addressed, or allocated
            raise MemoryError(f"no room for the mask: shape {shape}, type bool") from None
        for index in np.ndindex(leading):
            for row in range(grid.shape[0]):
                strip = dense[index][grid.positions(0, row)]  # (≤ block_q, Lk)
                tiles = self._tiles(self._blocks[index][row]).swapaxes(0, 1)
                strip[:] = tiles.reshape(grid.block_size[0], -1)[: len(strip), : strip.shape[1]]
        return dense

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BlockStructure):
            return NotImplemented
        return (
            self._grid == other._grid
            and np.array_equal(self._blocks, other._blocks)
            and np.array_equal(self._patterns, other._patterns)
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment] # as for arrays

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._blocks, self._patterns, self._grid)

    def __repr__(self) -> str:
        *batch, heads = self._blocks.shape[:-2]
        words = [f"lengths={self.lengths}", f"block_size={self.block_size}"]
        words += [f"batch={tuple(batch)}"] if batch else []
        words += [f"heads={heads}"] if heads != 1 else []
        return f"{type(self).__name__}({', '.join(words)}, density={self.density:.3g})"


def _restored(
    kind: type[Structure], blocks: NDArray[np.int32], patterns: Bits, grid: Grid
) -> Structure:
    """A pickled or copied one."""
    grid = check_grid(*grid)
    check_intact(blocks, patterns, grid)
    return kind._of(blocks.copy(), patterns, grid)  # out-of-band buffers belong to others
