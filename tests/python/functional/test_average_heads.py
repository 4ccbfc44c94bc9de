"""attention and its pullback with average_heads: the mean weights over the heads."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from case import Case
from cases import CASE, CASES, ENTMAX_CASES
from closeness import assert_as_accurate_as_numpy, assert_same_bits

import heedful
import reference
from heedful import testing

WITH_OWN_BATCH = [case for case in CASES if not case.batches]
AVERAGED: dict[str, Any] = {"return_weights": True, "average_heads": True}


@pytest.mark.parametrize("case", WITH_OWN_BATCH, ids=str)
def test_out_and_mean_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw(np.float32)
    exact = call.run(reference.attention)
    plain = call.run(reference.attention, dtype=np.float32)
    out, weights = call.run(heedful.attention, **AVERAGED)
    assert weights.dtype == np.float32
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    mean = (found.weights.mean(axis=-3) for found in (plain, exact))
    assert_as_accurate_as_numpy(weights, *mean, "weights")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_gradients_of_mean_weights_agree_with_the_reference(case: Case) -> None:
    call = case.draw()
    (_, weights), pullback = call.run(heedful.attention_vjp, **AVERAGED)
    dmean = call.dweights.sum(axis=-3)
    assert weights.shape == dmean.shape
    found = pullback(call.dout, dweights=dmean)
    dweights = np.broadcast_to(dmean[..., None, :, :] / case.H, call.dweights.shape)
    for dtype, results in ((np.longdouble, exact := []), (np.float64, plain := [])):
        options = {**call.options, "dweights": dweights, "dtype": dtype}
        results.extend(reference.attention_backward(call.dout, *call.inputs, **options)[:3])
    for gradient, one, other in zip(found, plain, exact, strict=False):
        assert_as_accurate_as_numpy(gradient, one, other, "gradient")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_threads_do_not_change_a_bit(case: Case, wide_dtype: np.dtype[Any]) -> None:
    call = case.draw(wide_dtype)
    found = []
    for threads in (1, 2, 3, 8):
        with heedful.num_threads(threads):
            found.append(call.run(heedful.attention, return_lse=True, **AVERAGED))
    for other in found[1:]:
        for one, result in zip(found[0], other, strict=True):
            assert_same_bits(one, result)


@pytest.mark.parametrize("average_heads", [False, True])
@pytest.mark.parametrize("keys", [1, 95, 385, 2_000])
def test_rows_of_several_tiles_and_panels(
    keys: int, average_heads: bool, rng: np.random.Generator
) -> None:
    query = rng.standard_normal((2, 6, 131, 24)).astype(np.float32)
    key = rng.standard_normal((2, 3, keys, 24)).astype(np.float32)
    out, lse, weights = heedful.attention(
        query, key, key, return_lse=True, return_weights=True, average_heads=average_heads
    )
    exact = reference.attention(query, key, key)
    mean = exact.weights.mean(axis=-3) if average_heads else exact.weights
    np.testing.assert_allclose(out, exact.out, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(weights, mean, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("keys", [10_000, 60_000])
def test_rows_too_long_to_keep_their_weights(keys: int, rng: np.random.Generator) -> None:
    query = rng.standard_normal((2, 20, 4))
    key = rng.standard_normal((2, keys, 4))
    out, weights = heedful.attention(query, key, key, **AVERAGED)
    exact = reference.attention(query, key, key)
    np.testing.assert_allclose(out, exact.out, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(weights, exact.weights.mean(axis=-3), rtol=1e-10, atol=1e-18)


@pytest.mark.parametrize("layout", ["bhld", "blhd"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_both_layouts_and_types(layout: Any, dtype: Any, rng: np.random.Generator) -> None:
    """Heads that alternate in memory are copied, once for all panels of a task."""
    arrays = rng.standard_normal((3, 2, 300, 4, 32)).astype(dtype)
    query, key, value = (array.swapaxes(1, 2) for array in arrays)
    given = arrays if layout == "blhd" else (query, key, value)
    out, weights = heedful.attention(*given, layout=layout, causal=True, **AVERAGED)
    exact = reference.attention(query, key, value, causal=True)
    expected = exact.out.swapaxes(1, 2) if layout == "blhd" else exact.out
    tolerance = {np.float16: 2e-3, np.float32: 1e-5, np.float64: 1e-12}[dtype]
    np.testing.assert_allclose(out, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(
        weights, exact.weights.mean(axis=-3), rtol=min(tolerance, 1e-4), atol=1e-7
    )


@pytest.mark.parametrize("average_heads", [False, True])
def test_hidden_weights_are_zero_beside_nan_and_inf(
    average_heads: bool, rng: np.random.Generator
) -> None:
    query, key, value = rng.standard_normal((3, 2, 70, 8))
    query[0, 5], key[1, 3] = np.nan, np.inf
    value[:, 60:] = np.nan  # hidden from the first queries
    out, weights = heedful.attention(
        query, key, value, causal=True, return_weights=True, average_heads=average_heads
    )
    upper = np.triu(np.ones((70, 70), bool), 1)
    assert not weights[..., upper].any()
    attended = weights[..., 5, :6] if average_heads else weights[0, 5, :6]
    assert np.isnan(attended).all()
    assert np.isfinite(out[0, [*range(5), *range(6, 60)]]).all()
    assert np.isfinite(weights[..., :3, :]).all()
    # one call after the other, of which the second reads lse
    again = heedful.attention_weights(query, key, causal=True, average_heads=average_heads)
    np.testing.assert_allclose(weights, again, rtol=1e-12, equal_nan=True)
    # dropout hides NaN, too
    _, weights = heedful.attention(
        query, key, value, causal=True, dropout_p=0.5, rng=3, return_weights=True,
        average_heads=average_heads,
    )  # fmt: skip
    again = heedful.attention_weights(
        query, key, causal=True, dropout_p=0.5, rng=3, average_heads=average_heads
    )
    np.testing.assert_allclose(weights, again, rtol=1e-12, equal_nan=True)


def test_a_sum_that_overflows_is_computed_again(rng: np.random.Generator) -> None:
    query = rng.standard_normal((2, 100, 8)).astype(np.float32)
    value = np.full((2, 100, 3), np.finfo(np.float32).max)
    out, weights = heedful.attention(query, query, value, **AVERAGED)
    np.testing.assert_allclose(out, value, rtol=1e-6)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-5)


def test_one_head_and_one_query_keep_their_axes(rng: np.random.Generator) -> None:
    query, key = rng.standard_normal((5, 4)), rng.standard_normal((7, 4))
    out, weights = heedful.attention(query, key, key, **AVERAGED)
    np.testing.assert_allclose(weights @ key, out, rtol=1e-12)
    out, weights = heedful.attention(query[0], key, key, **AVERAGED)
    assert weights.shape == (7,)
    np.testing.assert_allclose(weights @ key, out, rtol=1e-12)
    (_, weights), pullback = heedful.attention_vjp(query[0], key, key, **AVERAGED)
    assert pullback(np.zeros(4), dweights=weights).query.shape == (4,)


def test_the_gradient_of_mean_weights_is_their_derivative(rng: np.random.Generator) -> None:
    def with_mean(query: Any, key: Any, value: Any) -> Any:
        found, pullback = heedful.attention_vjp(query, key, value, **AVERAGED)
        return found, lambda dout, dweights: pullback(dout, dweights=dweights)[:3]

    assert testing.gradcheck(with_mean, *rng.standard_normal((3, 3, 4, 5)))


def test_averaging_needs_no_array_for_every_head(rng: np.random.Generator) -> None:
    query = rng.standard_normal((1, 16, 512, 8)).astype(np.float32)
    tracemalloc.start()
    try:
        out, averaged = heedful.attention(query, query, query, **AVERAGED)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * averaged.nbytes + 2 * out.nbytes


@pytest.mark.parametrize("case", ENTMAX_CASES, ids=str)
def test_another_normalizer_takes_a_second_pass(case: Case) -> None:
    call = case.draw()
    (_, weights), pullback = call.run(heedful.attention_vjp, **AVERAGED)
    whole, of_each = call.run(heedful.attention_vjp, return_weights=True)
    np.testing.assert_allclose(weights, whole[1].mean(axis=-3), rtol=1e-12, atol=1e-15)
    dmean = call.dweights.sum(axis=-3)
    dweights = np.broadcast_to(dmean[..., None, :, :] / case.H, call.dweights.shape)
    found = pullback(call.dout, dweights=dmean)
    expected = of_each(call.dout, dweights=dweights)
    for one, other in zip(found, expected, strict=True):
        if other is not None:
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_averaging_changes_nothing_else() -> None:
    call = CASE["everything"].draw()
    whole = call.run(heedful.attention, return_lse=True, return_weights=True)
    mean = call.run(heedful.attention, return_lse=True, **AVERAGED)
    for one, other in zip(whole[:2], mean[:2], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-15)
    alone = call.run(heedful.attention, average_heads=True)
    assert isinstance(alone, np.ndarray)
    np.testing.assert_allclose(alone, whole[0], rtol=1e-12, atol=1e-15)
