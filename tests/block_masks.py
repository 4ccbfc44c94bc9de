"""Block masks read block by block, and compared with a boolean mask of every pair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import heedful

# (Lq, Lk), block size: lengths that blocks do not divide, longer queries or keys, oblong blocks
GRIDS = [
    ((13, 13), 4),
    ((12, 12), 4),
    ((16, 16), (5, 3)),
    ((7, 17), (4, 3)),
    ((17, 7), (3, 5)),
    ((5, 5), 8),
    ((1, 9), 2),
    ((11, 1), (2, 7)),
    ((6, 6), 1),
    ((31, 29), (5, 11)),
    ((40, 40), (3, 17)),
]
SQUARE = [grid for grid in GRIDS if grid[0][0] == grid[0][1]]


def every_pair(lengths: tuple[int, int], visible: Callable[[int, int], bool]) -> NDArray[np.bool_]:
    return np.array([[visible(i, j) for j in range(lengths[1])] for i in range(lengths[0])], bool)


def bits_of(visible: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """(rows, keys) → (rows, bytes), bit by bit as documented."""
    rows, keys = visible.shape
    bits = np.zeros((rows, -(-keys // 8)), np.uint8)
    for key in range(keys):
        bits[:, key // 8] |= visible[:, key].astype(np.uint8) << (key % 8)
    return bits


def assert_shows(mask: heedful.BlockMask, dense: NDArray[np.bool_]) -> None:
    """Blocks and patterns are those of a mask (…, Lq, Lk), and stated as documented."""
    assert mask.lengths == dense.shape[-2:]
    rows, columns = mask.block_size
    grid = tuple(
        -(-length // size) for length, size in zip(mask.lengths, mask.block_size, strict=True)
    )
    assert mask.blocks.dtype == np.int32
    assert mask.blocks.flags.c_contiguous
    leading = mask.blocks.shape[:-2]
    assert len(leading) >= 1
    assert mask.blocks.shape[-2:] == grid
    assert mask.patterns.dtype == np.uint8
    assert mask.patterns.shape[1:] == (rows, -(-columns // 8))
    dense = np.broadcast_to(dense, (*leading, *dense.shape[-2:]))
    order: list[int] = []
    for place in np.ndindex(mask.blocks.shape):
        *item, row, column = place
        tile = dense[tuple(item)][
            row * rows : (row + 1) * rows, column * columns : (column + 1) * columns
        ]
        kind = int(mask.blocks[place])
        if kind < 2:
            assert np.array_equal(tile, np.full(tile.shape, kind == 1)), place
            continue
        assert tile.any()
        assert not tile.all()
        whole = np.zeros((rows, columns), bool)
        whole[: tile.shape[0], : tile.shape[1]] = tile
        assert np.array_equal(mask.patterns[kind - 2], bits_of(whole)), place
        order.append(kind - 2)
    # each stored once, numbered as they first occur
    assert list(dict.fromkeys(order)) == list(range(len(mask.patterns)))
    assert len({pattern.tobytes() for pattern in mask.patterns}) == len(mask.patterns)


def drawn(shape: tuple[int, ...], rng: np.random.Generator, block: int = 3) -> NDArray[np.bool_]:
    """A random mask with empty, full and mixed regions."""
    coarse = rng.choice([0.0, 0.5, 1.0], (*shape[:-2], *(-(-n // block) for n in shape[-2:])))
    fine = np.repeat(np.repeat(coarse, block, axis=-2), block, axis=-1)
    dense: NDArray[np.bool_] = rng.random(shape) < fine[..., : shape[-2], : shape[-1]]
    return dense


def shown_by(case: Any) -> str:
    (queries, keys), size = case
    return f"{queries}x{keys}-{size}".replace(" ", "")
