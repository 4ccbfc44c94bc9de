"""Caches of every kind and type: what they hold, what attention to them is, and what they take."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from conftest import as_dtype
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
B, H, HKV, D, DV = 3, 4, 2, 23, 19
KINDS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "paged": {"kind": "paged"},
    "pages of 5": {"kind": "paged", "page_size": 5},
    "int8": {"dtype": "int8", "exact_rows": 0},
    "paged int8": {"kind": "paged", "dtype": "int8", "page_size": 5, "exact_rows": 0},
    "bfloat16": {"dtype": "bfloat16"},
    "paged bfloat16": {"kind": "paged", "dtype": "bfloat16"},
}
STEPS = (30, 1, 1, 5, 1, 100, 1)
each_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, **options: Any) -> heedful.KVCache:
    given = {**KINDS[kind], **options}
    if given.get("dtype") == "bfloat16":
        given["dtype"] = as_dtype("bfloat16")
    return heedful.KVCache(**given)


def stored(kind: str, rows: Array) -> Array:
    """What a cache of a kind makes of rows, by its definition."""
    dtype = KINDS[kind].get("dtype")
    if dtype == "int8":
        scale = (np.abs(rows).max(-1, keepdims=True) / 127).astype(np.float32)
        return np.rint(rows / scale).astype(np.int8) * scale
    return rows.astype(as_dtype("bfloat16")).astype(np.float32) if dtype else rows


def draw(rng: np.random.Generator, length: int) -> tuple[Array, Array, Array]:
    query, key, value = (
        rng.standard_normal((B, heads, length, depth)).astype(np.float32)
        for heads, depth in ((H, D), (HKV, D), (HKV, DV))
    )
    return query, key, value


@each_kind
def test_rows_are_kept_as_the_type_defines(kind: str, rng: np.random.Generator) -> None:
    cache, expected = made(kind), [np.zeros((HKV, 0, D)) for _ in range(B)]
    for length in STEPS:
        _, key, _ = draw(rng, length)
        lengths = rng.integers(0, length + 1, B)
        before = cache.append(key, -key, lengths)
        assert before.tolist() == [one.shape[1] for one in expected]
        expected = [
            np.concatenate([one, new[:, :n]], 1)
            for one, new, n in zip(expected, stored(kind, key), lengths, strict=True)
        ]
    assert cache.lengths.tolist() == [one.shape[1] for one in expected]
    assert cache.key.shape[2] == cache.lengths.max()
    for item, one in enumerate(expected):
        np.testing.assert_array_equal(cache.key[item, :, : one.shape[1]], one)
        np.testing.assert_array_equal(cache.value[item, :, : one.shape[1]], -one)


@each_kind
@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_attention_step_by_step_is_causal_attention(
    kind: str, layout: str, rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, sum(STEPS))
    cache, parts, first = made(kind), [], 0
    for length in STEPS:
        own = slice(first, first + length)
        before = cache.append(key[:, :, own], value[:, :, own])
        rows = query[:, :, own].swapaxes(1, 2) if layout == "blhd" else query[:, :, own]
        out, lse = cache.attend(rows, causal=True, align=before, layout=layout, return_lse=True)
        parts.append((out.swapaxes(1, 2) if layout == "blhd" else out, lse))
        first += length
    rows = query, stored(kind, key), stored(kind, value)
    exact, plain = (
        reference.attention(*rows, causal=True, dtype=dtype) for dtype in (np.float64, np.float32)
    )
    out, lse = (np.concatenate(each, axis=2) for each in zip(*parts, strict=True))
    assert_as_accurate_as_numpy(out, plain.out, exact.out)
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse)


@pytest.mark.parametrize(
    "options",
    [
        {}, {"mask": np.arange(60) % 3 > 0}, {"bias": np.linspace(-1, 1, 60)},
        {"mask": np.ones((1, 1), bool)}, {"window": (7, 2)}, {"softcap": 2.0},
        {"alibi_slopes": np.linspace(0, 1, H)}, {"sink": np.linspace(0, 1, H)},
        {"q_lengths": [2, 0, 1]}, {"align": [3, 5, 40], "causal": True}, {"scale": 0.1},
    ],
    ids=lambda options: " ".join(options),
)  # fmt: skip
@each_kind
def test_options_are_those_of_attention(
    kind: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, 60)
    query, lengths = query[:, :, :3], [60, 31, 7]
    cache = made(kind)
    cache.append(key, value, lengths)
    given = {"align": "lower_right", "kv_lengths": lengths, **options}
    exact, plain = (
        reference.attention(query, stored(kind, key), stored(kind, value), **given, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    out, lse, weights = cache.attend(query, return_lse=True, return_weights=True, **options)
    assert_as_accurate_as_numpy(cache.attend(query, **options), plain.out, exact.out)
    assert_as_accurate_as_numpy(out, plain.out, exact.out)
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse)
    assert_as_accurate_as_numpy(weights, plain.weights, exact.weights)
    into = np.empty_like(out)
    assert cache.attend(query, out=into, **options) is into
    assert_as_accurate_as_numpy(into, plain.out, exact.out)


def test_a_paged_cache_is_what_attention_paged_reads(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 70)
    for dtype in (None, "int8"):
        cache = heedful.KVCache(kind="paged", dtype=dtype, exact_rows=0)
        cache.append(key, value, [70, 3, 16])
        out = heedful.attention_paged(
            query[:, :, :1], cache.key_pages, cache.value_pages, cache.page_table, cache.lengths,
            key_scales=cache.key_scales, value_scales=cache.value_scales,
        )  # fmt: skip
        assert_same_bits(out, cache.attend(query[:, :, :1]))
        for pages in (cache.key_pages, cache.value_pages):
            with pytest.raises(ValueError, match="read-only"):
                pages[...] = 0


def test_int8_takes_a_quarter_of_the_memory_and_pages_what_they_hold() -> None:
    row = np.ones((1, 8, 4096, 128), np.float32)
    sizes = {}
    for kind in ("contiguous", "paged", "int8", "paged int8"):
        cache = made(kind, capacity=4096, page_size=16, exact_rows=16)
        cache.append(row, row)
        sizes[kind] = cache.nbytes
    assert sizes["int8"] / sizes["contiguous"] < 0.27
    assert sizes["paged int8"] / sizes["paged"] < 0.27
    assert sizes["paged"] == sizes["contiguous"] == 2 * row.nbytes


@each_kind
def test_wider_rows_widen_those_before(kind: str) -> None:
    cache = made(kind)
    row = np.full((1, 1, 3, 4), 0.1, np.float32)
    cache.append(row, row)
    cache.append(row.astype(np.float64), row.astype(np.float64))
    fixed = "dtype" in KINDS[kind]
    assert (cache.key.dtype == np.float64) == (not fixed)
    np.testing.assert_array_equal(cache.key[:, :, :3], stored(kind, row))


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.int64])
def test_rows_and_queries_of_any_type_meet_int8(dtype: Any, rng: np.random.Generator) -> None:
    rows = (10 * rng.standard_normal((1, 2, 40, 8))).astype(dtype)
    query = rng.standard_normal((1, 2, 1, 8)).astype(dtype if dtype != np.int64 else np.float64)
    cache = heedful.KVCache(dtype="int8")
    cache.append(rows, rows)
    out = cache.attend(query)
    assert out.dtype == query.dtype
    expected = heedful.attention(query, cache.key.astype(np.float64), cache.value)
    np.testing.assert_allclose(out, expected, rtol=2e-3)


@pytest.mark.parametrize("kind", ["int8", "paged int8"])
def test_rows_that_are_integers_of_8_bits_are_quantised_like_others(kind: str) -> None:
    rows = np.arange(-24, 24).reshape(1, 2, 3, 8)
    cache, expected = made(kind), made(kind)
    cache.append(rows.astype(np.int8), rows.astype(np.int8))
    expected.append(rows.astype(np.float32), rows.astype(np.float32))
    np.testing.assert_array_equal(cache.key, expected.key)
    assert np.abs(cache.key - rows).max() <= 0.1


def test_extreme_rows_of_int8(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((1, 1, 6, 8)).astype(np.float32)
    rows[0, 0, 0] = 0
    rows[0, 0, 1] *= np.float32(1e-43)  # subnormal
    rows[0, 0, 2] *= np.float32(1e38)
    rows[0, 0, 3, 5] = np.nan
    rows[0, 0, 4, 5] = np.inf
    cache = heedful.KVCache(dtype="int8", exact_rows=0)
    with np.errstate(all="raise"):
        cache.append(rows, rows)
        key = cache.key[0, 0]
    assert (key[0] == 0).all()
    np.testing.assert_allclose(key[1], rows[0, 0, 1], atol=1e-43)
    np.testing.assert_allclose(key[2], rows[0, 0, 2], atol=np.abs(rows[0, 0, 2]).max() / 250)
    assert np.isnan(key[3:5]).all()
    np.testing.assert_allclose(key[5], rows[0, 0, 5], atol=np.abs(rows[0, 0, 5]).max() / 250)
    assert np.isnan(cache.attend(rows[:, :, :1])).all()
    cache.lengths = [3]
    assert np.isfinite(cache.attend(rows[:, :, 5:])).all()


COPIES = [copy.copy, copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))]


@each_kind
@pytest.mark.parametrize("copied", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_copies_are_independent(
    kind: str, copied: Callable[[Any], Any], rng: np.random.Generator
) -> None:
    _, key, value = draw(rng, 12)
    cache = made(kind)
    assert repr(copied(cache)) == repr(cache)
    cache.append(key, value, [12, 3, 5])
    one = copied(cache)
    state = [(each.lengths.tolist(), each.key.tolist()) for each in (cache, one)]
    assert state[0] == state[1]
    one.append(-key, -value)
    assert cache.key.tolist() == state[0][1]
    cache.append(key[:, :, :1], value[:, :, :1])
    for each, row in ((one, -key), (cache, key)):
        assert_same_bits(
            np.asarray(each.key[1, :, 3], np.float32),
            np.asarray(stored(kind, row)[1, :, 0], np.float32),
        )
