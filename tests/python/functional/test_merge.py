"""merge_attention: keys that live in pieces, and gradients from the merged log-sum-exp."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
SPLITS = {
    "halves": (0, 193, 385),
    "one key, the rest": (0, 1, 385),
    "seven pieces": (0, 3, 50, 51, 200, 256, 300, 385),
    "an empty piece": (0, 100, 100, 385),
    "one piece": (0, 385),
}
splits = pytest.mark.parametrize("borders", SPLITS.values(), ids=SPLITS.keys())


def draw(rng: np.random.Generator, dtype: Any = np.float64) -> tuple[Array, Array, Array, Array]:
    shapes = (2, 4, 33, 17), (2, 2, 385, 17), (2, 2, 385, 9), (2, 4, 33, 9)
    query, key, value, dout = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return query, key, value, dout


def attend_in_pieces(
    query: Array, key: Array, value: Array, borders: tuple[int, ...], mask: Array | None = None
) -> tuple[list[Array], list[Array]]:
    outs, lses = [], []
    for start, end in pairwise(borders):
        piece = slice(start, end)
        seen = None if mask is None else mask[..., piece]
        out, lse = heedful.attention(
            query, key[..., piece, :], value[..., piece, :], mask=seen, return_lse=True
        )
        outs.append(out)
        lses.append(lse)
    return outs, lses


@splits
def test_merged_pieces_are_the_whole(
    borders: tuple[int, ...], rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    query, key, value, _ = draw(rng, dtype)
    out, lse = heedful.merge_attention(*attend_in_pieces(query, key, value, borders))
    exact = reference.attention(query, key, value)
    tolerance = {"float64": 1e-14, "float32": 1e-6, "float16": 2e-3, "bfloat16": 2e-2}[dtype.name]
    assert out.dtype == dtype
    assert lse.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(out.astype(np.float64), exact.out, atol=tolerance)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-14 if dtype == np.float64 else 1e-6)


@splits
def test_pieces_in_which_a_row_sees_nothing(
    borders: tuple[int, ...], rng: np.random.Generator
) -> None:
    query, key, value, _ = draw(rng)
    mask = rng.random((2, 4, 33, 385)) < 0.01  # most rows see nothing in most pieces
    mask[:, :, 5] = False
    out, lse = heedful.merge_attention(*attend_in_pieces(query, key, value, borders, mask))
    exact = reference.attention(query, key, value, mask=mask)
    np.testing.assert_allclose(out, exact.out, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-13)
    assert not out[:, :, 5].any()
    assert (lse[:, :, 5] == -np.inf).all()


@splits
def test_gradients_of_pieces_with_the_merged_lse_are_those_of_the_whole(
    borders: tuple[int, ...], rng: np.random.Generator
) -> None:
    query, key, value, dout = draw(rng)
    mask = rng.random((2, 4, 33, 385)) < 0.05
    mask[:, :, 7] = False
    out, lse = heedful.merge_attention(*attend_in_pieces(query, key, value, borders, mask))
    exact = reference.attention_backward(dout, query, key, value, mask=mask)
    dquery = np.zeros_like(query)
    for start, end in pairwise(borders):
        piece = slice(start, end)
        gradients = heedful.attention_backward(
            dout, query, key[..., piece, :], value[..., piece, :], out, lse, mask=mask[..., piece]
        )
        dquery += gradients.query
        np.testing.assert_allclose(gradients.key, exact.key[..., piece, :], atol=1e-13)
        np.testing.assert_allclose(gradients.value, exact.value[..., piece, :], atol=1e-13)
    np.testing.assert_allclose(dquery, exact.query, atol=1e-13)


def test_causal_pieces_with_offsets_are_the_causal_whole(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal((1, 2, 97, 8)) for _ in range(3))
    outs, lses = [], []
    for start in (0, 40, 80):
        piece = slice(start, start + 40)
        out, lse = heedful.attention(
            query, key[..., piece, :], value[..., piece, :],
            causal=True, align=-start, return_lse=True,
        )  # fmt: skip
        outs.append(out)
        lses.append(lse)
    out, lse = heedful.merge_attention(outs, lses)
    exact = reference.attention(query, key, value, causal=True)
    np.testing.assert_allclose(out, exact.out, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-12)


def test_far_apart_pieces_do_not_overflow() -> None:
    outs = [np.full((1, 1, 1, 2), number) for number in (1.0, 2.0, 3.0)]
    lses = [np.full((1, 1, 1), number) for number in (-1e30, 1e30, 0.0)]
    out, lse = heedful.merge_attention(outs, lses)
    np.testing.assert_array_equal(out, outs[1])
    np.testing.assert_array_equal(lse, lses[1])


def test_two_axes_as_well(rng: np.random.Generator) -> None:
    query, key, value = (rng.standard_normal((5, 3)) for _ in range(3))
    first = heedful.attention(query, key[:2], value[:2], return_lse=True)
    second = heedful.attention(query, key[2:], value[2:], return_lse=True)
    out, lse = heedful.merge_attention([first[0], second[0]], [first[1], second[1]])
    exact = reference.attention(query, key, value)
    np.testing.assert_allclose(out, exact.out, rtol=1e-13)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-13)


def test_merging_has_the_same_bits_for_every_number_of_threads(rng: np.random.Generator) -> None:
    query, key, value, _ = draw(rng, np.float32)
    pieces = attend_in_pieces(query, key, value, SPLITS["seven pieces"])
    results = []
    for threads in (1, 2, 5, 8):
        with heedful.num_threads(threads):
            results.append(heedful.merge_attention(*pieces))
    for out, lse in results[1:]:
        assert_same_bits(out, results[0][0])
        assert_same_bits(lse, results[0][1])
