"""Accuracy where errors could accumulate: long sums, deep heads, one-sided data, many tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy
from conftest import as_dtype
from numpy.typing import NDArray

import heedful
import reference

Array = NDArray[Any]


def assert_accurate(inputs: list[Array], of_query: float = 2.0, **options: Any) -> None:
    """out, lse and gradients, by the rule of closeness.py; `of_query`: ratio of that of query."""
    dtype = inputs[0].dtype
    computing, judge = (
        (np.float64, np.longdouble) if dtype == np.float64 else (np.float32, np.float64)
    )
    exact = reference.attention(*inputs, **options, dtype=judge)
    plain = reference.attention(*inputs, **options, dtype=computing)
    (out, lse), pullback = heedful.attention_vjp(*inputs, **options, return_lse=True)
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")
    dout = np.random.default_rng(0).standard_normal(out.shape).astype(dtype)
    exact_gradients = reference.attention_backward(dout, *inputs, **options, dtype=judge)
    plain_gradients = reference.attention_backward(dout, *inputs, **options, dtype=computing)
    for name, gradient, of_numpy, truth in zip(
        ("query", "key", "value"),
        pullback(dout)[:3],
        plain_gradients[:3],
        exact_gradients[:3],
        strict=True,
    ):
        ratio = of_query if name == "query" else 2.0
        assert_as_accurate_as_numpy(gradient, of_numpy, truth, f"gradient of {name}", ratio)


@pytest.mark.parametrize("type_name", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("num_queries", [1, 49])
def test_thousands_of_keys(num_queries: int, type_name: str, rng: np.random.Generator) -> None:
    dtype = as_dtype(type_name)
    shapes = (1, 1, num_queries, 32), (1, 1, 8191, 32), (1, 1, 8191, 17)
    assert_accurate([rng.standard_normal(shape).astype(dtype) for shape in shapes])


@pytest.mark.parametrize("type_name", ["float32", "float64", "bfloat16"])
def test_positive_numbers_whose_errors_do_not_cancel(
    type_name: str, rng: np.random.Generator
) -> None:
    shapes = (1, 2, 97, 40), (1, 2, 769, 40), (1, 2, 769, 9)
    inputs = [rng.random(shape).astype(as_dtype(type_name)) for shape in shapes]
    # the gradients of a row's scores sum to 0: with positive keys their terms cancel
    assert_accurate(inputs, of_query=4.0)


@pytest.mark.parametrize("type_name", ["float32", "float64", "float16"])
@pytest.mark.parametrize("depth", [256, 1000])
def test_deep_heads(depth: int, type_name: str, rng: np.random.Generator) -> None:
    shapes = (1, 1, 33, depth), (1, 1, 97, depth), (1, 1, 97, depth)
    assert_accurate([rng.standard_normal(shape).astype(as_dtype(type_name)) for shape in shapes])


@pytest.mark.parametrize("offset", [10.0, -10.0])
def test_scores_far_from_zero(offset: float, rng: np.random.Generator) -> None:
    """The same large offset in every score: the maximum must be subtracted before, not after."""
    query, key, value = (rng.standard_normal((1, 2, 97, 16)).astype(np.float32) for _ in range(3))
    query[..., 0] = 4
    key[..., 0] = offset
    assert_accurate([query, key, value], scale=1.0)


@pytest.mark.parametrize("type_name", ["float32", "float64"])
def test_exponentials_over_their_whole_range(type_name: str) -> None:
    """One query whose scores run from the largest to below the smallest: weights are e^score."""
    dtype = np.dtype(type_name)
    scores = np.linspace(-100, 0, 4001) if dtype == np.float32 else np.linspace(-740, 0, 4001)
    key = scores.astype(dtype).reshape(1, 1, -1, 1)
    weights = heedful.attention_weights(np.ones((1, 1, 1, 1), dtype), key, scale=1.0)
    exact = reference.attention(
        np.ones((1, 1, 1, 1)), key, key, scale=1.0, dtype=np.longdouble
    ).weights
    normal = exact > 4 * np.finfo(dtype).tiny
    # a score s carries an error of s · eps/2 before the exponential, 2 ulp come from within
    allowed = (np.abs(key[0, 0, :, 0]) + 8).astype(np.longdouble) * np.finfo(dtype).eps
    error = np.abs(weights - exact)[normal] / exact[normal]
    assert (error <= allowed[normal[0, 0, 0]]).all()
    assert (weights[~normal] <= 8 * np.finfo(dtype).tiny).all()
    assert (weights >= 0).all()
