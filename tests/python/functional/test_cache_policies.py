"""Policies of a cache, each against its definition computed row by row in NumPy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from row_by_row import B, D, H, draw

import heedful
from heedful import HeavyHitters, KVCache, QuestPages, SinksAndWindow

POLICIES: dict[str, Any] = {
    "sinks": SinksAndWindow(sinks=3, window=20), "plain window": SinksAndWindow(0, 20),
    "heavy": HeavyHitters(heavy=9, recent=7), "quest": QuestPages(pages=3),
}  # fmt: skip
each_policy = pytest.mark.parametrize("name", POLICIES)


@each_policy
@pytest.mark.parametrize("dtype", [None, "int8"])
def test_memory_or_work_is_bounded_and_a_short_text_is_seen_whole(
    name: str, dtype: Any, rng: np.random.Generator
) -> None:
    query, key, value = (each.astype(np.float32) for each in draw(rng, 16))
    cache = KVCache(policy=POLICIES[name], dtype=dtype)
    before = cache.append(key, value)
    out = cache.attend(query, causal=True, align=before)
    atol = 0.05 if dtype else 1e-5
    np.testing.assert_allclose(out, heedful.attention(query, key, value, causal=True), atol=atol)
    sizes = []
    for _ in range(300):
        before = cache.append(key[:, :, :1], value[:, :, :1])
        cache.attend(query[:, :, :1], causal=True, align=before)
        sizes.append(cache.nbytes)
    assert cache.lengths.tolist() == [316, 316]
    if name != "quest":
        assert max(sizes[100:]) == max(sizes[:100])


@each_policy
def test_items_are_reordered_and_copied(name: str, rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 80)
    caches = [KVCache(policy=POLICIES[name], page_size=4) for _ in range(2)]
    for p in range(70):
        for cache in caches:
            before = cache.append(key[:, :, p : p + 1], value[:, :, p : p + 1])
            cache.attend(query[:, :, p : p + 1], causal=True, align=before)
    caches[1].reorder([1, 0])
    copied = copy.copy(caches[1])
    for p in range(70, 80):
        rows = [each[:, :, p : p + 1] for each in (query, key, value)]
        before = caches[0].append(rows[1], rows[2])
        expected = caches[0].attend(rows[0], causal=True, align=before)
        for cache in (caches[1], copied):
            before = cache.append(rows[1][::-1], rows[2][::-1])
            out = cache.attend(rows[0][::-1], causal=True, align=before)
            np.testing.assert_array_equal(out[::-1], expected)


@each_policy
def test_a_result_is_written_where_requested(name: str, rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 50)
    cache = KVCache(policy=POLICIES[name], page_size=4)
    before = cache.append(key, value)
    for rows, align in ((query, before), (query[:, :, -1:], None)):
        expected, lse = copy.copy(cache).attend(rows, causal=True, align=align, return_lse=True)
        out = np.empty(rows.shape)
        assert cache.attend(rows, causal=True, align=align, out=out) is out
        np.testing.assert_array_equal(out, expected)
        assert lse.shape == rows.shape[:3]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sinks", {"mask": np.ones((1, 1), bool)}, "mask cannot be combined with SinksAndWindow"),
        ("sinks", {"bias": np.ones((1, 1))}, "bias cannot be combined with SinksAndWindow"),
        ("sinks", {"return_weights": True}, "return_weights cannot be combined"),
        ("heavy", {"window": (3, 0)}, "window cannot be combined with HeavyHitters"),
        ("heavy", {"alibi_slopes": np.ones(H)}, "alibi_slopes cannot be combined with Heavy"),
        ("heavy", {"mask": np.ones((1, 1), bool)}, "mask cannot be combined with HeavyHitters"),
        ("sinks", {"align": [1, 2, 3]}, r"align must be a single integer or have shape \(2,\)"),
        ("heavy", {"align": "left"}, "align must be"),
        ("quest", {"query_of_sinks": np.ones((B, H, 1, D))}, "query_of_sinks needs a cache with"),
        ("plain window", {"query_of_sinks": np.ones((B, H, 1, D))}, "query_of_sinks needs"),
        ("sinks", {"query_of_sinks": np.ones((B, H, 2, D))}, "query_of_sinks must have the shape"),
    ],
)
def test_what_a_policy_cannot_do_is_refused(
    name: str, options: dict[str, Any], message: str, rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, 30)
    cache = KVCache(policy=POLICIES[name])
    cache.append(key, value)
    with pytest.raises(ValueError, match=message):
        cache.attend(query[:, :, :1], causal=True, **options)


@pytest.mark.parametrize("name", ["sinks", "heavy"])
def test_rows_are_not_removed_where_a_policy_removes_others(
    name: str, rng: np.random.Generator
) -> None:
    _, key, value = draw(rng, 30)
    cache = KVCache(policy=POLICIES[name])
    cache.append(key, value)
    with pytest.raises(ValueError, match="lengths cannot be set where a policy removes rows"):
        cache.lengths = [3, 3]
    with pytest.raises(ValueError, match=r"the cache has no page table: it needs no policy"):
        _ = cache.page_table
    assert cache.lengths.tolist() == [30, 30]


@pytest.mark.parametrize(
    ("kind", "arguments", "error", "message"),
    [
        (SinksAndWindow, {"sinks": -1}, ValueError, "sinks must be an integer from 0 on: got -1"),
        (SinksAndWindow, {"sinks": 1.5}, TypeError, "sinks must be an integer from 0 on: got 1.5"),
        (SinksAndWindow, {"window": 0}, ValueError, "window must be at least 1: got 0"),
        (HeavyHitters, {"heavy": 0}, ValueError, "heavy must be at least 1: got 0"),
        (HeavyHitters, {"recent": True}, TypeError, "recent must be an integer: got True"),
        (QuestPages, {"pages": 0}, ValueError, "pages must be at least 1: got 0"),
    ],
)
def test_what_a_policy_is_made_of_is_checked(
    kind: Any, arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        kind(**arguments)
