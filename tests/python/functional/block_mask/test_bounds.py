"""Functions of positions bounded over blocks, against their values at every pair."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful import BlockMask
from heedful.functional.block_mask._bounds import Bounds, block_bounds
from heedful.functional.block_structure import check_grid

pytestmark = pytest.mark.once

ITEM = np.arange(3)[:, None, None, None]
HEAD = np.arange(2)[None, :, None, None]
TABLE = np.array([4, 9, 2])

# each with whether bounds decide it
FUNCTIONS: dict[str, Any] = {
    "causal": lambda b, h, i, j: i >= j,
    "swapped": lambda b, h, i, j: np.logical_not(j > i),
    "window": lambda b, h, i, j: (i - j < 5) & (j - i <= 2),
    "distance": lambda b, h, i, j: abs(i - j) < 4,
    "absolute": lambda b, h, i, j: np.abs(2 * i - j) <= 6,
    "prefix": lambda b, h, i, j: (j <= i) | (j < TABLE[b]),
    "head": lambda b, h, i, j: i - j == h,
    "chunks": lambda b, h, i, j: i // 4 == j // 4,
    "chunks_below": lambda b, h, i, j: (i - 7) // 3 != (j - 9) // 3,
    "phase": lambda b, h, i, j: (i - 5) % 6 < (j - 2) % 3,
    "product": lambda b, h, i, j: (i - 3) * (j - 5) > -4,
    "negative": lambda b, h, i, j: -i + 3 < -j,
    "extremes": lambda b, h, i, j: np.minimum(i, 7) < np.maximum(j, 5),
    "corner": lambda b, h, i, j: ~((i > 3) & (j > 6)) | (i == 8),
    "logical": lambda b, h, i, j: np.logical_or(np.logical_and(i > 2, j > 2), i < 1),
    "small_numbers": lambda b, h, i, j: i * np.int8(3) < j + np.uint16(4),
    "one_side": lambda b, h, i, j: i > 4,
}


@pytest.mark.parametrize("f", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("block_size", [1, 3, (4, 2), 20])
def test_bounds_hold_at_every_pair(f: Any, block_size: Any) -> None:
    grid = check_grid((13, 11), block_size)
    bounds = block_bounds(f, ITEM, HEAD, grid)
    assert bounds is not None
    low, high = (np.broadcast_to(one, (3, 2, *grid.shape)) for one in (bounds.low, bounds.high))
    i, j = np.ogrid[:13, :11]
    exact = np.broadcast_to(f(ITEM, HEAD, i[None, None], j[None, None]), (3, 2, 13, 11))
    for place in np.ndindex(low.shape):
        rows, columns = (grid.positions(axis, place[2 + axis]) for axis in (0, 1))
        block = exact[place[:2]][rows, columns]
        assert low[place] <= block.min() <= block.max() <= high[place]
        if block_size == 1:
            assert low[place] == high[place]  # nothing is lost where blocks are single pairs
    mask = BlockMask.from_function(f, (13, 11), 3, 2, block_size=block_size)
    assert np.array_equal(mask.to_dense(), exact)


UNKNOWN: dict[str, Any] = {
    "table": lambda b, h, i, j: np.arange(20)[i] >= j,
    "shape": lambda b, h, i, j: np.ones(i.shape, bool) & (i >= j),
    "where": lambda b, h, i, j: np.where(i > 3, i >= j, j < 2),
    "plain_where": lambda b, h, i, j: np.where(b > 0, i, 0) >= j,
    "float": lambda b, h, i, j: i * 0.5 >= j,
    "divided": lambda b, h, i, j: i / 2 >= j,
    "by_position": lambda b, h, i, j: i % (j + 1) == 0,
    "by_zero_or_less": lambda b, h, i, j: i // -2 >= -j,
    "sum_of_truths": lambda b, h, i, j: ((i > 3) + (j > 3)) > 0,
    "bits": lambda b, h, i, j: (i & 3) == (j & 3),
    "mixed": lambda b, h, i, j: (i > 3) * j > 2,
    "unsigned": lambda b, h, i, j: i.astype(np.uint64) > j.astype(np.uint64),
    "no_truth": lambda b, h, i, j: i >= j if i.size else j < 0,
    "large": lambda b, h, i, j: i * 2**61 - j * 2**61 >= 0,
    "constant": lambda b, h, i, j: True,
}


@pytest.mark.parametrize("f", UNKNOWN.values(), ids=UNKNOWN)
def test_other_functions_are_not_bounded_but_right(f: Any) -> None:
    assert block_bounds(f, ITEM, HEAD, check_grid((13, 11), 4)) is None
    i, j = np.arange(13)[None, None, :, None], np.arange(11)[None, None, None]
    exact = np.broadcast_to(f(ITEM, HEAD, i, j), (3, 2, 13, 11))
    mask = BlockMask.from_function(f, (13, 11), 3, 2, block_size=4)
    assert np.array_equal(mask.to_dense(), exact)


def test_numbers_and_their_likes_are_refused_in_full() -> None:
    bounds = block_bounds(lambda b, h, i, j: i - j, ITEM, HEAD, check_grid(8, 2))
    assert bounds is None  # no truth values: the full call says so
    with pytest.raises(TypeError, match="f must return booleans"):
        BlockMask.from_function(lambda b, h, i, j: i - j, 8)


def test_bounds_are_no_arrays() -> None:
    bounds = Bounds(np.array([1]), np.array([2]))
    misuses: list[Any] = [
        np.asarray, bool, len, np.sum, np.exp, np.add.reduce,
        lambda one: np.add.outer(one, one), lambda one: np.less(one, 3, out=np.empty(1, bool)),
    ]  # fmt: skip
    for misused in misuses:
        with pytest.raises(TypeError):
            misused(bounds)


def test_few_pairs_are_asked_for() -> None:
    asked = 0

    def f(b: Any, h: Any, i: Any, j: Any) -> Any:
        nonlocal asked
        asked += 0 if isinstance(i, Bounds) else i.size * j.size
        return (i >= j) & (i - j < 1000)

    mask = BlockMask.from_function(f, 65536)
    assert asked < 65536 * 10 * 128
    assert mask == BlockMask.window(65536, 999, 0)
