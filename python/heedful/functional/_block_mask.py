"""A block mask as an argument: whether it fits a call, and what the compiled functions read."""

from typing import Any

from heedful.functional._dropped_blocks import Blocks
from heedful.functional._layout import Shape
from heedful.functional._positions import Items
from heedful.functional._shapes import Axes, broadcasts
from heedful.functional.block_structure import BlockStructure, Grid, check_intact


def check_block_mask(
    block_mask: Any, axes: Axes, batch: Shape, lengths: tuple[int, int], packed: bool
) -> Blocks:
    """`lengths`: of query and key, of the longest sequence if they are packed."""
    if not isinstance(block_mask, BlockStructure):
        raise TypeError(
            f"block_mask must be a heedful.BlockMask: got type {type(block_mask).__name__}"
        )
    blocks, patterns, own = block_mask.blocks, block_mask.patterns, block_mask.lengths
    check_intact(blocks, patterns, Grid(own, block_mask.block_size))
    if not packed and own != lengths:
        raise ValueError(f"block_mask must have the lengths (Lq, Lk) = {lengths}: got {own}")
    if own[0] < lengths[0] or own[1] < lengths[1]:
        raise ValueError(
            "block_mask must be at least as long as the longest sequence, "
            f"(Lq, Lk) = {lengths}: got {own}"
        )
    leading = blocks.shape[:-2]
    if not broadcasts(leading, (*batch, axes.heads)):
        raise ValueError(
            "block_mask must broadcast to the leading axes and heads, here "
            f"{(*batch, axes.heads)}: got {leading}"
        )
    return Blocks(blocks, patterns, *block_mask.block_size)


def longest(axes: Axes, packed: Items | None) -> tuple[int, int]:
    """The lengths that positions of queries and keys stay below."""
    if packed is None:
        return axes.query_length, axes.key_length
    return int(packed[:, 1].max(initial=0)), int(packed[:, 3].max(initial=0))
