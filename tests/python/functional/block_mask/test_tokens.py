"""Masks from marks of tokens, against every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from block_masks import GRIDS, SQUARE, assert_shows, every_pair, shown_by

from heedful import BlockMask

pytestmark = pytest.mark.once


@pytest.mark.parametrize("tokens", [[], [0], [6, 0, 6], "all"])
@pytest.mark.parametrize("align", ["lower_right", 0, -3])
@pytest.mark.parametrize("grid", [grid for grid in GRIDS if grid[0][1] >= 7], ids=shown_by)
def test_window_and_global(grid: Any, align: Any, tokens: Any) -> None:
    lengths, block_size = grid
    tokens = list(range(lengths[1])) if tokens == "all" else tokens
    offset = lengths[1] - lengths[0] if align == "lower_right" else align
    mask = BlockMask.window_and_global(lengths, 2, 1, tokens, align=align, block_size=block_size)

    def visible(i: int, j: int) -> bool:
        position = i + offset
        return -2 <= j - position <= 1 or j in tokens or position in tokens

    assert_shows(mask, every_pair(lengths, visible))


def documents_of(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    length = shape[-1]
    if kind == "packed":
        return np.sort(rng.integers(0, 1 + length // 3, shape)) * 10**12
    if kind == "interleaved":
        return np.broadcast_to(np.arange(length) % 3, shape).astype(np.uint8)
    if kind == "one":
        return np.full(shape, -7)
    if kind == "each_its_own":
        return np.broadcast_to(np.arange(length)[::-1], shape)
    return rng.integers(-2, 3, shape)


KINDS = ["packed", "interleaved", "one", "each_its_own", "random"]


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("grid", SQUARE, ids=shown_by)
def test_documents(grid: Any, kind: str, batch: tuple[int, ...], rng: np.random.Generator) -> None:
    (length, _), block_size = grid
    ids = documents_of(kind, (*batch, length), rng)
    mask = BlockMask.documents(ids, block_size=block_size)
    assert mask.blocks.shape[:-2] == (*batch, 1)
    wanted = np.zeros((*batch, 1, length, length), bool)
    for item in np.ndindex(*batch):
        wanted[item] = every_pair((length, length), lambda i, j, item=item: (
            bool(ids[item][i] == ids[item][j])
        ))  # fmt: skip
    assert_shows(mask, wanted)


def test_documents_as_a_list_of_any_integers() -> None:
    mask = BlockMask.documents([2**70, 2**70, -1, 2**70], block_size=2)
    ids = [0, 0, 1, 0]
    assert_shows(mask, every_pair((4, 4), lambda i, j: ids[i] == ids[j]))


def test_interleaved_documents_share_one_pattern() -> None:
    mask = BlockMask.documents(np.arange(65536) % 8)
    assert len(mask.patterns) == 1
    assert mask.density == 1.0
    assert mask.pair_density == 1 / 8
