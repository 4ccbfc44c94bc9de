"""Sums over very many queries or keys: at most twice the error of plain NumPy, as everywhere.

Random values, positive ones and equal ones: errors of equal terms all have one sign, and a
sequential sum is far off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import additive_reference
import numpy as np
import pytest
from closeness import assert_as_accurate_as_numpy, assert_same_bits
from numpy.typing import NDArray

import heedful
import reference

pytestmark = pytest.mark.slow

Array = NDArray[Any]
MANY = 400_009
FEW = 5
NAMES = ("query", "key", "value", "bias")

KINDS: dict[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "normal": lambda rng, shape: rng.standard_normal(shape, dtype=np.float32),
    "positive": lambda rng, shape: rng.random(shape, dtype=np.float32),
    "equal": lambda rng, shape: np.full(shape, 0.1, np.float32),
}
of_every_kind = pytest.mark.parametrize("kind", KINDS)


def draw(rng: np.random.Generator, kind: str, queries: int, keys: int) -> list[Array]:
    """query, key, value and dout. Equal ones are the values and dout; scores differ."""
    shapes = (1, 1, queries, 3), (1, 1, keys, 3), (1, 1, keys, 2), (1, 1, queries, 2)
    kinds = ("normal", "normal", kind, kind) if kind == "equal" else (kind,) * 4
    return [KINDS[one](rng, shape) for one, shape in zip(kinds, shapes, strict=True)]


def results_agree(
    found: Any, plain: Any, exact: Any, names: tuple[str, ...], of_query: float = 2.0
) -> None:
    """As accurate as NumPy; `of_query` is the ratio of errors that query's gradient may have."""
    for name in names:
        if getattr(exact, name) is not None:
            results = (getattr(gradients, name) for gradients in (found, plain, exact))
            ratio = of_query if name == "query" else 2.0
            assert_as_accurate_as_numpy(*results, f"gradient of {name}", ratio)


@of_every_kind
@pytest.mark.parametrize("bias", [None, (MANY, FEW), (1, FEW)], ids=["none", "whole", "of keys"])
def test_gradients_over_many_queries(
    kind: str, bias: tuple[int, int] | None, rng: np.random.Generator
) -> None:
    query, key, value, dout = draw(rng, kind, MANY, FEW)
    options = {} if bias is None else {"bias": rng.standard_normal(bias, dtype=np.float32)}
    exact, plain = (
        reference.attention_backward(dout, query, key, value, **options, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    _, pullback = heedful.attention_vjp(query, key, value, **options)
    found = pullback(dout)
    # equal values give query, key and bias gradients of 0, and all that is found is rounding
    results_agree(found, plain, exact, ("value",) if kind == "equal" else NAMES)
    with heedful.num_threads(1):
        for one, other in zip(pullback(dout)[:4], found[:4], strict=True):
            if other is not None:
                assert_same_bits(one, other)


@pytest.mark.parametrize("heads", [1, 6])
def test_equal_numbers_over_many_queries_are_summed_to_a_few_units(heads: int) -> None:
    """Keys all alike: every weight is 1 / 4, and dvalue the number of queries · 0.1 / 4."""
    query, key = np.zeros((heads, MANY // heads, 3), np.float32), np.zeros((1, 4, 3), np.float32)
    value, bias = np.zeros((1, 4, 1), np.float32), np.zeros((1, 4), np.float32)
    dout = np.full((heads, MANY // heads, 1), 0.1, np.float32)
    for options in ({}, {"bias": bias}):
        found = heedful.attention_vjp(query, key, value, **options)[1](dout).value
        exact = MANY // heads * heads * float(np.float32(0.1)) / 4
        np.testing.assert_allclose(found, exact, rtol=2e-6)


@of_every_kind
@pytest.mark.parametrize("queries", [1, 3, 49])
def test_results_and_gradients_over_many_keys(
    kind: str, queries: int, rng: np.random.Generator
) -> None:
    query, key, value, dout = draw(rng, kind, queries, MANY if queries < 49 else MANY // 10)
    exact, plain = (
        reference.attention(query, key, value, dtype=dtype) for dtype in (np.float64, np.float32)
    )
    exact_gradients, plain_gradients = (
        reference.attention_backward(dout, query, key, value, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    (out, lse), pullback = heedful.attention_vjp(query, key, value, return_lse=True)
    assert_as_accurate_as_numpy(out, plain.out, exact.out, "out")
    assert_as_accurate_as_numpy(lse, plain.lse, exact.lse, "lse")
    names = ("value",) if kind == "equal" else NAMES
    # the gradients of a row's scores sum to 0: with positive keys their terms cancel
    of_query = 4.0 if kind == "positive" else 2.0
    results_agree(pullback(dout), plain_gradients, exact_gradients, names, of_query)


def test_the_gradient_of_weights_that_are_all_alike_is_0_for_the_scores() -> None:
    """dscore = weight · (dweights − Σ weight ∘ dweights), summed over the keys by a row's bias."""
    query, key = np.zeros((1, 3), np.float32), np.zeros((MANY, 3), np.float32)
    value, bias = np.zeros((MANY, 1), np.float32), np.zeros((1, 1), np.float32)
    _, pullback = heedful.attention_vjp(query, key, value, bias=bias, return_weights=True)
    dweights = np.full((1, MANY), 0.1, np.float32)
    found = pullback(np.zeros((1, 1), np.float32), dweights=dweights)
    assert abs(found.bias) <= 2e-7


@pytest.mark.parametrize("kind", ["normal", "positive"])
def test_additive_gradients_over_many_queries(kind: str, rng: np.random.Generator) -> None:
    query, key, value, dout = draw(rng, kind, MANY // 4, FEW)
    weight = rng.standard_normal(3, dtype=np.float32)
    exact, plain = (
        additive_reference.attention_backward(dout, query, key, value, weight, dtype=dtype)
        for dtype in (np.float64, np.float32)
    )
    found = heedful.additive_attention_vjp(query, key, value, weight)[1](dout)
    results_agree(found, plain, exact, ("query", "key", "value", "weight"))
