"""A KV cache whose heads alternate in memory is decoded to the bits of contiguous heads.

Heads in (B, L, H, D) memory are read a few keys at a time in turn, by one task; the expected result
is that of each head alone, contiguous. Some tasks have all heads, some have few, and some have one:
heads of less than 1 MB together are read one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from memory_layouts import columns_first, heads_inside
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
DTYPES = ["float32", "float64", "float16", ml_dtypes.bfloat16]


@dataclass(frozen=True)
class Cache:
    """Sizes of a call, and the options that are plain values."""

    B: int
    Hkv: int
    Lk: int
    D: int
    Dv: int = 0  # 0: same as D
    group: int = 1
    Lq: int = 1
    options: dict[str, Any] = field(default_factory=dict)

    def draw(self, dtype: Any) -> tuple[Array, Array, Array]:
        rng = np.random.default_rng(self.Lk)

        def normal(heads: int, length: int, depth: int) -> Array:
            return rng.standard_normal((self.B, heads, length, depth)).astype(dtype)

        query = normal(self.Hkv * self.group, self.Lq, self.D)
        return (
            query,
            normal(self.Hkv, self.Lk, self.D),
            normal(self.Hkv, self.Lk, self.Dv or self.D),
        )


CACHES = {
    "split_keys": Cache(1, 8, 2100, 64),
    "grouped_split_keys": Cache(2, 5, 2100, 128, group=4),
    "one_head_a_task": Cache(1, 3, 900, 128),
    "all_heads_a_task": Cache(16, 5, 300, 64),
    "uneven_head_blocks": Cache(5, 13, 97, 48),
    "many_heads": Cache(11, 67, 33, 16),
    "short_depth": Cache(17, 9, 530, 5, 3),
    "odd_depths": Cache(3, 11, 1100, 129, 67, group=2),
    "great_depth": Cache(3, 7, 190, 1030),
    "rows_of_few_keys": Cache(330, 7, 3, 40),
    "a_few_kilobytes": Cache(3, 7, 40, 16),
    "many_rows": Cache(3, 5, 700, 64, group=8),
    "several_queries_causal": Cache(
        6, 5, 700, 64, Lq=3, options={"causal": True, "align": "lower_right"}
    ),
    "window": Cache(4, 9, 1300, 40, Lq=2, options={"window": (500, 0), "align": "lower_right"}),
    "softcap": Cache(4, 8, 530, 64, options={"softcap": 5.0}),
    "dropout": Cache(4, 8, 530, 64, options={"dropout_p": 0.3, "rng": 7}),
}
cached = pytest.mark.parametrize("name", CACHES)
typed = pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)


def run(arrays: tuple[Array, ...], threads: int, **options: Any) -> tuple[Array, Array]:
    with heedful.num_threads(threads):
        out, lse = heedful.attention(*arrays, return_lse=True, **options)
    return out, lse


def assert_the_bits_of_contiguous(
    arrays: tuple[Array, ...], interleaved: tuple[Array, ...], **options: Any
) -> None:
    out, lse = run(arrays, 1, **options)
    for threads in (1, 2, 3):
        found, found_lse = run(interleaved, threads, **options)
        assert_same_bits(found, out, f"out, {threads} threads")
        assert_same_bits(found_lse, lse, f"lse, {threads} threads")


@typed
@cached
def test_the_bits_of_contiguous_heads(name: str, dtype: Any) -> None:
    arrays = CACHES[name].draw(dtype)
    interleaved = tuple(heads_inside(array) for array in arrays)
    assert_the_bits_of_contiguous(arrays, interleaved, **CACHES[name].options)


@cached
def test_the_bits_of_a_head_alone(name: str) -> None:
    cache = CACHES[name]
    if "dropout_p" in cache.options:  # it depends on the place in the batch
        return
    query, key, value = cache.draw(np.float32)
    out, lse = run((query, heads_inside(key), heads_inside(value)), 2, **cache.options)
    for head in range(cache.Hkv):
        queries = slice(head * cache.group, (head + 1) * cache.group)
        alone = query[:, queries], key[:, head : head + 1], value[:, head : head + 1]
        own, own_lse = run(alone, 2, **cache.options)
        assert_same_bits(out[:, queries], own, f"head {head}")
        assert_same_bits(lse[:, queries], own_lse, f"lse of head {head}")


@typed
@pytest.mark.parametrize("name", ["grouped_split_keys", "odd_depths", "several_queries_causal"])
def test_as_accurate_as_numpy(name: str, dtype: Any) -> None:
    cache = CACHES[name]
    query, key, value = cache.draw(dtype)
    out = heedful.attention(query, heads_inside(key), heads_inside(value), **cache.options)
    computing, judge = (
        (np.float64, np.longdouble) if query.dtype == np.float64 else (np.float32, np.float64)
    )
    exact = reference.attention(query, key, value, **cache.options, dtype=judge).out
    plain = reference.attention(query, key, value, **cache.options, dtype=computing).out
    assert_as_accurate_as_numpy(out, plain, exact)


CACHE = Cache(4, 9, 700, 40, group=2)
MASKS = [
    "of_heads", "of_keys", "whole_tiles", "whole_heads", "lengths", "bias", "slopes", "sink",
    "blocks",
]  # fmt: skip


def options_of(name: str) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    heads = CACHE.Hkv * CACHE.group
    keys, items = np.arange(CACHE.Lk), np.arange(CACHE.B)[:, None, None, None]
    if name == "of_heads":
        return {"mask": rng.random((CACHE.B, heads, 1, CACHE.Lk)) < 0.7}
    if name == "of_keys":
        return {"mask": rng.random((CACHE.B, 1, 1, CACHE.Lk)) < 0.7}
    if name == "whole_tiles":  # which of them are hidden depends on the head
        return {"mask": (keys // 300 + np.arange(heads)[:, None] // 2)[:, None] % 3 == 0}
    if name == "whole_heads":
        return {"mask": np.broadcast_to(np.arange(heads)[:, None, None] % 4 > 1, (heads, 1, 700))}
    if name == "lengths":
        return {"kv_lengths": np.array([0, 1, 390, 700])}
    if name == "bias":
        bias = rng.standard_normal((1, heads, 1, CACHE.Lk), dtype=np.float32)
        bias[rng.random(bias.shape) < 0.3] = -np.inf
        return {"bias": bias, "mask": keys < 650 + items}
    if name == "slopes":
        return {"alibi_slopes": 2.0 ** -rng.uniform(0, 6, heads), "align": "lower_right"}
    if name == "blocks":  # which of them are read depends on the head
        exists = rng.random((CACHE.B, heads, 1, 11)) < 0.6
        return {"block_mask": heedful.BlockMask(exists, 64, (1, CACHE.Lk))}
    return {"sink": rng.standard_normal(heads)}


@typed
@pytest.mark.parametrize("name", MASKS)
def test_masks_of_every_kind(name: str, dtype: Any) -> None:
    arrays = CACHE.draw(dtype)
    interleaved = tuple(heads_inside(array) for array in arrays)
    assert_the_bits_of_contiguous(arrays, interleaved, **options_of(name))


@typed
@pytest.mark.parametrize("plant", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["of_keys", "whole_tiles", "lengths"])
def test_hidden_keys_may_hold_anything(name: str, plant: float, dtype: Any) -> None:
    query, key, value = CACHE.draw(dtype)
    options = options_of(name)
    shape = (CACHE.B, CACHE.Hkv * CACHE.group, 1, CACHE.Lk)
    if "mask" in options:
        seen = np.broadcast_to(options["mask"], shape)
    else:
        lengths = options["kv_lengths"][:, None, None, None]
        seen = np.broadcast_to(np.arange(CACHE.Lk) < lengths, shape)
    hidden = ~seen.reshape(CACHE.B, CACHE.Hkv, CACHE.group, CACHE.Lk).any(2)
    out, lse = run((query, key, value), 1, **options)
    key[hidden], value[hidden] = plant, plant
    for arrays in ((key, value), (heads_inside(key), heads_inside(value))):
        found, found_lse = run((query, *arrays), 2, **options)
        assert_same_bits(found, out)
        assert_same_bits(found_lse, lse)


def test_a_nan_reaches_its_own_heads_alone(rng: np.random.Generator) -> None:
    query, key, value = CACHE.draw(np.float32)
    out = heedful.attention(query, key, value)
    value[1, 4, 333, 7] = np.nan
    found = heedful.attention(query, heads_inside(key), heads_inside(value))
    concerned = np.zeros(out.shape, bool)
    concerned[1, 8:10, :, 7] = True
    np.testing.assert_array_equal(np.isnan(found), concerned)
    np.testing.assert_array_equal(found[~concerned], out[~concerned])


@pytest.mark.parametrize("dtype", DTYPES[::2], ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("of_keys", [heads_inside, columns_first, np.ascontiguousarray])
@pytest.mark.parametrize("of_values", [heads_inside, columns_first, np.ascontiguousarray])
def test_keys_and_values_in_layouts_of_their_own(of_keys: Any, of_values: Any, dtype: Any) -> None:
    query, key, value = CACHE.draw(dtype)
    assert_the_bits_of_contiguous((query, key, value), (query, of_keys(key), of_values(value)))


def test_heads_that_are_parts_of_one_projection(rng: np.random.Generator) -> None:
    projected = rng.standard_normal((4, 700, 3, 9, 40), dtype=np.float32)
    query, key, value = projected.transpose(2, 0, 3, 1, 4)
    interleaved = query[:, :, -1:], key, value
    arrays = tuple(np.ascontiguousarray(array) for array in interleaved)
    assert_the_bits_of_contiguous(arrays, interleaved)


def test_one_head_broadcast_to_many(rng: np.random.Generator) -> None:
    query = rng.standard_normal((4, 9, 1, 40), dtype=np.float32)
    key, value = rng.standard_normal((2, 4, 1, 700, 40), dtype=np.float32)
    broadcast = (
        query,
        np.broadcast_to(key, (4, 9, 700, 40)),
        np.broadcast_to(value, (4, 9, 700, 40)),
    )
    arrays = tuple(np.ascontiguousarray(array) for array in broadcast)
    assert_the_bits_of_contiguous(arrays, broadcast)


def test_packed_sequences(rng: np.random.Generator) -> None:
    lengths = [700, 1, 2000, 390, 0, 5]
    query = rng.standard_normal((len(lengths), 16, 64), dtype=np.float32)
    key, value = rng.standard_normal((2, sum(lengths), 8, 64), dtype=np.float32)
    ends = np.cumsum([0, *lengths])
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            found = heedful.attention_varlen(query, key, value, np.arange(len(lengths) + 1), ends)
        for item, (begin, end) in enumerate(pairwise(ends)):
            own = [
                np.ascontiguousarray(array.swapaxes(0, 1))
                for array in (query[item : item + 1], key[begin:end], value[begin:end])
            ]
            assert_same_bits(found[item], heedful.attention(*own)[:, 0], f"sequence {item}")
