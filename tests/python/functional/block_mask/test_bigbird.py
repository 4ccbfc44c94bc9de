"""BigBird's blocks, against the definition row by row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import BlockMask

pytestmark = pytest.mark.once


def fixed_blocks(
    lengths: tuple[int, int], size: tuple[int, int], offset: int, window: int, everyone: int
) -> Any:
    """Window and global blocks, by the positions of each block's queries."""
    rows, columns = (-(-length // one) for length, one in zip(lengths, size, strict=True))
    found = np.zeros((rows, columns), bool)
    for row in range(rows):
        queries = range(row * size[0], min((row + 1) * size[0], lengths[0]))
        own = {(i + offset) // size[1] for i in queries}
        for column in range(columns):
            near = any(abs(column - block) <= window // 2 for block in own)
            found[row, column] = near or column < everyone or own & set(range(everyone))
    return found


CASES = [
    ((40, 40), (4, 4), None, 3, 2, 3),
    ((41, 41), (4, 4), None, 1, 0, 1),
    ((40, 60), (4, 6), "lower_right", 5, 1, 2),
    ((33, 20), (5, 3), 0, 3, 2, 0),
    ((40, 40), (4, 4), -20, 3, 2, 2),
    ((12, 12), (4, 4), None, 1, 1, 9),
]


@pytest.mark.parametrize("heads", [None, 3])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_row_has_its_window_the_global_blocks_and_some_others(case: Any, heads: Any) -> None:
    lengths, size, align, window, everyone, drawn = case
    mask = BlockMask.bigbird(
        lengths, window, everyone, drawn, rng=1, heads=heads, align=align, block_size=size
    )
    offset = {"lower_right": lengths[1] - lengths[0], None: 0}.get(align, align)
    fixed = fixed_blocks(lengths, size, offset, window, everyone)
    assert mask.blocks.shape == (heads or 1, *fixed.shape)
    assert set(np.unique(mask.blocks)) <= {0, 1}
    assert len(mask.patterns) == 0
    for blocks in mask.blocks:
        assert (blocks[fixed] == 1).all()
        others = (blocks == 1) & ~fixed
        wanted = np.minimum(drawn, fixed.shape[1] - fixed.sum(axis=1))
        assert others.sum(axis=1).tolist() == wanted.tolist()


def test_every_free_block_is_drawn_equally_often() -> None:
    mask = BlockMask.bigbird(40, 1, 1, 2, rng=3, heads=4000, block_size=4)
    drawn = mask.blocks[:, 5, [1, 2, 3, 4, 6, 7, 8, 9]].mean(axis=0)  # 2 of 8
    assert abs(drawn - 0.25).max() < 0.03


def test_a_seed_draws_the_same_blocks_and_a_generator_others() -> None:
    seeded = [BlockMask.bigbird(400, rng=5, block_size=8) for _ in range(2)]
    assert seeded[0] == seeded[1]
    rng = np.random.default_rng(5)
    drawn = [BlockMask.bigbird(400, rng=rng, block_size=8) for _ in range(2)]
    assert drawn[0] == seeded[0]
    assert drawn[0] != drawn[1]


def test_heads_draw_blocks_of_their_own() -> None:
    mask = BlockMask.bigbird(400, rng=5, heads=2, block_size=8)
    assert (mask.blocks[0] != mask.blocks[1]).any()
