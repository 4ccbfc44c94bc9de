"""Attention over pages, against dense calls bit for bit, and against the oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from conftest import as_dtype
from paged_example import DV, HKV, LAYOUTS, LENGTHS, B, D, Example, H, quantized

import heedful
import reference

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
