"""Scores at the edge: huge, equal, dominated by one, subnormal, and finite minima used as masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, machine_epsilon
from conftest import as_dtype
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]
LENGTHS = [(1, 5), (5, 7), (33, 97), (3, 1283), (197, 389)]
lengths = pytest.mark.parametrize(("num_queries", "num_keys"), LENGTHS)


def assert_like_the_reference(*inputs: Array, **options: Any) -> None:
    narrow = inputs[0].dtype != np.float64
    computing, judge = (np.float32, np.float64) if narrow else (np.float64, np.longdouble)
    exact = reference.attention(*inputs, **options, dtype=judge)
    plain = reference.attention(*inputs, **options, dtype=computing)
    (out, lse), pullback = heedful.attention_vjp(*inputs, **options, return_lse=True)
    assert np.isfinite(out.astype(np.float64)).all()
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")
    gradients = pullback(np.ones_like(out))[:3]
    assert all(np.isfinite(gradient.astype(np.float64)).all() for gradient in gradients)


def draw(
    rng: np.random.Generator, num_queries: int, num_keys: int, dtype: Any, size: float = 1.0
) -> tuple[Array, Array, Array]:
    shapes = (1, 2, num_queries, 16), (1, 2, num_keys, 16), (1, 2, num_keys, 9)
    query, key, value = (rng.standard_normal(shape) for shape in shapes)
    return (size * query).astype(dtype), key.astype(dtype), value.astype(dtype)


@lengths
@pytest.mark.parametrize("size", [1e2, 1e4])
def test_scores_of_ten_thousands(
    num_queries: int, num_keys: int, size: float, dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, num_queries, num_keys, dtype, size)
    exact = reference.attention(query, key, value)
    (out, lse), pullback = heedful.attention_vjp(query, key, value, return_lse=True)
    # a score of 10⁴ is known to so many places only, and the weight is its exponential
    largest = np.abs(exact.scores).max()
    rounding = 2 * largest * machine_epsilon(lse.dtype)
    np.testing.assert_allclose(lse, exact.lse, atol=rounding)
    of_result = rounding * np.abs(value.astype(np.float64)).max() + machine_epsilon(out.dtype)
    np.testing.assert_allclose(
        out.astype(np.float64), exact.out, rtol=machine_epsilon(out.dtype), atol=of_result
    )
    assert all(np.isfinite(made.astype(np.float64)).all() for made in pullback(out)[:3])


@lengths
@pytest.mark.parametrize("score", [1e4, -1e4, 0.0])
def test_all_scores_equal(
    num_queries: int, num_keys: int, score: float, dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query = np.full((1, 2, num_queries, 1), score).astype(dtype)
    key = np.ones((1, 2, num_keys, 1), dtype)
    value = rng.standard_normal((1, 2, num_keys, 9)).astype(dtype)
    assert_like_the_reference(query, key, value)
    _, weights = heedful.attention(query, key, value, return_weights=True)
    np.testing.assert_allclose(weights, 1 / num_keys, rtol=1e-6)


@lengths
@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_one_dominant_score(
    num_queries: int, num_keys: int, place: str, dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, num_queries, num_keys, dtype)
    dominant = {"first": 0, "middle": num_keys // 2, "last": num_keys - 1}[place]
    query[..., 0] = 30
    key[..., dominant, 0] = 300
    out = heedful.attention(query, key, value)
    expected = np.broadcast_to(value[..., dominant : dominant + 1, :], out.shape)
    np.testing.assert_array_equal(out, expected)


@lengths
def test_scores_that_rise_and_fall_along_the_keys(
    num_queries: int, num_keys: int, wide_dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    """A new maximum in every tile, or never again after the first."""
    query, key, value = draw(rng, num_queries, num_keys, wide_dtype)
    query[..., 0] = 4
    for slope in (0.5, -0.5):
        key[..., 0] = slope * np.arange(num_keys)
        assert_like_the_reference(query, key, value)


@lengths
def test_subnormal_inputs(
    num_queries: int, num_keys: int, dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, num_queries, num_keys, dtype)
    tiny = {"float64": 1e-310, "float32": 1e-40, "float16": 3e-6, "bfloat16": 1e-40}[dtype.name]
    small_query, small_value = ((array * tiny).astype(dtype) for array in (query, value))
    assert small_value.any()
    assert_like_the_reference(small_query, key, value)
    out = heedful.attention(query, key, small_value)
    weights = reference.attention(query, key, value).weights
    expected = weights @ small_value.astype(np.float64)
    smallest = {"float64": 5e-324, "float32": 1.4e-45, "float16": 6e-8, "bfloat16": 9.2e-41}
    tolerance = 3 * smallest[dtype.name] * (num_keys if dtype.name in ("float64", "float32") else 1)
    np.testing.assert_allclose(out.astype(np.float64), expected, rtol=2e-2, atol=tolerance)


@lengths
@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_columns_of_minus_infinity(
    num_queries: int, num_keys: int, fraction: float, dtype: np.dtype[Any], rng: np.random.Generator
) -> None:
    query, key, value = draw(rng, num_queries, num_keys, dtype)
    bias = np.where(rng.random(num_keys) < fraction, -np.inf, 0.0).astype(dtype)
    out = heedful.attention(query, key, value, bias=bias)
    shown = heedful.attention(query, key, value, mask=bias == 0)
    np.testing.assert_array_equal(out, shown)
    assert np.isfinite(out.astype(np.float64)).all()


@lengths
@pytest.mark.parametrize("of_bias", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_finite_minima_as_masks(
    num_queries: int,
    num_keys: int,
    of_bias: str,
    fraction: float,
    wide_dtype: np.dtype[Any],
    rng: np.random.Generator,
) -> None:
    """As in other libraries' masks: hidden where others are seen, even where all are hidden."""
    if of_bias == "float64" and wide_dtype == np.float32:
        of_bias = "float32"  # a number beyond float32 is −inf there, which has its own test below
    bias_type = as_dtype(of_bias)
    lowest = -3.3895e38 if of_bias == "bfloat16" else float(np.finfo(of_bias).min)
    query, key, value = draw(rng, num_queries, num_keys, wide_dtype)
    mask = rng.random((num_queries, num_keys)) < 0.5
    mask[0] = False
    mask[-1] = True
    lowest = np.asarray(fraction * lowest, bias_type)
    bias = np.where(mask, np.zeros((), bias_type), lowest)
    narrow = wide_dtype == np.float32
    exact = reference.attention(
        query, key, value, bias=bias, dtype=np.float64 if narrow else np.longdouble
    )
    out, lse = heedful.attention(query, key, value, bias=bias, return_lse=True)
    assert np.isfinite(out).all()
    tolerance = 1e-5 if narrow else 1e-13
    some = mask.any(axis=-1)
    np.testing.assert_allclose(out[..., some, :], exact.out[..., some, :], atol=tolerance)
    np.testing.assert_allclose(lse[..., some], exact.lse[..., some], rtol=tolerance)
    if of_bias != "float16":  # the minimum swallows the score: all keys weigh the same
        mean = np.broadcast_to(value.mean(axis=-2, keepdims=True), out.shape)
        none = ~some
        np.testing.assert_allclose(out[..., none, :], mean[..., none, :], atol=tolerance)
        np.testing.assert_allclose(lse[..., none], float(lowest), rtol=1e-6)


def test_a_bias_below_the_computing_type_is_minus_infinity(rng: np.random.Generator) -> None:
    query, key, value = draw(rng, 5, 7, np.float32)
    bias = np.zeros((5, 7))
    bias[:, 3:] = -1e300
    out = heedful.attention(query, key, value, bias=bias)
    expected = heedful.attention(query, key[..., :3, :], value[..., :3, :])
    np.testing.assert_allclose(out, expected, rtol=1e-6, atol=1e-7)


def test_the_largest_values_do_not_overflow(wide_dtype: np.dtype[Any]) -> None:
    """The weighted mean of the largest numbers is no larger, whatever the sum of weights is."""
    largest = np.finfo(wide_dtype).max / 600
    for num_queries in (1, 5, 49):
        query = np.zeros((1, 1, num_queries, 4), wide_dtype)
        key = np.zeros((1, 1, 513, 4), wide_dtype)
        value = np.full((1, 1, 513, 3), largest, wide_dtype)
        np.testing.assert_allclose(heedful.attention(query, key, value), largest, rtol=1e-5)


def test_a_softcap_bounds_any_score(rng: np.random.Generator, wide_dtype: np.dtype[Any]) -> None:
    query, key, value = draw(rng, 33, 97, wide_dtype, size=1e6)
    scores = heedful.attention_scores(query, key, softcap=3.0)
    assert (np.abs(scores) <= 3.0 + 1e-6).all()
    assert_like_the_reference(query, key, value, softcap=3.0)


@pytest.mark.parametrize("sink", [1e4, -1e4, 1e30, -1e30, -np.inf])
def test_a_sink_of_any_size(
    sink: float, rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    query, key, value = draw(rng, 33, 97, wide_dtype)
    sinks = np.array([sink, 0.0], wide_dtype)
    exact = reference.attention(query, key, value, sink=sinks)
    out, lse = heedful.attention(query, key, value, sink=sinks, return_lse=True)
    np.testing.assert_allclose(out, exact.out, atol=1e-6)
    np.testing.assert_allclose(lse, exact.lse, rtol=1e-6)
