"""Masks combined, against the same operation on every pair."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest
from block_masks import GRIDS, assert_shows, drawn, shown_by

from heedful import BlockMask

pytestmark = pytest.mark.once

LEADING = [((), ()), ((3,), (1,)), ((2, 1), (3,)), ((2, 1, 3), (2, 1, 1)), ((0,), (1,))]
each_grid = pytest.mark.parametrize("grid", GRIDS, ids=shown_by)


@pytest.mark.parametrize("operation", [operator.and_, operator.or_], ids=["and", "or"])
@pytest.mark.parametrize("leading", LEADING, ids=str)
@each_grid
def test_two_masks(grid: Any, leading: Any, operation: Any, rng: np.random.Generator) -> None:
    lengths, block_size = grid
    one, other = (drawn((*axes, *lengths), rng) for axes in leading)
    found = operation(
        BlockMask.from_mask(one, block_size=block_size),
        BlockMask.from_mask(other, block_size=block_size),
    )
    wanted = operation(one, other)
    assert found.blocks.shape[:-2] == (wanted.shape[:-2] or (1,))
    assert_shows(found, wanted)


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
@each_grid
def test_the_opposite(grid: Any, leading: Any, rng: np.random.Generator) -> None:
    lengths, block_size = grid
    dense = drawn((*leading, *lengths), rng)
    mask = BlockMask.from_mask(dense, block_size=block_size)
    assert_shows(~mask, ~dense)
    assert ~~mask == mask


def test_the_same_pattern_within_and_at_the_edge_has_different_opposites() -> None:
    # the last block has a row less: its pattern there is the whole block's, negated it is not
    dense = np.ones((5, 2), bool)
    dense[2] = dense[3] = dense[4] = [True, False]
    dense[3] = False
    mask = BlockMask.from_mask(dense, block_size=2)
    assert mask.blocks[0].ravel().tolist() == [1, 2, 2]
    assert_shows(~mask, ~dense)


@each_grid
def test_a_mask_and_its_opposite_are_nothing_and_everything(
    grid: Any, rng: np.random.Generator
) -> None:
    lengths, block_size = grid
    mask = BlockMask.from_mask(drawn(lengths, rng), block_size=block_size)
    assert not (mask & ~mask).blocks.any()
    assert ((mask | ~mask).blocks == 1).all()
    assert len((mask | ~mask).patterns) == 0


def test_other_things_are_refused() -> None:
    mask = BlockMask.causal(4, block_size=2)
    for operation in (operator.and_, operator.or_):
        with pytest.raises(TypeError, match="unsupported operand"):
            operation(mask, np.True_.item())
        with pytest.raises(TypeError):
            operation(mask, "a")
        array = np.ones((4, 4), bool)
        with pytest.raises(TypeError, match=r"not with arrays: BlockMask\.from_mask makes one of"):
            operation(mask, array)
        with pytest.raises(
            TypeError, match=r"unsupported operand .*'numpy.ndarray' and 'BlockMask'"
        ):
            operation(array, mask)
