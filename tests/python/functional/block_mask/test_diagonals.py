"""Masks in which only the distance matters, against every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from block_masks import GRIDS, SQUARE, assert_shows, every_pair, shown_by

from heedful import BlockMask

pytestmark = pytest.mark.once

each_grid = pytest.mark.parametrize("grid", GRIDS, ids=shown_by)
ALIGNS = ["upper_left", "lower_right", 0, 3, -4, 100, -100, 10**30]


def offset_of(lengths: tuple[int, int], align: Any) -> int:
    words = {"upper_left": 0, "lower_right": lengths[1] - lengths[0]}
    return words[align] if isinstance(align, str) else align


@pytest.mark.parametrize("align", ALIGNS)
@each_grid
def test_causal(grid: Any, align: Any) -> None:
    lengths, block_size = grid
    offset = offset_of(lengths, align)
    mask = BlockMask.causal(lengths, align=align, block_size=block_size)
    assert_shows(mask, every_pair(lengths, lambda i, j: j <= i + offset))


@pytest.mark.parametrize("sides", [(0, 0), (2, 1), (None, 3), (5, None), (None, None), (1, 10**40)])
@pytest.mark.parametrize("align", ["lower_right", 1])
@each_grid
def test_window(grid: Any, align: Any, sides: Any) -> None:
    lengths, block_size = grid
    offset = offset_of(lengths, align)
    left, right = (10**40 if side is None else side for side in sides)
    mask = BlockMask.window(lengths, *sides, align=align, block_size=block_size)
    wanted = every_pair(lengths, lambda i, j: i + offset - left <= j <= i + offset + right)
    assert_shows(mask, wanted)


@pytest.mark.parametrize("dilation", [1, 2, 3, 7])
@pytest.mark.parametrize("sides", [(0, 0), (2, 1), (None, 0)])
@each_grid
def test_dilated(grid: Any, sides: Any, dilation: int) -> None:
    lengths, block_size = grid
    left, right = (100 if side is None else side for side in sides)
    mask = BlockMask.dilated(lengths, *sides, dilation, align=2, block_size=block_size)
    wanted = every_pair(
        lengths, lambda i, j: j in {i + 2 + n * dilation for n in range(-left, right + 1)}
    )
    assert_shows(mask, wanted)


@pytest.mark.parametrize("stride", [1, 2, 3, 8, 100])
@each_grid
def test_strided(grid: Any, stride: int) -> None:
    lengths, block_size = grid
    mask = BlockMask.strided(lengths, stride, align=-1, block_size=block_size)

    def visible(i: int, j: int) -> bool:
        last = range(i - 1, i - 1 - stride, -1)
        return j in last or j in range(i - 1, -1, -stride)

    assert_shows(mask, every_pair(lengths, visible))


@pytest.mark.parametrize("grid", SQUARE, ids=shown_by)
def test_equal_lengths_need_no_align_and_may_be_one_number(grid: Any) -> None:
    lengths, block_size = grid
    mask = BlockMask.causal(lengths[0], block_size=block_size)
    assert_shows(mask, np.tri(lengths[0], dtype=bool))
    assert mask == BlockMask.causal(lengths, align="upper_left", block_size=block_size)


@pytest.mark.parametrize(
    ("mask", "most"),
    [
        (BlockMask.causal(65536), 1),
        (BlockMask.window(65536, 1000, 0), 4),
        (BlockMask.dilated(65536, 100, 100, 4), 16),
        (BlockMask.strided(65536, 256), 8),
    ],
    ids=["causal", "window", "dilated", "strided"],
)
def test_long_masks_share_few_patterns(mask: BlockMask, most: int) -> None:
    assert mask.blocks.shape == (1, 512, 512)
    assert 1 <= len(mask.patterns) <= most
