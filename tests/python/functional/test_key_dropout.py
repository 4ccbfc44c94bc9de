"""Dropout of keys: hidden before the softmax, known beforehand bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray
from philox import KEY_DROPOUT, kept_weights

import heedful

Array = NDArray[Any]
SHAPES = [(1, 1, 1, 1), (2, 3, 5, 7), (1, 2, 33, 97), (2, 1, 197, 389), (3, 4, 1, 1025)]


def draw(rng: np.random.Generator, shape: tuple[int, int, int, int], dtype: Any) -> list[Array]:
    items, heads, queries, keys = shape
    shapes = (items, heads, queries, 8), (items, heads, keys, 8), (items, heads, keys, 3)
    return [rng.standard_normal(shape).astype(dtype) for shape in shapes]


def kept_keys(shape: tuple[int, int, int, int], p: float, seed: int) -> NDArray[np.bool_]:
    items, heads, queries, keys = shape
    return kept_weights(np.arange(items), heads, queries, keys, p, seed, KEY_DROPOUT)


@pytest.mark.parametrize("seed", [0, 2**32, 2**64 - 1])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.97])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_a_mask_that_the_counters_draw(
    shape: tuple[int, int, int, int], p: float, seed: int, rng: np.random.Generator
) -> None:
    inputs = draw(rng, shape, np.float64)
    mask = kept_keys(shape, p, seed)
    (out, lse, weights), pullback = heedful.attention_vjp(
        *inputs, key_dropout_p=p, rng=seed, return_lse=True, return_weights=True
    )
    exact, of_mask = heedful.attention_vjp(*inputs, mask=mask, return_lse=True, return_weights=True)
    for found, expected in zip((out, lse, weights), exact, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)
    dout = rng.standard_normal(out.shape)
    for found, expected in zip(pullback(dout)[:3], of_mask(dout)[:3], strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_it_does_not_depend_on_type_or_processor_level(
    rng: np.random.Generator, dtype: np.dtype[Any]
) -> None:
    shape = (2, 2, 33, 97)
    weights = heedful.attention_weights(
        *draw(rng, shape, dtype)[:2], scale=0.0, key_dropout_p=0.25, rng=3
    )
    np.testing.assert_array_equal(weights > 0, kept_keys(shape, 0.25, 3))


def test_a_query_that_loses_all_keys_attends_to_nothing(
    rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    shape = (2, 3, 41, 3)
    inputs = draw(rng, shape, wide_dtype)
    lost = ~kept_keys(shape, 0.7, 5).any(-1)
    assert 0.2 < lost.mean() < 0.5
    (out, lse), pullback = heedful.attention_vjp(*inputs, key_dropout_p=0.7, rng=5, return_lse=True)
    np.testing.assert_array_equal(lse == -np.inf, lost)
    np.testing.assert_array_equal((out == 0).all(-1), lost)
    gradients = pullback(np.ones_like(out))
    np.testing.assert_array_equal((gradients.query == 0).all(-1) & lost, lost)
    assert all(np.isfinite(gradient).all() for gradient in gradients[:3])


def test_what_a_hidden_key_holds_does_not_matter(
    rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, (1, 1, 2, 97), wide_dtype)
    kept = kept_keys((1, 1, 2, 97), 0.5, 9)[0, 0]
    options = {"key_dropout_p": 0.5, "rng": 9}
    out, pullback = heedful.attention_vjp(query, key, value, **options)
    hidden = ~kept.any(0)
    assert hidden.any()
    spoiled_key, spoiled_value = key.copy(), value.copy()
    spoiled_key[..., hidden, :], spoiled_value[..., hidden, :] = np.nan, np.inf
    again, of_spoiled = heedful.attention_vjp(query, spoiled_key, spoiled_value, **options)
    assert_same_bits(again, out)
    dout = np.ones_like(out)
    np.testing.assert_allclose(of_spoiled(dout).query, pullback(dout).query, rtol=1e-5)


def test_the_share_of_dropped_keys_is_the_probability() -> None:
    x = np.ones((4, 8, 256, 4), np.float32)
    for p in (0.05, 0.5, 0.9):
        hidden = heedful.attention_weights(x, x, key_dropout_p=p, rng=1) == 0
        assert abs(hidden.mean() - p) < 4 * np.sqrt(p * (1 - p) / hidden.size)
