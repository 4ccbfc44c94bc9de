"""A cache of a window alone: the results of all rows in bounded memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from row_by_row import H, draw

import heedful
from heedful import KVCache, SinksAndWindow

WINDOW = 20
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {}, "capped": {"softcap": 1.5, "sink": np.linspace(-1, 1, H)},
    "alibi": {"alibi_slopes": np.linspace(0.05, 0.2, H)}, "narrower": {"window": (6, 0)},
    "wider": {"window": (WINDOW + 5, 0)},
}  # fmt: skip
STEPS = [[1] * 90, [90], [70, 1, 1, 18], [3, 60, 27], [25] * 3 + [15], [41, 1, 40, 8]]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("steps", STEPS, ids=str)
def test_results_are_those_of_attention_with_the_window(
    steps: list[int], options: dict[str, Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, 90)
    cache, found, first = KVCache(policy=SinksAndWindow(0, WINDOW)), [], 0
    for length in steps:
        own = np.s_[:, :, first : first + length]
        before = cache.append(key[own], value[own])
        assert before.tolist() == [first] * 2
        found.append(cache.attend(query[own], causal=True, align=before, **options))
        first += length
    left, _ = options.get("window", (WINDOW, 0))
    given = {**options, "window": (min(left, WINDOW - 1), 0)}
    expected = heedful.attention(query, key, value, causal=True, **given)
    np.testing.assert_allclose(np.concatenate(found, 2), expected, rtol=0, atol=1e-12)
    assert cache.lengths.tolist() == [90, 90]


def test_items_of_different_lengths_drop_rows_of_their_own(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 160)
    counts = np.array([[60, 3, 1, 1, 45, 2], [2, 41, 1, 30, 5, 20]]).T
    cache, first = KVCache(policy=SinksAndWindow(0, WINDOW)), np.zeros(2, int)
    expected = heedful.attention(query, key, value, causal=True, window=(WINDOW - 1, 0))
    for new in counts:
        places = np.minimum(first[:, None] + np.arange(new.max()), 159)
        taken = np.s_[np.arange(2)[:, None], :, places]
        rows = [each[taken].swapaxes(1, 2) for each in (query, key, value)]
        before = cache.append(rows[1], rows[2], new)
        out = cache.attend(rows[0], causal=True, align=before)
        for item in range(2):
            own = slice(first[item], first[item] + new[item])
            np.testing.assert_allclose(
                out[item, :, : new[item]], expected[item, :, own], rtol=0, atol=1e-12
            )
        first = first + new
        if first.min() > 60:
            cache.reorder([1, 0])
            query, key, value, expected = (each[::-1] for each in (query, key, value, expected))
            first = first[::-1]
    assert first.tolist() == cache.lengths.tolist()


@pytest.mark.parametrize("dtype", [None, "int8"])
@pytest.mark.parametrize("prompt", [1, 3000])
def test_memory_is_that_of_two_windows_whatever_the_text(
    prompt: int, dtype: Any, rng: np.random.Generator
) -> None:
    query, key, value = (each.astype(np.float32) for each in draw(rng, 3000))
    cache = KVCache(dtype=dtype, policy=SinksAndWindow(0, WINDOW))
    before = cache.append(key[:, :, :prompt], value[:, :, :prompt])
    cache.attend(query[:, :, :prompt], causal=True, align=before)
    sizes = [cache.nbytes]
    for step in range(200):
        row = np.s_[:, :, step : step + 1]
        before = cache.append(key[row], value[row])
        cache.attend(query[row], causal=True, align=before)
        sizes.append(cache.nbytes)
    whole = KVCache(2 * WINDOW, dtype=dtype, exact_rows=0)
    whole.append(key[:, :, :1], value[:, :, :1])
    assert max(sizes) == whole.nbytes


def test_the_last_queries_may_come_again_and_earlier_ones_are_refused(
    rng: np.random.Generator,
) -> None:
    query, key, value = draw(rng, 100)
    cache = KVCache(policy=SinksAndWindow(0, WINDOW))
    before = cache.append(key, value)
    whole = cache.attend(query, causal=True, align=before)
    last = cache.attend(query[:, :, -1:], causal=True)
    np.testing.assert_allclose(last, whole[:, :, -1:], rtol=0, atol=1e-13)
    held = copy.copy(cache)
    with pytest.raises(ValueError, match="align must be that of the rows appended last"):
        cache.attend(query, causal=True, align=before)
    np.testing.assert_array_equal(cache.key, held.key)
    np.testing.assert_array_equal(cache.key, key[:, :, -WINDOW:])
    with pytest.raises(ValueError, match="bias cannot be combined with SinksAndWindow"):
        cache.attend(query[:, :, -1:], causal=True, bias=np.zeros((1, 1)))
