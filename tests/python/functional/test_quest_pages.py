"""QuestPages: the pages that may hold the highest scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from row_by_row import HKV, Array, B, D, H, draw, one_row

from heedful import KVCache, QuestPages


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
