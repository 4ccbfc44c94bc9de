"""What a block mask holds: arrays that cannot be changed, copies, equality, densities."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from block_masks import GRIDS, assert_shows, drawn, shown_by

from heedful import BlockMask

pytestmark = pytest.mark.once

each_grid = pytest.mark.parametrize("grid", GRIDS, ids=shown_by)


def from_mask(dense: Any, block_size: Any) -> BlockMask:
    return BlockMask.from_mask(dense, block_size=block_size)


@pytest.mark.parametrize("leading", [(), (3,), (2, 3), (0, 3)], ids=str)
@each_grid
def test_blocks_are_all_full(grid: Any, leading: Any, rng: np.random.Generator) -> None:
    lengths, size = grid
    rows, columns = (size, size) if isinstance(size, int) else size
    shape = -(-lengths[0] // rows), -(-lengths[1] // columns)
    blocks = rng.random((*leading, *shape)) < 0.5
    mask = BlockMask(blocks, size, lengths)
    assert mask.block_size == (rows, columns)
    assert mask.blocks.shape == ((1, *shape) if leading == () else blocks.shape)
    pairs = np.repeat(np.repeat(blocks, rows, axis=-2), columns, axis=-1)
    assert_shows(mask, pairs[..., : lengths[0], : lengths[1]])


def test_lengths_are_whole_blocks_by_default() -> None:
    assert BlockMask(np.ones((2, 3), bool)).lengths == (256, 384)
    assert BlockMask(np.ones((2, 3), bool), (4, 5)).lengths == (8, 15)


def test_the_given_blocks_are_copied() -> None:
    blocks = np.ones((2, 2), bool)
    mask = BlockMask(blocks.T)
    blocks[:] = False
    assert mask.blocks.all()


@pytest.mark.parametrize("leading", [(), (2, 3)], ids=str)
@each_grid
def test_dense_is_what_it_was_made_from(grid: Any, leading: Any, rng: np.random.Generator) -> None:
    lengths, block_size = grid
    dense = drawn((*leading, *lengths), rng)
    found = from_mask(dense, block_size).to_dense()
    assert found.dtype == bool
    assert np.array_equal(found, dense if leading else dense[None])


def test_a_dense_mask_without_room_is_a_memory_error() -> None:
    with pytest.raises(MemoryError, match="no room for the mask"):
        BlockMask(np.ones((1, 1), bool), 2**31).to_dense()


@each_grid
def test_densities_count_blocks_and_pairs(grid: Any, rng: np.random.Generator) -> None:
    lengths, block_size = grid
    dense = drawn((2, 3, *lengths), rng)
    mask = from_mask(dense, block_size)
    rows, columns = mask.block_size
    tiles = [
        item[i : i + rows, j : j + columns].any()
        for item in dense.reshape(-1, *lengths)
        for i in range(0, lengths[0], rows)
        for j in range(0, lengths[1], columns)
    ]
    assert mask.density == pytest.approx(np.mean(tiles))
    assert mask.pair_density == pytest.approx(dense.mean())


def test_densities_of_nothing_are_zero() -> None:
    mask = BlockMask(np.ones((0, 2, 2), bool))
    assert (mask.density, mask.pair_density) == (0, 0)


def test_nothing_can_be_changed() -> None:
    mask = BlockMask.causal(10, block_size=4)
    for name in ("blocks", "patterns"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(mask, name)[:] = 0
    for name in ("blocks", "patterns", "block_size", "lengths", "density", "anything"):
        with pytest.raises(AttributeError):
            setattr(mask, name, 1)


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda mask: pickle.loads(pickle.dumps(mask)),
    "old_pickle": lambda mask: pickle.loads(pickle.dumps(mask, protocol=2)),
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_are_equal_and_cannot_be_changed(copied: Any, rng: np.random.Generator) -> None:
    mask = from_mask(drawn((2, 11, 13), rng), (4, 3))
    other = copied(mask)
    assert type(other) is BlockMask
    assert other == mask
    assert not other.blocks.flags.writeable
    assert not other.patterns.flags.writeable
    assert np.array_equal(other.to_dense(), mask.to_dense())


def test_masks_are_equal_if_they_show_the_same(rng: np.random.Generator) -> None:
    dense = drawn((2, 12, 12), rng)
    mask = from_mask(dense, 4)
    changed = dense.copy()
    changed[1, 7, 5] ^= True
    assert mask == from_mask(dense.copy(), 4)
    assert mask != from_mask(changed, 4)
    assert mask != from_mask(dense, (4, 2))
    assert mask != from_mask(dense[:, :11], 4)
    assert mask != from_mask(dense[None], 4)
    assert mask != "mask"


def test_it_is_no_key_of_a_dictionary() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(BlockMask.causal(4))


def test_a_pattern_is_stored_once_for_all_items() -> None:
    dense = np.broadcast_to(np.tri(64, dtype=bool), (5, 7, 64, 64))
    mask = from_mask(dense, 8)
    assert mask.patterns.shape == (1, 8, 1)
    assert len(pickle.dumps(mask)) < 5 * 7 * 8 * 8 * 4 + 1000
