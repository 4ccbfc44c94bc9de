"""HeavyHitters: the rows of the most weight so far, and the last ones."""

from __future__ import annotations

import numpy as np
from row_by_row import HKV, Array, B, D, draw, softmax

import heedful
from heedful import HeavyHitters, KVCache


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
