"""Inputs are read in place: no copies, and sizes past 32 bits that cost no memory."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]


def normal(rng: np.random.Generator, *shape: int, dtype: Any = np.float64) -> Array:
    return rng.standard_normal(shape).astype(dtype)


LONG = 30_000
AS_STORED: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda array: array,
    "transposed": lambda array: array.swapaxes(-1, -2).copy().swapaxes(-1, -2),
    "every_second": lambda array: np.repeat(array, 2, axis=-1)[..., ::2],
    "backwards": lambda array: array[..., ::-1, ::-1],
    "repeated": lambda array: np.broadcast_to(array[:, :1, :1], array.shape),
    "heads_after_rows": lambda array: array.swapaxes(-2, -3).copy().swapaxes(-2, -3),
}


@pytest.mark.parametrize("stored", AS_STORED)
@pytest.mark.parametrize("layout", ["bhld", "blhd"])
def test_no_input_is_copied(stored: str, layout: Any, rng: np.random.Generator) -> None:
    query = normal(rng, 1, 2, 1, 16, dtype=np.float32)
    key = AS_STORED[stored](normal(rng, 1, 2, LONG, 16, dtype=np.float32))
    bias = AS_STORED[stored](normal(rng, 1, 2, 1, LONG, dtype=np.float32))
    mask = AS_STORED[stored](rng.random((1, 2, 1, LONG)) < 0.5)
    if layout == "blhd":
        query, key = query.swapaxes(-2, -3), key.swapaxes(-2, -3)
    tracemalloc.start()
    try:
        heedful.attention(query, key, key, mask=mask, bias=bias, layout=layout)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000  # mask alone has 60,000 bytes


def test_a_float32_query_leaves_16_bit_keys_as_they_are(rng: np.random.Generator) -> None:
    query = normal(rng, 2, 1, 16, dtype=np.float32)
    key = normal(rng, 2, LONG, 16, dtype=np.float16)
    tracemalloc.start()
    try:
        out = heedful.attention(query, key, key)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20_000
    assert out.dtype == np.float32
    wide = key.astype(np.float32)
    np.testing.assert_allclose(out, heedful.attention(query, wide, wide), rtol=1e-4, atol=1e-6)


def test_a_converted_array_that_is_repeated_is_converted_once(rng: np.random.Generator) -> None:
    query = normal(rng, 64, 1, 1, 16)
    key = np.broadcast_to(normal(rng, 1, 100, 16, dtype=np.float32), (64, 1, 100, 16))
    tracemalloc.start()
    try:
        heedful.attention(query, key, key)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * key.itemsize * 100 * 16 * 4  # one item, twice, in float64; not 64


# Sizes past 32 bits, in arrays that repeat one row and so cost no memory

HUGE = 2**32 + 7


def test_more_than_2_to_the_32_keys_of_which_few_are_valid(rng: np.random.Generator) -> None:
    query, row = normal(rng, 2, 3, 8, dtype=np.float32), normal(rng, 2, 1, 8, dtype=np.float32)
    key = np.broadcast_to(row, (2, HUGE, 8))
    expected = np.broadcast_to(row, (2, 3, 8))
    for options in (
        {"kv_lengths": 5},
        {"causal": True, "align": 3},
        {"window": (2, 0), "align": "lower_right"},
        {"window": (0, 3), "align": HUGE - 3},
    ):
        out = heedful.attention(query, key, key, **options)
        np.testing.assert_allclose(out, expected, rtol=1e-5)


def test_a_bias_and_a_mask_of_more_than_2_to_the_32_elements(rng: np.random.Generator) -> None:
    query = normal(rng, 2, 3, 8, dtype=np.float32)
    key = np.broadcast_to(normal(rng, 2, 1, 8, dtype=np.float32), (2, HUGE, 8))
    bias = np.broadcast_to(np.float32(0.5), (2, 3, HUGE))
    mask = np.broadcast_to(True, (2, 3, HUGE))
    _, lse = heedful.attention(query, key, key, bias=bias, mask=mask, kv_lengths=4, return_lse=True)
    expected = np.einsum("hid,hd->hi", query, key[:, 0]) / math.sqrt(8) + 0.5 + math.log(4)
    np.testing.assert_allclose(lse, expected, rtol=1e-5)
