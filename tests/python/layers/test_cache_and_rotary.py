"""KVCache and rotary_embedding against plain NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful


def test_items_of_a_cache_grow_by_themselves(rng: np.random.Generator) -> None:
    cache, expected = heedful.KVCache(), [np.zeros((2, 0, 3)) for _ in range(3)]
    for rows in (1, 70, 5, 200):
        key = rng.standard_normal((3, 2, rows, 3))
        lengths = rng.integers(0, rows + 1, 3)
        before = cache.append(key, -key, lengths)
        assert before.tolist() == [one.shape[1] for one in expected]
        expected = [
            np.concatenate([one, new[:, :n]], 1)
            for one, new, n in zip(expected, key, lengths, strict=True)
        ]
        assert cache.lengths.tolist() == [one.shape[1] for one in expected]
        for item, one in enumerate(expected):
            np.testing.assert_array_equal(cache.key[item, :, : one.shape[1]], one)
            np.testing.assert_array_equal(cache.value[item, :, : one.shape[1]], -one)


def test_a_step_does_not_copy_what_is_there(rng: np.random.Generator) -> None:
    cache = heedful.KVCache(capacity=100)
    row = rng.standard_normal((1, 2, 1, 3))
    cache.append(row, row)
    where = cache.key.__array_interface__["data"]
    for _ in range(99):
        cache.append(row, row)
    assert cache.key.__array_interface__["data"] == where
    assert cache.key.shape == (1, 2, 100, 3)


def test_a_reordered_cache_goes_on_as_another(rng: np.random.Generator) -> None:
    cache = heedful.KVCache()
    key = rng.standard_normal((3, 2, 4, 3))
    cache.append(key, key, [4, 2, 3])
    cache.reorder([2, 2, 0, 1])
    assert cache.lengths.tolist() == [3, 3, 4, 2]
    np.testing.assert_array_equal(cache.key[1, :, :3], key[2, :, :3])


def test_a_cache_of_16_bits_is_read_in_place(rng: np.random.Generator) -> None:
    cache = heedful.KVCache(dtype=np.float16)
    query, key = rng.standard_normal((2, 1, 2, 5, 8)).astype(np.float32)
    cache.append(key, key)
    assert cache.key.dtype == np.float16
    out = heedful.attention(query, cache.key, cache.value)
    rounded = key.astype(np.float16).astype(np.float32)
    np.testing.assert_allclose(out, heedful.attention(query, rounded, rounded), atol=1e-6)


def turned(x: Any, positions: Any, base: float, interleaved: bool) -> Any:
    """By complex numbers, one pair at a time."""
    y, depth = np.array(x), x.shape[-1]
    for i in range(depth // 2):
        a, b = (2 * i, 2 * i + 1) if interleaved else (i, i + depth // 2)
        factor = np.exp(1j * positions * base ** (-2 * i / depth))
        z = (x[..., a] + 1j * x[..., b]) * factor
        y[..., a], y[..., b] = z.real, z.imag
    return y


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_turns_pairs(rng: np.random.Generator, interleaved: bool) -> None:
    x = rng.standard_normal((2, 3, 5, 6))
    options = {"interleaved": interleaved, "base": 500.0}
    expected = turned(x, np.arange(5) + 7, 500.0, interleaved)
    found = heedful.rotary_embedding(x, 7, **options)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(
        heedful.rotary_embedding(x.swapaxes(1, 2), 7, layout="blhd", **options),
        expected.swapaxes(1, 2), atol=1e-12,
    )  # fmt: skip
    back = heedful.rotary_embedding(found, 7, inverse=True, **options)
    np.testing.assert_allclose(back, x, atol=1e-12)
    positions = np.array([[0, 1, 2, 3, 4], [9, 8, 7, 6, 5]])
    np.testing.assert_allclose(
        heedful.rotary_embedding(x, positions, **options),
        turned(x, positions[:, None], 500.0, interleaved), atol=1e-12,
    )  # fmt: skip


def test_rotary_of_some_features_leaves_the_others(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 5, 6))
    found = heedful.rotary_embedding(x, rotary_dim=4)
    np.testing.assert_array_equal(found[..., 4:], x[..., 4:])
    np.testing.assert_allclose(
        found[..., :4], heedful.rotary_embedding(x[..., :4].copy()), atol=1e-12
    )


def test_scores_depend_on_distances_alone(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 4, 8))
    here = heedful.rotary_embedding(query) @ heedful.rotary_embedding(key).T
    there = heedful.rotary_embedding(query, 1000) @ heedful.rotary_embedding(key, 1000).T
    np.testing.assert_allclose(here, there, atol=1e-10)
