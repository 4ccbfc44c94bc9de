"""Caches of int8 whose last rows stay in float32."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
B, H, HKV, D, DV = 3, 4, 2, 23, 19
KINDS: dict[str, dict[str, Any]] = {"contiguous": {}, "paged": {"kind": "paged", "page_size": 5}}
each_kind = pytest.mark.parametrize("kind", KINDS)


def made(kind: str, exact: int) -> heedful.KVCache:
    return heedful.KVCache(dtype="int8", exact_rows=exact, **KINDS[kind])


def rounded(rows: Array) -> Array:
    scale = (np.abs(rows).max(-1, keepdims=True) / 127).astype(np.float32)
    return np.rint(rows / scale).astype(np.int8) * scale


class Expected:
    """What is kept of each item: rows leave the last ones `exact` at a time."""

    def __init__(self, exact: int) -> None:
        self.exact, self.key, self.value, self.old = exact, [], [], [0] * B
        for _ in range(B):
            self.key.append(np.zeros((HKV, 0, D), np.float32))
            self.value.append(np.zeros((HKV, 0, DV), np.float32))

    def append(self, key: Array, value: Array, lengths: Array) -> None:
        for b in range(B):
            for kept, new in ((self.key, key), (self.value, value)):
                kept[b] = np.concatenate([kept[b], new[b, :, : lengths[b]]], axis=1)
            while self.key[b].shape[1] - self.old[b] >= 2 * self.exact:
                own = slice(self.old[b], self.old[b] + self.exact)
                for kept in (self.key, self.value):
                    kept[b][:, own] = rounded(kept[b][:, own])
                self.old[b] += self.exact

    def padded(self) -> tuple[Array, Array]:
        longest = max(one.shape[1] for one in self.key)
        key, value = (np.zeros((B, HKV, longest, depth), np.float32) for depth in (D, DV))
        for b in range(B):
            key[b, :, : self.key[b].shape[1]] = self.key[b]
            value[b, :, : self.value[b].shape[1]] = self.value[b]
        return key, value


def draw(rng: np.random.Generator, length: int) -> tuple[Array, Array, Array]:
    query, key, value = (
        rng.standard_normal((B, heads, length, depth)).astype(np.float32)
        for heads, depth in ((H, D), (HKV, D), (HKV, DV))
    )
    return query, key, value


@each_kind
@pytest.mark.parametrize("exact", [1, 4, 16])
@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_the_last_rows_are_exact_and_the_others_rounded(
    kind: str, exact: int, layout: Any, rng: np.random.Generator
) -> None:
    cache, expected = made(kind, exact), Expected(exact)
    for step in (3, 1, 1, 30, 2, 1, 70, 1, 1):
        query, key, value = draw(rng, step)
        lengths = rng.integers(0, step + 1, B)
        before = cache.append(key, value, lengths)
        expected.append(key, value, lengths)
        held = expected.padded()
        for item, length in enumerate(cache.lengths):
            for found, rows in zip((cache.key, cache.value), held, strict=True):
                np.testing.assert_array_equal(found[item, :, :length], rows[item, :, :length])
        options = {"causal": True, "align": before, "window": (50, None)}
        given = {**options, "kv_lengths": cache.lengths, "sink": np.linspace(-1, 1, H)}
        exactly, plain = (
            reference.attention(query, *held, **given, dtype=dtype)
            for dtype in (np.float64, np.float32)
        )
        rows = query.swapaxes(1, 2) if layout == "blhd" else query
        out, lse = cache.attend(
            rows,
            layout=layout,
            return_lse=True,
            sink=given["sink"],
            **options,  # type: ignore[arg-type]
        )
        out = out.swapaxes(1, 2) if layout == "blhd" else out
        assert_as_accurate_as_numpy(out, plain.out, exactly.out)
        assert_as_accurate_as_numpy(lse, plain.lse, exactly.lse)


@pytest.mark.parametrize(
    "options",
    [
        {"mask": np.arange(60) % 3 > 0}, {"bias": np.linspace(-1, 1, 60)}, {"softcap": 2.0},
        {"alibi_slopes": np.linspace(0, 1, H)}, {"q_lengths": [2, 0, 1]}, {"scale": 0.1},
        {"return_weights": True},
    ],
    ids=lambda options: " ".join(options),
)  # fmt: skip
@each_kind
def test_options_are_those_of_attention(
    kind: str, options: dict[str, Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, 60)
    lengths = np.array([60, 31, 7])
    cache, expected = made(kind, 16), Expected(16)
    cache.append(key, value, lengths)
    expected.append(key, value, lengths)
    given = {"align": "lower_right", "kv_lengths": lengths, **options}
    given.pop("return_weights", None)
    exactly, plain = (
        reference.attention(query[:, :, :3], *expected.padded(), **given, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    found = cache.attend(query[:, :, :3], **options)
    out = found[0] if isinstance(found, tuple) else found
    assert_as_accurate_as_numpy(out, plain.out, exactly.out)
    if "return_weights" in options:
        assert_as_accurate_as_numpy(found[1], plain.weights, exactly.weights)


@each_kind
def test_items_are_shortened_reordered_shared_and_copied(
    kind: str, rng: np.random.Generator
) -> None:
    _, key, value = draw(rng, 60)
    cache, expected = made(kind, 8), Expected(8)
    lengths = np.array([60, 31, 7])
    cache.append(key, value, lengths)
    expected.append(key, value, lengths)
    held, _ = expected.padded()
    one = copy.deepcopy(cache)
    cache.lengths = [50, 3, 0]
    cache.reorder([1, 0])
    cache.fork([1])
    cache.share_prefix(1, 20)
    assert cache.lengths.tolist() == [3, 50, 50, 20]
    new = rng.standard_normal((4, HKV, 5, D)), rng.standard_normal((4, HKV, 5, DV))
    cache.append(*new)
    for item, (source, length) in enumerate(((1, 3), (0, 50), (0, 50), (0, 20))):
        np.testing.assert_allclose(cache.key[item, :, :length], held[source, :, :length], atol=0.02)
        np.testing.assert_allclose(cache.key[item, :, length : length + 5], new[0][item], atol=1e-6)
    for item, length in enumerate(lengths):
        np.testing.assert_array_equal(one.key[item, :, :length], held[item, :, :length])


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.float32])
@each_kind
def test_the_result_is_of_the_querys_type(kind: str, dtype: Any, rng: np.random.Generator) -> None:
    query, key, value = (each.astype(dtype) for each in draw(rng, 60))
    for rows in (5, 60):
        cache = made(kind, 16)
        cache.append(key[:, :, :rows], value[:, :, :rows])
        out = cache.attend(query[:, :, :1])
        assert out.dtype == dtype
        expected = heedful.attention(query[:, :, :1], key[:, :, :rows], value[:, :, :rows])
        np.testing.assert_allclose(out, expected, atol=0.03)
        into = np.zeros_like(out)
        assert cache.attend(query[:, :, :1], out=into) is into
        np.testing.assert_array_equal(into, out)
    for wrong, message in (
        (np.zeros((B, H, 2, DV), dtype), "out must have shape"),
        (np.zeros((B, H, 1, DV), np.int8), "out must have type"),
        (np.broadcast_to(np.zeros((), dtype), (B, H, 1, DV)), "out must be writeable"),
    ):
        with pytest.raises(ValueError, match=message):
            cache.attend(query[:, :, :1], out=wrong)
    with pytest.raises(TypeError, match="out must be a numpy array"):
        cache.attend(query[:, :, :1], out=[1.0])  # type: ignore[arg-type]
