"""attention_weights: after softmax, for rows of interest, averaged over heads."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from case import Call, Case
from cases import CASE, CASES
from closeness import assert_as_accurate_as_numpy
from numpy.typing import NDArray

import heedful
import reference

WITH_OWN_BATCH = [case for case in CASES if not case.batches]


def weights_of(call: Call, **more: Any) -> NDArray[Any]:
    return heedful.attention_weights(call.query, call.key, **call.options, **more)


@pytest.mark.parametrize("case", WITH_OWN_BATCH, ids=str)
def test_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw(np.float32)
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    weights = weights_of(call)
    assert weights.dtype == np.float32
    assert_as_accurate_as_numpy(weights, plain.weights, exact.weights, "weights")


@pytest.mark.parametrize("case", WITH_OWN_BATCH, ids=str)
def test_weights_are_those_that_attention_returns(case: Case) -> None:
    call = case.draw(np.float32)
    _, weights = call.run(heedful.attention, return_weights=True)
    np.testing.assert_allclose(weights_of(call), weights, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("case", WITH_OWN_BATCH, ids=str)
def test_rows_of_interest_are_rows_of_the_whole(case: Case) -> None:
    call = case.draw()
    rows = np.random.default_rng(1).integers(0, case.Lq, 4)  # any order, repeats allowed
    some = weights_of(call, rows=rows)
    np.testing.assert_allclose(some, weights_of(call)[..., rows, :], rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("case", WITH_OWN_BATCH, ids=str)
def test_averaged_heads_are_the_mean_over_heads(case: Case) -> None:
    call = case.draw()
    averaged = weights_of(call, average_heads=True)
    expected = weights_of(call).mean(axis=-3)
    assert averaged.shape == expected.shape
    np.testing.assert_allclose(averaged, expected, rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize(
    "case",
    [case for case in WITH_OWN_BATCH if case.options.get("normalizer", "softmax") == "softmax"],
    ids=str,
)
def test_weights_with_a_known_lse_are_those_of_the_reference(case: Case) -> None:
    """Its own is read, not computed: one that is larger by log 2 halves the weights."""
    call = case.draw()
    exact = call.run(reference.attention)
    found = weights_of(call, lse=exact.lse)
    np.testing.assert_allclose(found, exact.weights, rtol=1e-9, atol=1e-12)
    halves = weights_of(call, lse=exact.lse + np.log(2), average_heads=True)
    np.testing.assert_allclose(halves, exact.weights.mean(-3) / 2, rtol=1e-9, atol=1e-12)


def test_a_known_lse_is_refused_where_rows_have_thresholds(rng: np.random.Generator) -> None:
    query = rng.standard_normal((2, 5, 3))
    with pytest.raises(ValueError, match=r"^lse must be None where normalizer is not 'softmax'"):
        heedful.attention_weights(query, query, normalizer="sparsemax", lse=np.zeros((2, 5)))


def test_a_known_lse_of_one_query_has_no_axis(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal(3), rng.standard_normal((5, 3))
    _, lse = heedful.attention(query, key, key, return_lse=True)
    found = heedful.attention_weights(query, key, lse=lse)
    np.testing.assert_allclose(found, reference.attention(query[None], key, key).weights[0])


def test_averaged_rows_of_interest(rng: np.random.Generator) -> None:
    call = CASE["everything"].draw()
    rows = [31, 2, 2]
    averaged = weights_of(call, rows=rows, average_heads=True)
    expected = weights_of(call).mean(axis=-3)[..., rows, :]
    np.testing.assert_allclose(averaged, expected, rtol=1e-13, atol=1e-16)


def test_averaging_needs_no_array_for_every_head(rng: np.random.Generator) -> None:
    query = rng.standard_normal((1, 16, 512, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        averaged = heedful.attention_weights(query, query, average_heads=True)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * averaged.nbytes  # one array a head would be 16 times as much


def test_dropout_is_in_the_weights_only_when_requested() -> None:
    call = CASE["dropout"].draw()
    dropped = weights_of(call)
    rest = heedful.attention_weights(call.query, call.key)
    np.testing.assert_allclose(rest.sum(axis=-1), 1, rtol=1e-13)
    kept = dropped != 0
    assert 0.6 < kept.mean() < 0.8
    np.testing.assert_allclose(dropped[kept], rest[kept] / 0.7, rtol=1e-13)


@pytest.mark.parametrize("name", ["vit", "decode_split", "everything"])
def test_weights_of_16_bit_inputs_are_float32(name: str, dtype: np.dtype[Any]) -> None:
    call = CASE[name].draw(dtype)
    weights = weights_of(call)
    assert weights.dtype == (np.float64 if dtype == np.float64 else np.float32)
    np.testing.assert_allclose(weights, call.run(reference.attention).weights, rtol=2e-5, atol=1e-7)


def test_weights_of_two_axes_and_of_one(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((3, 4)), rng.standard_normal((5, 4))
    weights = heedful.attention_weights(query, key)
    np.testing.assert_allclose(weights, reference.attention(query, key, key).weights, rtol=1e-13)
    np.testing.assert_allclose(heedful.attention_weights(query[1], key), weights[1], rtol=1e-13)


def test_rows_are_indices(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((2, 17, 4)), rng.standard_normal((2, 23, 4))
    whole = heedful.attention_weights(query, key)
    for rows in (3, -1, slice(2, 15, 4), slice(None, None, -1), [0, -17, 5], []):
        some = heedful.attention_weights(query, key, rows=rows)
        np.testing.assert_allclose(some, whole[:, rows], rtol=1e-13)


@pytest.mark.parametrize("rows", [-6, [5], [0, 1000]])
def test_rows_outside_are_refused(rows: list[int]) -> None:
    with pytest.raises(IndexError, match="rows"):
        heedful.attention_weights(np.ones((2, 5, 3)), np.ones((2, 7, 3)), rows=rows)
