"""The fewest blocks that hold a share of the weight, against NumPy's softmax and every choice."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import BlockMask
from heedful.functional.block_mask import _weighing


def block_weights(scores: NDArray[Any], block_size: tuple[int, int]) -> NDArray[np.float64]:
    """(…, nq, nk) from scores (…, Lq, Lk), −inf where hidden."""
    with np.errstate(invalid="ignore"):
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights = np.nan_to_num(weights / weights.sum(axis=-1, keepdims=True))
    rows, columns = (
        range(0, length, size) for length, size in zip(scores.shape[-2:], block_size, strict=True)
    )
    return np.stack([
        np.stack([
            weights[..., i : i + block_size[0], j : j + block_size[1]].sum(axis=(-2, -1))
            for j in columns
        ], axis=-1) for i in rows
    ], axis=-2)  # fmt: skip


def assert_fewest(mask: BlockMask, weights: NDArray[np.float64], mass: float) -> None:
    assert mask.blocks.shape == weights.shape
    assert set(np.unique(mask.blocks)) <= {0, 1}
    for place in np.ndindex(weights.shape[:-1]):
        row, kept = weights[place], mask.blocks[place] == 1
        wanted = mass * row.sum()
        assert row[kept].sum() >= wanted * (1 - 1e-6)
        fewer = itertools.combinations(range(len(row)), max(0, kept.sum() - 1))
        if kept.any():
            assert all(row[list(choice)].sum() < wanted * (1 + 1e-6) for choice in fewer)


def drawn(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    return 2 * rng.standard_normal(shape, dtype=np.float32)


@pytest.mark.parametrize("mass", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("memory", [2**24, 1])
def test_no_fewer_blocks_hold_the_share(
    mass: float, memory: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_weighing, "_MEMORY", memory)
    query, key = drawn(rng, 2, 4, 19, 8), drawn(rng, 2, 2, 26, 8)
    mask = BlockMask.from_weights(query, key, mass, block_size=(5, 4))
    scores = query.astype(float) @ np.repeat(key, 2, axis=1).astype(float).swapaxes(-1, -2)
    assert_fewest(mask, block_weights(scores / np.sqrt(8), (5, 4)), mass)


def test_restrictions_decide_about_the_weights(rng: np.random.Generator) -> None:
    query, key = drawn(rng, 3, 20, 8), drawn(rng, 3, 20, 8)
    bias = drawn(rng, 20, 20)
    mask = BlockMask.from_weights(
        query, key, 0.8, block_size=4, causal=True, bias=bias, scale=0.5, kv_lengths=17,
        layout="bhld",
    )  # fmt: skip
    scores = 0.5 * query.astype(float) @ key.astype(float).swapaxes(-1, -2) + bias
    i, j = np.ogrid[:20, :20]
    scores = np.where((j <= i) & (j < 17), scores, -np.inf)
    assert_fewest(mask, block_weights(scores, (4, 4)), 0.8)
    assert not mask.blocks[:, np.triu_indices(5, 1)[0], np.triu_indices(5, 1)[1]].any()


def test_the_other_layout_and_two_axes(rng: np.random.Generator) -> None:
    query, key = drawn(rng, 2, 13, 3, 8), drawn(rng, 2, 17, 3, 8)
    other = BlockMask.from_weights(query, key, block_size=4, layout="blhd")
    heads_first = [array.swapaxes(1, 2) for array in (query, key)]
    assert other == BlockMask.from_weights(*heads_first, block_size=4)
    single = BlockMask.from_weights(query[0, :, 0], key[0, :, 0], block_size=4)
    assert np.array_equal(single.blocks, other.blocks[0, :1])


def test_rows_that_attend_to_nothing_keep_nothing(rng: np.random.Generator) -> None:
    query, key = drawn(rng, 12, 8), drawn(rng, 12, 8)
    visible = np.ones((12, 12), bool)
    visible[4:8] = False
    mask = BlockMask.from_weights(query, key, 1.0, block_size=4, mask=visible)
    assert mask.blocks[0].tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 1]]


def test_equal_weights_keep_the_first_blocks() -> None:
    mask = BlockMask.from_weights(np.zeros((4, 3)), np.zeros((16, 3)), 0.5, block_size=4)
    assert mask.blocks[0].tolist() == [[1, 1, 0, 0]]


def test_a_row_of_nan_keeps_all(rng: np.random.Generator) -> None:
    query, key = drawn(rng, 8, 3), drawn(rng, 8, 3)
    query[5] = np.nan
    mask = BlockMask.from_weights(query, key, 0.1, block_size=2)
    assert mask.blocks[0, 2].tolist() == [1, 1, 1, 1]


def test_every_type(dtype: np.dtype[Any], rng: np.random.Generator) -> None:
    query, key = drawn(rng, 2, 16, 8).astype(dtype), drawn(rng, 2, 16, 8).astype(dtype)
    mask = BlockMask.from_weights(query, key, 0.7, block_size=4)
    weights = heedful.attention_weights(query.astype(float), key.astype(float))
    with np.errstate(divide="ignore"):
        assert_fewest(mask, block_weights(np.log(weights), (4, 4)), 0.7)
