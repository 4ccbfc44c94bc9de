"""Policies of a cache, each against its definition computed row by row in NumPy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import HeavyHitters, KVCache, QuestPages, SinksAndWindow

Array = NDArray[Any]
B, H, HKV, D = 2, 4, 2, 8
POLICIES: dict[str, Any] = {
    "sinks": SinksAndWindow(sinks=3, window=20), "plain window": SinksAndWindow(0, 20),
    "heavy": HeavyHitters(heavy=9, recent=7), "quest": QuestPages(pages=3),
}  # fmt: skip
each_policy = pytest.mark.parametrize("name", POLICIES)


def draw(rng: np.random.Generator, length: int) -> tuple[Array, Array, Array]:
    query, key, value = (
        rng.standard_normal((B, heads, length, D)) * factor
        for heads, factor in ((H, 2.0), (HKV, 1.0), (HKV, 1.0))
    )
    return query, key, value


def softmax(scores: Array) -> Array:
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    weights: Array = scores / scores.sum(-1, keepdims=True)
    return weights


def rotated(x: Array, position: Any) -> Array:
    """Pairs (i, i + D/2) as complex numbers times exp(i · position · 10000^(−2i/D))."""
    angle = np.asarray(position)[..., None] * 10000.0 ** (-2 * np.arange(D // 2) / D)
    turned = (x[..., : D // 2] + 1j * x[..., D // 2 :]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], axis=-1)


def one_row(query: Array, keys: Array, values: Array, bias: Any = 0.0) -> Array:
    out: Array = softmax(keys @ query / np.sqrt(D) + bias) @ values
    return out


# %% Sinks and window


def sinks_and_window(
    query: Array, key: Array, value: Array, sinks: int, window: int, rotary: bool, slopes: Any
) -> Array:
    """Every query with the rows that it sees, at the distances within the cache."""
    out = np.zeros((*query.shape[:3], D))
    for b, h, p in np.ndindex(query.shape[:3]):
        rows = [j for j in range(p + 1) if j < sinks or j > p - window]
        # places within the cache, in which the last one is the query's
        place = [j if j < sinks or p < sinks + window else j - p + sinks + window - 1 for j in rows]
        own = min(p, sinks + window - 1)
        keys, one = key[b, h // 2, rows], query[b, h, p]
        if rotary:
            keys, one = rotated(keys, place), rotated(one, own)
        bias = -slopes[h] * np.abs(own - np.array(place)) if slopes is not None else 0.0
        out[b, h, p] = one_row(one, keys, value[b, h // 2, rows], bias)
    return out


@pytest.mark.parametrize("steps", [[1] * 70, [30, 1, 1, 25, 13], [70], [2, 68]], ids=str)
@pytest.mark.parametrize("positions", ["none", "rotary", "alibi"])
@pytest.mark.parametrize("sinks", [0, 3])
def test_sinks_and_window_are_seen_at_the_distances_within_the_cache(
    steps: list[int], positions: str, sinks: int, rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, sum(steps))
    slopes = np.linspace(0.05, 0.2, H) if positions == "alibi" else None
    policy = SinksAndWindow(sinks, window=20)
    cache, parts, first = KVCache(policy=policy, page_size=4), [], 0
    for length in steps:
        own, places = slice(first, first + length), first + np.arange(length)
        rows, keys = query[:, :, own], key[:, :, own]
        extra: dict[str, Any] = {}
        if positions == "rotary":
            if sinks:
                extra["query_of_sinks"] = rotated(rows, policy.positions(places))
            rows, keys = rotated(rows, places), rotated(keys, places)
        before = cache.append(keys, value[:, :, own])
        parts.append(cache.attend(rows, causal=True, align=before, alibi_slopes=slopes, **extra))
        first += length
    expected = sinks_and_window(query, key, value, sinks, 20, positions == "rotary", slopes)
    np.testing.assert_allclose(np.concatenate(parts, axis=2), expected, atol=1e-12)


def test_sinks_and_window_of_items_of_different_lengths(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 90)
    lengths = np.array([[2, 1, 40], [30, 1, 5]]).T
    cache = KVCache(policy=SinksAndWindow(3, 20), page_size=4)
    found: list[list[Array]] = [[], []]
    first = np.zeros(2, int)
    for counts in lengths:
        rows = [
            np.stack([each[b][:, first[b] : first[b] + counts.max()] for b in range(2)])
            for each in (query, key, value)
        ]
        before = cache.append(rows[1], rows[2], counts)
        np.testing.assert_array_equal(before, first)
        out = cache.attend(rows[0], causal=True, align=before)
        for b in range(2):
            found[b].append(out[b, :, : counts[b]])
        first += counts
    expected = sinks_and_window(query, key, value, 3, 20, False, None)
    for b in range(2):
        own = np.concatenate(found[b], axis=1)
        np.testing.assert_allclose(own, expected[b, :, : own.shape[1]], atol=1e-12)


# %% Heavy hitters


def heavy_hitters(query: Array, key: Array, value: Array, heavy: int, recent: int) -> Array:
    """Steps of one row; before a row is added to 9/8 of the wanted ones, others are dropped."""
    out = np.zeros((*query.shape[:3], D))
    for b, g in np.ndindex(B, HKV):
        kept: list[int] = []
        received: dict[int, float] = {}
        for p in range(query.shape[2]):
            if len(kept) >= (heavy + recent) * 9 // 8:
                old = sorted(kept[:-recent], key=lambda j: -received[j])[:heavy]
                kept = sorted(old) + kept[-recent:]
            kept.append(p)
            received[p] = 0.0
            for h in (2 * g, 2 * g + 1):
                weights = softmax(key[b, g, kept] @ query[b, h, p] / np.sqrt(D))
                out[b, h, p] = weights @ value[b, g, kept]
                for j, weight in zip(kept, weights, strict=True):
                    received[j] += weight
    return out


def test_heavy_hitters_are_kept_for_each_key_head(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 90)
    cache = KVCache(policy=HeavyHitters(heavy=9, recent=7))
    parts = []
    for p in range(90):
        before = cache.append(key[:, :, p : p + 1], value[:, :, p : p + 1])
        parts.append(cache.attend(query[:, :, p : p + 1], causal=True, align=before))
        assert cache.key.shape[2] <= 18
    expected = heavy_hitters(query, key, value, 9, 7)
    np.testing.assert_allclose(np.concatenate(parts, axis=2), expected, atol=1e-12)


def test_a_prompt_is_seen_as_a_whole_and_weighs_its_rows(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 601)  # more queries than are weighed together
    lengths = np.array([600, 400])
    cache = KVCache(policy=HeavyHitters(heavy=9, recent=7))
    before = cache.append(key[:, :, :600], value[:, :, :600], lengths)
    out = cache.attend(query[:, :, :600], causal=True, align=before)
    whole = heedful.attention(
        query[:, :, :600], key[:, :, :600], value[:, :, :600], causal=True, kv_lengths=lengths,
    )  # fmt: skip
    np.testing.assert_allclose(out, whole, atol=1e-12)
    last = [key[b, :, n : n + 1] for b, n in enumerate(lengths)]
    cache.append(np.stack(last), np.stack(last))
    for b, length in enumerate(lengths):
        for g in range(HKV):
            seen = np.tril(np.ones((length, length), bool))
            received = np.zeros(length)
            for h in (2 * g, 2 * g + 1):
                scores = query[b, h, :length] @ key[b, g, :length].T / np.sqrt(D)
                received += softmax(np.where(seen, scores, -np.inf)).sum(0)
            heavy = np.sort(np.argsort(-received[: length - 7])[:9])
            kept = [*heavy.tolist(), *range(length - 7, length)]
            np.testing.assert_array_equal(cache.key[b, g, :16], key[b, g, kept])


# %% Quest


def quest(query: Array, key: Array, value: Array, size: int, pages: int) -> Array:
    """The last query, with the pages of the highest bounds."""
    out = np.zeros((B, H, D))
    length = key.shape[2]
    count = -(-length // size)
    for b, g in np.ndindex(B, HKV):
        bounds = []
        for page in range(count):
            rows = key[b, g, page * size : (page + 1) * size]
            low, high = rows.min(0), rows.max(0)
            bounds.append(
                max(np.maximum(q * low, q * high).sum() for q in query[b, 2 * g : 2 * g + 2, -1])
            )
        best = sorted(range(count - 1), key=lambda page: -bounds[page])[: pages - 1]
        rows = [j for page in sorted(best) for j in range(page * size, page * size + size)]
        rows += range((count - 1) * size, length)
        for h in (2 * g, 2 * g + 1):
            out[b, h] = one_row(query[b, h, -1], key[b, g, rows], value[b, g, rows])
    return out


@pytest.mark.parametrize("layout", ["bhld", "blhd"])
@pytest.mark.parametrize("prompt", [1, 37, 64])
def test_quest_reads_the_pages_with_the_highest_bounds(
    prompt: int, layout: Any, rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, 90)
    cache = KVCache(policy=QuestPages(pages=4), page_size=8)
    cache.append(key[:, :, :prompt], value[:, :, :prompt])
    for p in range(prompt, 90):
        one = slice(p, p + 1)
        before = cache.append(key[:, :, one], value[:, :, one])
        rows = query[:, :, one].swapaxes(1, 2) if layout == "blhd" else query[:, :, one]
        out, lse = cache.attend(rows, causal=True, align=before, layout=layout, return_lse=True)
        out = out[:, 0] if layout == "blhd" else out[:, :, 0]
        expected = quest(query[:, :, : p + 1], key[:, :, : p + 1], value[:, :, : p + 1], 8, 4)
        np.testing.assert_allclose(out, expected, atol=1e-12)
        assert lse.shape == (B, H, 1)


def test_quest_of_items_of_different_lengths_and_shared_pages(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 100)
    cache = KVCache(policy=QuestPages(pages=4), page_size=8)
    lengths = np.array([100, 11])
    cache.append(key, value, lengths)
    cache.reorder([1, 0])
    cache.fork([1])
    new_key, new_value = (rng.standard_normal((3, HKV, 1, D)) for _ in range(2))
    cache.append(new_key, new_value)
    out = cache.attend(query[[1, 0, 0], :, :1])
    for item, source in enumerate((1, 0, 0)):
        rows = [
            np.concatenate([one[source, :, : lengths[source]], new[item]], axis=1)
            for one, new in ((key, new_key), (value, new_value))
        ]
        one, keys, values = (np.stack([each] * B) for each in (query[source, :, :1], *rows))
        np.testing.assert_allclose(out[item, :, 0], quest(one, keys, values, 8, 4)[0], atol=1e-12)


def test_quest_does_not_hide_a_nan(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 90)
    key[0, 1, 20, 3] = np.nan
    cache = KVCache(policy=QuestPages(pages=3), page_size=8)
    cache.append(key, value)
    out = cache.attend(query[:, :, -1:])
    assert np.isnan(out[0, 2:]).all()
    assert np.isfinite(out[0, :2]).all()
    assert np.isfinite(out[1]).all()


# %% What all have in common


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
