"""Pages whose rows alternate between the heads, as of other libraries' caches."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from closeness import assert_same_bits
from memory_layouts import heads_inside
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


def as_int8(rows: Array) -> tuple[Array, Array]:
    scales = np.abs(rows).max(-1) / 127
    return np.rint(rows / scales[..., None]).astype(np.int8), scales.astype(np.float32)


class Paged:
    """Pages whose rows are in the order of heads, or of rows, and options that hide keys."""

    lengths = np.array([1300, 0, 97, 700])

    def __init__(self, page_rows: int, dtype: Any, depth: int = 64) -> None:
        rng = np.random.default_rng(page_rows)
        count = -(-self.lengths // page_rows)
        self.table = np.zeros((4, count.max()), np.int64)
        order = rng.permutation(count.sum())
        for item, end in enumerate(np.cumsum(count)):
            self.table[item, : count[item]] = order[end - count[item] : end]
        shape = len(order), 9, page_rows, depth
        self.query = rng.standard_normal((4, 18, 1, depth), dtype=np.float32)
        self.key, self.value = (rng.standard_normal(shape, dtype=np.float32) for _ in range(2))
        self.scales: dict[str, Array] = {}
        if dtype == np.int8:
            self.key, self.scales["key_scales"] = as_int8(self.key)
            self.value, self.scales["value_scales"] = as_int8(self.value)
        else:
            self.query, self.key, self.value = (
                rows.astype(dtype) for rows in (self.query, self.key, self.value)
            )

    def attend(self, rows_first: bool, threads: int, **options: Any) -> tuple[Array, Array]:
        pages = [heads_inside(rows) if rows_first else rows for rows in (self.key, self.value)]
        with heedful.num_threads(threads):
            out, lse = heedful.attention_paged(
                self.query, *pages, self.table, self.lengths, **self.scales,
                return_lse=True, **options,
            )  # fmt: skip
        return out, lse

    def mask(self) -> Array:
        """Of the rows of an item's pages."""
        length = self.table.shape[1] * self.key.shape[2]
        return np.random.default_rng(5).random((4, 1, 1, length)) < 0.7


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int8], ids=str)
@pytest.mark.parametrize("page_rows", [7, 16, 24, 1300])
@pytest.mark.parametrize("masked", [False, True])
def test_pages_with_their_rows_before_the_heads(page_rows: int, masked: bool, dtype: Any) -> None:
    paged = Paged(page_rows, dtype)
    options: dict[str, Any] = {"mask": paged.mask()} if masked else {"window": (400, None)}
    expected = paged.attend(False, 1, **options)
    for threads in (1, 2, 3):
        for found, one in zip(paged.attend(True, threads, **options), expected, strict=True):
            assert_same_bits(found, one, f"{threads} threads")


@pytest.mark.parametrize("depth", [64, 40])  # products of integers, and of floats
@pytest.mark.parametrize("rows_first", [False, True])
def test_scales_of_hidden_keys_may_be_anything(rows_first: bool, depth: int) -> None:
    paged = Paged(16, np.int8, depth)
    mask = paged.mask()
    out, lse = paged.attend(rows_first, 1, mask=mask)
    for scales in paged.scales.values():
        for item, length in enumerate(paged.lengths):
            hidden = np.flatnonzero(~mask[item, 0, 0, :length])
            scales[paged.table[item, hidden // 16], :, hidden % 16] = np.nan
    found, found_lse = paged.attend(rows_first, 2, mask=mask)
    assert_same_bits(found, out)
    assert_same_bits(found_lse, lse)
