"""Rows with nothing to attend give 0 and −inf, never NaN, and leave their neighbours alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray

import heedful

Array = NDArray[Any]
B, H, LQ, LK = 3, 2, 33, 97
ROW, ITEM = 17, 1


def mask_row() -> dict[str, Any]:
    mask = np.ones((LQ, LK), bool)
    mask[ROW] = False
    return {"mask": mask}


def mask_row_of_one_head() -> dict[str, Any]:
    mask = np.ones((B, H, LQ, LK), bool)
    mask[ITEM, 1, ROW] = False
    return {"mask": mask}


def mask_item() -> dict[str, Any]:
    mask = np.ones((B, 1, 1, LK), bool)
    mask[ITEM] = False
    return {"mask": mask}


def mask_queries() -> dict[str, Any]:
    mask = np.ones((B, 1, LQ, 1), bool)
    mask[ITEM, :, ROW] = False
    return {"mask": mask}


def bias_row() -> dict[str, Any]:
    bias = np.zeros((H, LQ, LK))
    bias[:, ROW] = -np.inf
    return {"bias": bias}


def bias_item() -> dict[str, Any]:
    bias = np.zeros((B, 1, 1, LK))
    bias[ITEM] = -np.inf
    return {"bias": bias}


def mask_and_bias_together() -> dict[str, Any]:
    mask, bias = np.ones((LQ, LK), bool), np.zeros((LQ, LK))
    mask[ROW, :50] = False
    bias[ROW, 50:] = -np.inf
    return {"mask": mask, "bias": bias}


def keys_of_length_zero() -> dict[str, Any]:
    return {"kv_lengths": [LK, 0, 5]}


def queries_of_length_zero() -> dict[str, Any]:
    return {"q_lengths": [LQ, 0, 5]}


def causal_before_the_first_key() -> dict[str, Any]:
    return {"causal": True, "align": [0, -20, -1000]}


def window_beside_the_keys() -> dict[str, Any]:
    return {"window": (3, 3), "align": [0, 80, 500]}


def causal_against_a_window() -> dict[str, Any]:
    """Queries that a mask keeps from the few keys that the window leaves."""
    mask = np.ones((LQ, LK), bool)
    mask[ROW, ROW - 4 : ROW + 1] = False
    return {"causal": True, "window": (4, None), "align": "upper_left", "mask": mask}


RESTRICTIONS = [
    mask_row, mask_row_of_one_head, mask_item, mask_queries, bias_row, bias_item,
    mask_and_bias_together, keys_of_length_zero, queries_of_length_zero,
    causal_before_the_first_key, window_beside_the_keys, causal_against_a_window,
]  # fmt: skip
restrictions = pytest.mark.parametrize("restrict", RESTRICTIONS, ids=lambda made: made.__name__)


def draw(dtype: Any, hkv: int = H) -> tuple[Array, Array, Array, Array]:
    rng = np.random.default_rng(8)
    shapes = (B, H, LQ, 16), (B, hkv, LK, 16), (B, hkv, LK, 9), (B, H, LQ, 9)
    query, key, value, dout = (rng.standard_normal(shape).astype(dtype) for shape in shapes)
    return query, key, value, dout


@restrictions
@pytest.mark.parametrize("sink", [None, [0.5, -1.0]], ids=["no sink", "sink"])
def test_such_rows_are_zero_and_their_gradients_too(
    restrict: Callable[[], dict[str, Any]], sink: list[float] | None, dtype: np.dtype[Any]
) -> None:
    options = {**restrict(), "sink": sink}
    query, key, value, dout = draw(dtype)
    (out, lse, weights), pullback = heedful.attention_vjp(
        query, key, value, **options, return_lse=True, return_weights=True
    )
    gradients = pullback(dout, dlse=np.ones_like(lse), dweights=np.ones_like(weights))
    empty = ~(weights > 0).any(axis=-1)
    assert empty.any()
    assert not empty.all()
    assert not out[empty].any()
    assert not gradients.query[empty].any()
    if sink is None:
        assert (lse[empty] == -np.inf).all()
    else:
        exists = np.arange(LQ) < np.reshape(options.get("q_lengths", [LQ] * B), (B, 1, 1))
        expected = np.where(exists, np.reshape(sink, (H, 1)), -np.inf).astype(lse.dtype)
        np.testing.assert_array_equal(lse[empty], expected[empty])
    for array in (out, weights, *(gradient for gradient in gradients if gradient is not None)):
        assert np.isfinite(array.astype(np.float64)).all()
    unseen = ~(weights > 0).any(axis=(1, 2))  # (B, Lk): no query of the item sees this key
    if unseen.any():
        assert not gradients.key.swapaxes(1, 2)[unseen].any()
        assert not gradients.value.swapaxes(1, 2)[unseen].any()


@restrictions
@pytest.mark.parametrize("hkv", [1, 2])
def test_their_neighbours_keep_every_bit(
    restrict: Callable[[], dict[str, Any]], hkv: int, dtype: np.dtype[Any]
) -> None:
    """The contents of empty rows and their gradients have no effect on other rows."""
    options = restrict()
    query, key, value, dout = draw(dtype, hkv)
    _, weights = heedful.attention(query, key, value, **options, return_weights=True)
    empty = ~(weights > 0).any(axis=-1)
    results = []
    for planted in (0.0, 1.0, np.nan, np.inf):
        query[empty] = planted
        dout[empty] = planted
        (out, lse), pullback = heedful.attention_vjp(query, key, value, **options, return_lse=True)
        results.append([out, lse, *pullback(dout)[:4]])
    names = ("out", "lse", "dquery", "dkey", "dvalue", "dbias")
    for result in results[1:]:
        for name, array, expected in zip(names, result, results[0], strict=True):
            if expected is not None:
                np.testing.assert_array_equal(array, expected, err_msg=name)


def test_a_row_emptied_by_a_mask_leaves_the_other_rows_their_bits(dtype: np.dtype[Any]) -> None:
    query, key, value, _ = draw(dtype)
    for length in (LK, 1, 33):
        few = key[:, :, :length], value[:, :, :length]
        mask = np.ones((LQ, length), bool)
        with_row = heedful.attention(query, *few, mask=mask)
        mask[ROW] = False
        without_row = heedful.attention(query, *few, mask=mask)
        others = np.arange(LQ) != ROW
        assert_same_bits(without_row[:, :, others], with_row[:, :, others])
        assert not without_row[:, :, ROW].any()


@pytest.mark.parametrize("num_queries", [1, 3, 33])
def test_nothing_at_all_to_attend(num_queries: int, dtype: np.dtype[Any]) -> None:
    query, key, value, dout = draw(dtype)
    query, dout = query[:, :, :num_queries], dout[:, :, :num_queries]
    for options in (
        {"mask": False},
        {"mask": np.zeros((num_queries, LK), bool)},
        {"bias": np.array(-np.inf)},
        {"kv_lengths": [0, 0, 0]},
        {"causal": True, "align": -1000},
    ):
        (out, lse), pullback = heedful.attention_vjp(query, key, value, **options, return_lse=True)
        assert not out.any()
        assert (lse == -np.inf).all()
        for gradient in pullback(dout, np.ones_like(lse)):
            assert gradient is None or not gradient.any()


@pytest.mark.parametrize("num_keys", [1025, 2049])
def test_a_decoding_row_in_which_whole_splits_are_hidden(
    num_keys: int, dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query, key, value = (
        rng.standard_normal((2, 2, length, 8)).astype(dtype) for length in (1, num_keys, num_keys)
    )
    for shown in (slice(0, 0), slice(5, 6), slice(num_keys - 1, None), slice(300, 310)):
        mask = np.zeros(num_keys, bool)
        mask[shown] = True
        out, lse = heedful.attention(query, key, value, mask=mask, return_lse=True)
        if not mask.any():
            assert not out.any()
            assert (lse == -np.inf).all()
            continue
        few, few_lse = heedful.attention(
            query, key[:, :, shown], value[:, :, shown], return_lse=True
        )
        tolerance = {"float64": 1e-14, "float32": 1e-6}.get(dtype.name, 2e-2)
        np.testing.assert_allclose(
            out.astype(np.float64), few.astype(np.float64), rtol=tolerance, atol=tolerance
        )
        np.testing.assert_allclose(lse, few_lse, rtol=1e-5)
