"""KVCache against plain NumPy."""

from __future__ import annotations

import numpy as np

import heedful


def test_items_of_a_cache_grow_independently(rng: np.random.Generator) -> None:
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


def test_a_step_does_not_copy_earlier_rows(rng: np.random.Generator) -> None:
    cache = heedful.KVCache(capacity=100)
    row = rng.standard_normal((1, 2, 1, 3))
    cache.append(row, row)
    where = cache.key.__array_interface__["data"]
    for _ in range(99):
        cache.append(row, row)
    assert cache.key.__array_interface__["data"] == where
    assert cache.key.shape == (1, 2, 100, 3)


def test_a_reordered_cache_continues_other_items(rng: np.random.Generator) -> None:
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
