"""Block masks combined: what both show, what either shows, what one does not show."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from heedful.functional._shapes import broadcast
from heedful.functional.block_structure import Assembly, BlockStructure

if TYPE_CHECKING:
    from numpy.typing import NDArray

Mask = TypeVar("Mask", bound="Combination")


class Combination(BlockStructure):
    """``&``, ``|`` and ``~``; the leading axes of two masks broadcast."""

    __slots__ = ()
    __array_ufunc__ = None  # an array does not apply its operators to a mask element by element

    def __and__(self: Mask, other: BlockStructure) -> Mask:
        return self._with(other, np.logical_and)

    def __or__(self: Mask, other: BlockStructure) -> Mask:
        return self._with(other, np.logical_or)

    def __invert__(self: Mask) -> Mask:
        return self._evaluated(self.blocks.shape[:-2], np.logical_not, self)

    def _with(self: Mask, other: BlockStructure, operation: np.ufunc) -> Mask:
        if isinstance(other, np.ndarray):
            raise TypeError(
                "a block mask combines with block masks, not with arrays: "
                "BlockMask.from_mask makes one of an array"
            )
        if not isinstance(other, BlockStructure):
            return NotImplemented
        for name in ("lengths", "block_size"):
            values = getattr(self, name), getattr(other, name)
            if values[0] != values[1]:
                raise ValueError(
                    f"block masks must have equal {name} to be combined: "
                    f"got {values[0]} and {values[1]}"
                )
        shapes = self.blocks.shape[:-2], other.blocks.shape[:-2]
        leading = broadcast(*shapes)
        if leading is None:
            raise ValueError(
                "the leading axes of block masks must broadcast to be combined: "
                f"got {shapes[0]} and {shapes[1]}"
            )
        return self._evaluated(leading, operation, self, other)

    def _evaluated(
        self: Mask, leading: tuple[int, ...], operation: np.ufunc, *masks: BlockStructure
    ) -> Mask:
        """The operation applied to each combination of kinds that occurs, once."""
        grid = self._grid
        assembly, every = Assembly(grid, leading), np.ones(grid.shape, bool)
        blocks = [np.broadcast_to(mask.blocks, (*leading, *grid.shape)) for mask in masks]
        for index in np.ndindex(leading):
            kinds = [of_mask[index] for of_mask in blocks]
            keys = np.zeros(grid.shape, np.int64)
            for mask, of_mask in zip(masks, kinds, strict=True):
                keys = keys * (2 + len(mask.patterns)) + of_mask

            def visible(
                row: NDArray[np.int64],
                column: NDArray[np.int64],
                kinds: list[NDArray[np.int32]] = kinds,
            ) -> NDArray[np.bool_]:
                tiles = (
                    mask._tiles(of_mask[row, column])
                    for mask, of_mask in zip(masks, kinds, strict=True)
                )
                found: NDArray[np.bool_] = operation(*tiles)
                return found

            # the same pattern may be a full block where the lengths cut it off
            assembly.evaluate(index, every, keys * 4 + grid.edges, visible)
        return self._assembled(assembly)
