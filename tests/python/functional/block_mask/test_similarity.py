"""Blocks predicted from means, against the method written out in loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import BlockMask
from heedful.functional.block_mask import _similarity

pytestmark = pytest.mark.once


def parts(vectors: NDArray[Any], size: int) -> list[NDArray[Any]]:
    return [vectors[first : first + size] for first in range(0, len(vectors), size)]


def likeness(vectors: NDArray[Any]) -> float:
    """Mean cosine of every pair."""
    cosines = [x @ y / np.linalg.norm(x) / np.linalg.norm(y) for x in vectors for y in vectors]
    return float(np.mean(cosines))


def predicted(
    query: NDArray[Any], key: NDArray[Any], mass: float, threshold: float, scale: float,
    size: tuple[int, int], exists: NDArray[np.bool_],
) -> NDArray[np.bool_]:  # fmt: skip
    """SpargeAttn's stage one (algorithm 1), for one head."""
    queries, keys = parts(query, size[0]), parts(key - key.mean(axis=0), size[1])
    kept = np.zeros((len(queries), len(keys)), bool)
    alike = [likeness(vectors) >= threshold for vectors in keys]
    for row, vectors in enumerate(queries):
        scores = np.array([
            scale * vectors.mean(axis=0) @ other.mean(axis=0)
            if alike[column] and exists[row, column] else -np.inf
            for column, other in enumerate(keys)
        ])  # fmt: skip
        if np.isfinite(scores).any():
            weights = np.exp(scores - scores.max())
            weights /= weights.sum()
            held = 0.0
            for column in np.argsort(-weights, kind="stable"):
                if held >= mass:
                    break
                kept[row, column] = True
                held += weights[column]
        if likeness(vectors) < threshold:
            kept[row] = True
    kept[:, ~np.array(alike)] = True
    return kept & exists


def clustered(rng: np.random.Generator, *shape: int) -> NDArray[np.float64]:
    """Neighbours are alike in some places, elsewhere not; all share a direction."""
    length = shape[-2]
    slow = np.repeat(rng.standard_normal((*shape[:-2], length // 4 + 1, shape[-1])), 4, axis=-2)
    noise = rng.standard_normal(shape) * rng.choice([0.1, 2.0], (*shape[:-1], 1))
    return 2 * slow[..., :length, :] + noise + 1


@pytest.mark.parametrize("mass", [0.3, 0.9, 1.0])
@pytest.mark.parametrize("threshold", [-1.0, 0.3, 0.8])
@pytest.mark.parametrize("at_once", [2**19, 1])
def test_blocks_are_those_of_the_method(
    mass: float, threshold: float, at_once: int, rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_similarity, "_AT_ONCE", at_once)
    query, key = clustered(rng, 2, 4, 22, 6), clustered(rng, 2, 2, 27, 6)
    mask = BlockMask.from_similarity(query, key, mass, threshold, block_size=(4, 5))
    every = np.ones((6, 6), bool)
    for item, head in np.ndindex(2, 4):
        wanted = predicted(
            query[item, head], key[item, head // 2], mass, threshold, 6**-0.5, (4, 5), every
        )
        assert np.array_equal(mask.blocks[item, head] == 1, wanted)
    assert set(np.unique(mask.blocks)) <= {0, 1}


def test_what_a_block_mask_hides_is_not_predicted(rng: np.random.Generator) -> None:
    query, key = clustered(rng, 3, 22, 6), clustered(rng, 3, 22, 6)
    causal = BlockMask.causal(22, block_size=4)
    mask = BlockMask.from_similarity(
        query, key, 0.7, 0.3, block_mask=causal, scale=0.2, block_size=4
    )
    exists = causal.blocks[0] != 0
    for head in range(3):
        wanted = predicted(query[head], key[head], 0.7, 0.3, 0.2, (4, 4), exists)
        assert np.array_equal(mask.blocks[head] != 0, wanted)
    assert mask == mask & causal


def test_the_other_layout_and_two_axes(rng: np.random.Generator) -> None:
    query, key = clustered(rng, 2, 3, 13, 8), clustered(rng, 2, 3, 17, 8)
    mask = BlockMask.from_similarity(query, key, block_size=4)
    swapped = [array.swapaxes(1, 2) for array in (query, key)]
    assert mask == BlockMask.from_similarity(*swapped, layout="blhd", block_size=4)
    single = BlockMask.from_similarity(query[0, 1], key[0, 1], block_size=4)
    assert np.array_equal(single.blocks, mask.blocks[0, 1:2])


def test_leading_axes_broadcast(rng: np.random.Generator) -> None:
    query, key = clustered(rng, 2, 3, 13, 8), clustered(rng, 1, 17, 8)
    mask = BlockMask.from_similarity(query, key, block_size=4)
    repeated = np.broadcast_to(key, (2, 3, 17, 8))
    assert mask == BlockMask.from_similarity(query, repeated, block_size=4)


def test_vectors_without_direction_or_numbers_keep_all(rng: np.random.Generator) -> None:
    query, key = np.repeat(rng.standard_normal((2, 4, 1, 8)), 4, axis=2).reshape(2, 16, 8)
    query[5], query[8:12] = np.nan, 0
    mask = BlockMask.from_similarity(query, key, 0.1, block_size=4)
    assert mask.blocks[0, 1].all()
    assert mask.blocks[0, 2].all()
    assert not mask.blocks[0, 0].all()


def assert_as_in_float64(query: NDArray[Any], key: NDArray[Any]) -> None:
    mask = BlockMask.from_similarity(query, key, block_size=4)
    assert mask == BlockMask.from_similarity(query.astype(float), key.astype(float), block_size=4)


def test_every_type(dtype: np.dtype[Any], rng: np.random.Generator) -> None:
    query, key = (clustered(rng, 2, 16, 8).astype(dtype) for _ in range(2))
    assert_as_in_float64(query, key)


def test_integers(rng: np.random.Generator) -> None:
    query, key = ((3 * clustered(rng, 2, 16, 8)).astype(np.int32) for _ in range(2))
    assert_as_in_float64(query, key)
