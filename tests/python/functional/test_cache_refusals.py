"""What a cache, and attention to it, refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import heedful

B, H, HKV, D = 3, 4, 2, 23
KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "paged": {"kind": "paged"},
    "int8": {"dtype": "int8", "exact_rows": 0},
}
BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "kind": ({"kind": "list"}, ValueError, "kind must be 'contiguous' or 'paged': got 'list'"),
    "kind 3": ({"kind": 3}, TypeError, "kind must be 'contiguous' or 'paged': got 3"),
    "page_size": ({"kind": "paged", "page_size": 0}, ValueError, "page_size must be at least 1"),
    "exact_rows": ({"exact_rows": -1}, ValueError, "exact_rows must be an integer from 0 on"),
    "exact_rows 1.5": ({"exact_rows": 1.5}, TypeError, "exact_rows must be an integer from 0 on"),
    "page_size 1.5": ({"page_size": 1.5}, TypeError, "page_size must be an integer: got 1.5"),
    "policy": ({"policy": "sinks"}, TypeError, "policy must be a SinksAndWindow or HeavyHitters"),
    "policy type": ({"policy": heedful.QuestPages}, TypeError, "policy must be a SinksAndWindow"),
    "both": (
        {"policy": heedful.QuestPages(), "kind": "contiguous"}, ValueError,
        "kind must be 'paged' with a policy: got 'contiguous'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_a_cache_is_made_of_is_checked(name: str) -> None:
    options, error, message = BAD[name]
    with pytest.raises(error, match=message):
        heedful.KVCache(**options)


ATTEND: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "axes": ({"query": np.ones((B, H, D))}, ValueError, "query must have four axes"),
    "items": ({"query": np.ones((B + 1, H, 1, D))}, ValueError, "the first of length 3"),
    "heads": ({"query": np.ones((B, 3, 1, D))}, ValueError, "a multiple of the cache's 2 heads"),
    "depth": ({"query": np.ones((B, H, 1, D + 1))}, ValueError, "of depth 23"),
    "type": ({"query": np.ones((B, H, 1, D), complex)}, TypeError, "query must be of type"),
    "layout": ({"layout": "hld"}, ValueError, "layout must be"),
    "mask": ({"mask": np.ones((1, 11), bool)}, ValueError, "mask must"),
    "bias": ({"bias": np.ones((1, 11))}, ValueError, "bias must"),
    "align": ({"align": [1, 2], "causal": True}, ValueError, "align must"),
    "window": ({"window": (-1, 0)}, ValueError, "window must"),
    "return_lse": ({"return_lse": 1}, TypeError, "return_lse must be True or False"),
    "query_of_sinks": ({"query_of_sinks": np.ones((B, H, 1, D))}, ValueError, "query_of_sinks"),
    "out": ({"out": np.ones((B, H, 1, D))}, ValueError, "out must have shape"),
}


@pytest.mark.parametrize("name", ATTEND)
@pytest.mark.parametrize("kind", KINDS)
def test_what_attends_is_checked(kind: str, name: str, rng: np.random.Generator) -> None:
    options, error, message = ATTEND[name]
    cache = heedful.KVCache(**KINDS[kind])
    with pytest.raises(ValueError, match="the cache is empty"):
        cache.attend(np.ones((B, H, 1, D)))
    rows = rng.standard_normal((B, HKV, 12, D)).astype(np.float32)
    cache.append(rows, rows[..., :-4])
    with pytest.raises(error, match=message):
        cache.attend(**{"query": np.ones((B, H, 1, D), np.float32), **options})


def test_a_contiguous_cache_has_no_page_table() -> None:
    cache = heedful.KVCache()
    cache.append(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    for name in ("page_table", "key_pages", "value_pages", "key_scales", "value_scales"):
        with pytest.raises(ValueError, match="the cache has no page table: it needs kind='paged'"):
            getattr(cache, name)
    cache = heedful.KVCache(kind="paged", dtype="int8")
    cache.append(np.ones((1, 1, 1, 2)), np.ones((1, 1, 1, 2)))
    with pytest.raises(ValueError, match="it needs kind='paged', exact_rows=0"):
        _ = cache.page_table
