"""Heads whose rows alternate in memory, (B, L, H, D), give the bits of contiguous heads.

That is what a projection split into heads delivers. Each thread copies the rows of a head once and
keeps them for its next tasks, so lengths are beyond one task, several heads are read by one thread,
and calls with other arrays follow one another.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
DTYPES = ["float32", "float64", "float16", ml_dtypes.bfloat16]
# batch, heads, key/value heads, queries, keys, depth, options
SHAPES = {
    "several_tasks": (2, 3, 3, 450, 450, 64, {}),
    "causal": (1, 4, 4, 700, 700, 32, {"causal": True}),
    "window": (1, 3, 3, 900, 900, 16, {"window": (100, 20)}),
    "grouped": (2, 6, 2, 150, 300, 40, {"causal": True, "align": "lower_right"}),
    "rows_a_page_apart": (1, 16, 16, 130, 90, 64, {}),
    "rows_a_page_apart_odd_depth": (1, 8, 8, 230, 260, 129, {}),
    "cross": (2, 5, 5, 600, 77, 64, {}),
    "few_rows_split": (2, 4, 2, 2, 1500, 64, {}),
    "lengths": (3, 3, 3, 420, 420, 24, {"kv_lengths": np.array([0, 257, 420])}),
    "softcap": (1, 2, 2, 400, 400, 8, {"softcap": 5.0}),
}


def draw(name: str, dtype: Any) -> tuple[list[Array], dict[str, Any]]:
    batch, heads, kv_heads, queries, keys, depth, options = SHAPES[name]
    rng = np.random.default_rng(0)
    sizes = [(heads, queries), (kv_heads, keys), (kv_heads, keys), (heads, queries)]
    arrays = [rng.standard_normal((batch, *size, depth)).astype(dtype) for size in sizes]
    return arrays, options


def interleaved(array: Array) -> Array:
    view = np.ascontiguousarray(array.swapaxes(-2, -3)).swapaxes(-2, -3)
    assert not view.flags.c_contiguous
    return view


def results(arrays: list[Array], options: dict[str, Any], threads: int) -> list[Array]:
    query, key, value, dout = arrays
    with heedful.num_threads(threads):
        (out, lse), pullback = heedful.attention_vjp(query, key, value, return_lse=True, **options)
        return [out, lse, *pullback(dout)[:3]]


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("name", SHAPES)
def test_the_bits_of_contiguous_heads(name: str, dtype: Any) -> None:
    arrays, options = draw(name, dtype)
    expected = results(arrays, options, 1)
    for threads in (1, 2, 3):
        found = results([interleaved(array) for array in arrays], options, threads)
        for what, one, other in zip(
            ("out", "lse", "dquery", "dkey", "dvalue"), found, expected, strict=True
        ):
            assert_same_bits(one, other, f"{what}, {threads} threads")


def rows_far_apart(rng: np.random.Generator) -> Array:
    """One head, whose tasks all have the same rows to keep: (450, 64), 4 row lengths apart."""
    view: Array = rng.standard_normal((450, 4 * 64), dtype=np.float32)[:, 64:128]
    return view


def test_nothing_of_an_earlier_call_is_kept(rng: np.random.Generator) -> None:
    """The calls follow one another directly: others would use the same scratch memory."""
    calls = [[rows_far_apart(rng) for _ in range(3)] for _ in range(4)]
    with heedful.num_threads(1):
        found = [heedful.attention(*arrays) for arrays in calls]
        expected = [heedful.attention(*map(np.ascontiguousarray, arrays)) for arrays in calls]
    for number, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert_same_bits(one, other, f"call {number}")


def test_arrays_changed_in_place_between_calls(rng: np.random.Generator) -> None:
    query, key, value = (rows_far_apart(rng) for _ in range(3))
    with heedful.num_threads(1):
        heedful.attention(query, key, value)
        key[7] *= -2
        value[400] += 1
        found = heedful.attention(query, key, value)
        expected = heedful.attention(*map(np.ascontiguousarray, (query, key, value)))
    assert_same_bits(found, expected, "after the change")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_packed_sequences_of_one_query_and_of_many(threads: int) -> None:
    """Rows kept for long sequences survive the scratch memory of short ones in between."""
    rng = np.random.default_rng(5)
    queries, keys = [500, 1, 400, 1, 1, 900, 3], [500, 2000, 450, 700, 5, 900, 1100]
    heads, depth = 5, 64
    query = rng.standard_normal((sum(queries), heads, depth), dtype=np.float32)
    key, value = rng.standard_normal((2, sum(keys), heads, depth), dtype=np.float32)
    with heedful.num_threads(threads):
        found = heedful.attention_varlen(
            query, key, value, np.cumsum([0, *queries]), np.cumsum([0, *keys])
        )
    for item, (rows, columns) in enumerate(zip(queries, keys, strict=True)):
        first, start = sum(queries[:item]), sum(keys[:item])
        own = [
            np.ascontiguousarray(array[begin : begin + count].swapaxes(0, 1))
            for array, begin, count in (
                (query, first, rows), (key, start, columns), (value, start, columns)
            )
        ]  # fmt: skip
        expected = heedful.attention(*own).swapaxes(0, 1)
        assert_same_bits(found[first : first + rows], expected, f"sequence {item}")
