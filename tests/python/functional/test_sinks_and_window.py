"""SinksAndWindow: the first rows and the last ones, at their distances within the cache."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from row_by_row import Array, D, H, draw, one_row

from heedful import KVCache, SinksAndWindow


def rotated(x: Array, position: Any) -> Array:
    """Pairs (i, i + D/2) as complex numbers times exp(i · position · 10000^(−2i/D))."""
    angle = np.asarray(position)[..., None] * 10000.0 ** (-2 * np.arange(D // 2) / D)
    turned = (x[..., : D // 2] + 1j * x[..., D // 2 :]) * np.exp(1j * angle)
    return np.concatenate([turned.real, turned.imag], axis=-1)


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
