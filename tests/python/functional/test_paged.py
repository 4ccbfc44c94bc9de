"""Attention over pages, against dense calls bit for bit, and against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from conftest import as_dtype
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
B, H, HKV, D, DV = 4, 6, 2, 32, 19
LENGTHS = np.array([1283, 0, 97, 33])

OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "causal": {"causal": True},
    "an offset": {"causal": True, "align": 90},
    "window": {"window": (40, 3)},
    "alibi": {"alibi_slopes": np.linspace(0, 0.3, H)},
    "softcap and scale": {"softcap": 1.5, "scale": 0.7},
    "sink": {"sink": np.linspace(-1, 2, H)},
    "q_lengths": {"q_lengths": [1, 0, 1, 1], "causal": True},
    "all": {
        "causal": True, "window": (300, None), "softcap": 2.0, "sink": np.linspace(-1, 2, H),
        "alibi_slopes": np.linspace(0, 0.3, H),
    },
}  # fmt: skip
LAYOUTS = ("heads first", "rows first", "side by side", "columns first")


class Example:
    """Sequences on pages in random order, and the same ones one after another."""

    def __init__(
        self, rng: np.random.Generator, rows: int, dtype: Any = np.float32, layout: str = LAYOUTS[0]
    ) -> None:
        count = -(-LENGTHS // rows)
        self.table = np.full((B, int(count.max()) + 2), -(10**9))
        order = rng.permutation(int(count.sum()) + 3)
        places = np.cumsum(count) - count
        for item in range(B):
            self.table[item, : count[item]] = order[places[item] : places[item] + count[item]]
        pages = [
            rng.standard_normal((len(order), HKV, rows, depth)).astype(dtype) for depth in (D, DV)
        ]
        length = int(LENGTHS.max())
        self.key, self.value = (np.zeros((B, HKV, length, depth), dtype) for depth in (D, DV))
        for whole, pool in zip((self.key, self.value), pages, strict=True):
            for item in range(B):
                for row in range(LENGTHS[item]):
                    whole[item, :, row] = pool[self.table[item, row // rows], :, row % rows]
        if layout == "rows first":
            pages = [np.ascontiguousarray(pool.swapaxes(1, 2)).swapaxes(1, 2) for pool in pages]
        elif layout == "side by side":
            joined = np.concatenate(pages, axis=-1)
            pages = [joined[..., :D], joined[..., D:]]
        elif layout == "columns first":
            pages = [np.ascontiguousarray(pool.swapaxes(2, 3)).swapaxes(2, 3) for pool in pages]
        self.key_pages, self.value_pages = pages

    def attend(self, query: Array, **options: Any) -> Any:
        return heedful.attention_paged(
            query, self.key_pages, self.value_pages, self.table, LENGTHS, **options
        )

    def whole(self, query: Array, **options: Any) -> Any:
        return heedful.attention(
            query, self.key, self.value, kv_lengths=LENGTHS,
            **{"align": "lower_right", **options},
        )  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("queries", [1, 37])
def test_pages_have_the_bits_of_rows_one_after_another(
    name: str, queries: int, rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    example = Example(rng, 16, dtype)
    query = rng.standard_normal((B, H, queries, D)).astype(dtype)
    options = {**OPTIONS[name], "return_lse": True}
    for result, expected in zip(
        example.attend(query, **options), example.whole(query, **options), strict=True
    ):
        assert_same_bits(result, expected)


@pytest.mark.parametrize("rows", [1, 3, 16, 17, 64, 200, 4096])
@pytest.mark.parametrize("queries", [1, 2, 50])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_pages_of_any_size_and_memory_order(
    rows: int, queries: int, layout: str, rng: np.random.Generator
) -> None:
    example = Example(rng, rows, np.float32, layout)
    query = rng.standard_normal((B, H, queries, D)).astype(np.float32)
    assert_same_bits(example.attend(query, causal=True), example.whole(query, causal=True))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("queries", [1, 50])
@pytest.mark.parametrize("name", ["float16", "bfloat16"])
def test_pages_of_16_bits_in_any_memory_order(
    name: str, layout: str, queries: int, rng: np.random.Generator
) -> None:
    half = as_dtype(name)
    example = Example(rng, 16, half, layout)
    for dtype in (half, np.float32):
        query = rng.standard_normal((B, H, queries, D)).astype(dtype)
        assert_same_bits(example.attend(query, causal=True), example.whole(query, causal=True))


def test_the_result_is_that_of_the_definition(
    rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    example = Example(rng, 16, wide_dtype)
    query = rng.standard_normal((B, H, 5, D)).astype(wide_dtype)
    options: dict[str, Any] = {"causal": True, "align": "lower_right", "kv_lengths": LENGTHS}
    exact, plain = (
        reference.attention(query, example.key, example.value, **options, dtype=kind)
        for kind in (np.longdouble if wide_dtype == np.float64 else np.float64, wide_dtype)
    )
    out, lse = example.attend(query, causal=True, return_lse=True)
    assert_as_accurate_as_numpy(out, plain.out, exact.out)
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse)


@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_masks_and_biases_cover_the_pages(layout: str, rng: np.random.Generator) -> None:
    example = Example(rng, 16)
    query = rng.standard_normal((B, H, 5, D)).astype(np.float32)
    length, room = example.key.shape[2], 16 * example.table.shape[1]
    mask = rng.random((B, 1, 5, room)) < 0.5
    bias = rng.standard_normal((H, 1, room))
    expected = example.whole(query, mask=mask[..., :length], bias=bias[..., :length])
    if layout == "blhd":
        query = np.ascontiguousarray(query.swapaxes(1, 2))
    result = example.attend(query, mask=mask, bias=bias, layout=layout)
    assert_same_bits(result.swapaxes(1, 2).copy() if layout == "blhd" else result, expected)


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "an offset"])
def test_one_call_mixes_new_prompts_and_single_queries(name: str, rng: np.random.Generator) -> None:
    example = Example(rng, 16)
    counts = np.array([1, 0, 97, 7])
    starts = np.concatenate([[0], np.cumsum(counts)])
    query = rng.standard_normal((starts[-1] + 2, H, D)).astype(np.float32)
    options = {**OPTIONS[name], "return_lse": True}
    lengths = options.pop("q_lengths", counts)
    if name == "q_lengths":
        options["q_lengths"] = lengths
    out, lse = example.attend(query, cu_seqlens_q=starts, **options)
    assert (out[starts[-1] :] == 0).all()
    for item in range(B):
        own = slice(starts[item], starts[item] + min(lengths[item], counts[item]))
        if own.start == own.stop:
            continue
        one = query[own].swapaxes(0, 1)[None]
        given = {key: option for key, option in options.items() if key != "q_lengths"}
        expected = heedful.attention(
            one, example.key[item : item + 1], example.value[item : item + 1],
            kv_lengths=LENGTHS[item : item + 1], align="lower_right", **given,
        )  # fmt: skip
        assert_same_bits(out[own].swapaxes(0, 1)[None].copy(), expected[0])
        assert_same_bits(lse[None, :, own].copy(), expected[1])


def quantized(rows: Array) -> tuple[Array, Array]:
    scales = np.abs(rows).max(-1) / 127
    return np.rint(rows / scales[..., None]).astype(np.int8), scales.astype(np.float32)


@pytest.mark.parametrize("queries", [1, 3, 50])
@pytest.mark.parametrize("rows", [5, 16, 100])
@pytest.mark.parametrize("layout", LAYOUTS[:3])
def test_int8_is_attention_to_the_scaled_rows(
    queries: int, rows: int, layout: str, rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    example = Example(rng, rows, np.float32, layout)
    (key, key_scales), (value, value_scales) = map(
        quantized, (example.key_pages, example.value_pages)
    )
    if layout == "rows first":
        key = np.ascontiguousarray(key.swapaxes(1, 2)).swapaxes(1, 2)
    query = rng.standard_normal((B, H, queries, D)).astype(wide_dtype)
    options: dict[str, Any] = {"causal": True, "return_lse": True}
    out, lse = heedful.attention_paged(
        query, key, value, example.table, LENGTHS, key_scales=key_scales,
        value_scales=value_scales, **options,
    )  # fmt: skip
    wide = [
        pool.astype(np.float64) * scales[..., None]
        for pool, scales in ((key, key_scales), (value, value_scales))
    ]
    items = np.clip(example.table, 0, len(key) - 1)
    whole = [
        pool[items].swapaxes(1, 2).reshape(B, HKV, -1, pool.shape[-1])[:, :, : LENGTHS.max()]
        for pool in wide
    ]
    given = {"causal": True, "align": "lower_right", "kv_lengths": LENGTHS}
    exact, plain = (
        reference.attention(query, *whole, **given, dtype=kind)
        for kind in (np.longdouble if wide_dtype == np.float64 else np.float64, wide_dtype)
    )
    if queries == 1 and wide_dtype == np.float32:  # see test_int8_products.py
        np.testing.assert_allclose(out, exact.out, atol=1e-4)
        np.testing.assert_allclose(lse, exact.lse, atol=1e-4)
    else:
        assert_as_accurate_as_numpy(out, plain.out, exact.out)
        assert_as_accurate_as_numpy(lse, plain.lse, exact.lse)


def test_keys_of_int8_with_values_of_another_type_and_scales_of_16_bits(
    rng: np.random.Generator,
) -> None:
    example = Example(rng, 16)
    key, scales = quantized(example.key_pages)
    query = rng.standard_normal((B, H, 1, D)).astype(np.float16)
    out = heedful.attention_paged(
        query, key, example.value_pages.astype(np.float16), example.table, LENGTHS,
        key_scales=scales.astype(np.float16),
    )  # fmt: skip
    assert out.dtype == np.float16
    np.testing.assert_allclose(out, example.attend(query.astype(np.float32)), atol=0.02)


@pytest.mark.parametrize("queries", [1, 50])
def test_nan_on_pages_that_no_query_sees_changes_nothing(
    queries: int, rng: np.random.Generator
) -> None:
    clean, full = Example(rng, 16), Example(np.random.default_rng(20240229), 16)
    query = rng.standard_normal((B, H, queries, D)).astype(np.float32)
    for pages in (full.key_pages, full.value_pages):
        used = np.zeros((len(pages), 16), bool)
        for item, length in enumerate(LENGTHS):
            for row in range(length):
                used[full.table[item, row // 16], row % 16] = True
        pages.swapaxes(1, 2)[~used] = np.nan
    assert_same_bits(full.attend(query, causal=True), clean.attend(query, causal=True))
    key, key_scales = quantized(clean.key_pages)
    value, value_scales = quantized(clean.value_pages)
    arguments = query, key, value, clean.table, LENGTHS
    expected = heedful.attention_paged(
        *arguments, key_scales=key_scales, value_scales=value_scales, causal=True
    )
    for scales in (key_scales, value_scales):
        scales.swapaxes(1, 2)[~used] = np.nan
    result = heedful.attention_paged(
        *arguments, key_scales=key_scales, value_scales=value_scales, causal=True
    )
    assert_same_bits(result, expected)


def test_a_nan_scale_of_a_visible_row_reaches_the_output_of_rows_that_see_it(
    rng: np.random.Generator,
) -> None:
    example = Example(rng, 16)
    key, key_scales = quantized(example.key_pages)
    value, value_scales = quantized(example.value_pages)
    value_scales[example.table[2, 3], 1, 5] = np.nan  # row 53 of item 2, of 97
    for queries in (1, 50):
        query = rng.standard_normal((B, H, queries, D)).astype(np.float32)
        out = heedful.attention_paged(
            query, key, value, example.table, LENGTHS, key_scales=key_scales,
            value_scales=value_scales, causal=True,
        )  # fmt: skip
        sees = 97 - queries + np.arange(queries) >= 53
        assert (np.isnan(out[2, 3:]).all(axis=-1) == sees).all()
        assert not np.isnan(out[2, :3]).any()
        assert not np.isnan(out[[0, 1, 3]]).any()


def test_items_may_share_pages(rng: np.random.Generator) -> None:
    pages = rng.standard_normal((3, HKV, 16, D)).astype(np.float32)
    query = rng.standard_normal((2, H, 1, D)).astype(np.float32)
    out = heedful.attention_paged(query, pages, pages, [[0, 1], [0, 2]], [20, 30])
    for item, page in enumerate((1, 2)):
        rows = np.concatenate([pages[0], pages[page]], axis=1)[:, : (20, 30)[item]]
        assert_same_bits(out[item], heedful.attention(query[item], rows, rows))


def test_the_result_is_written_where_requested_and_the_same_for_all_threads(
    rng: np.random.Generator,
) -> None:
    example = Example(rng, 16)
    query = rng.standard_normal((B, H, 9, D)).astype(np.float32)
    out = np.full((B, H, 9, DV), 7, np.float32)
    assert example.attend(query, causal=True, out=out) is out
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            assert_same_bits(out, example.attend(query, causal=True))


def test_no_items_and_no_rows() -> None:
    pages = np.ones((3, 2, 16, 8), np.float32)
    for items in (0, 2):
        out, lse = heedful.attention_paged(
            np.ones((items, 4, 1, 8), np.float32), pages, pages, np.zeros((items, 0), np.int32),
            np.zeros(items, np.int64), return_lse=True,
        )  # fmt: skip
        assert out.shape == (items, 4, 1, 8)
        assert (out == 0).all()
        assert (lse == -np.inf).all()
