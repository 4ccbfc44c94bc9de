"""Pages of int8 with a scale for each row and head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy
from paged_example import HKV, LAYOUTS, LENGTHS, B, D, Example, H, quantized

import heedful
import reference


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
