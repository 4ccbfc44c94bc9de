"""Few queries against rows of int8: the query and the weights are rounded to 16 bits.

With the error r = 0.5 / 32767 of the largest element, a score is off by at most
r · scale · max |query| · Σ |key|, an output by what scores change the weights, and by
r · max weight for each key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference
from heedful._core import native

Array = NDArray[Any]
ROUNDING = 0.5 / 32767
FLOAT32 = 2e-6  # what is computed in float32 besides


def made(key: Array, value: Array, kind: str) -> tuple[heedful.KVCache, Array, Array]:
    """A cache, and the rows that its elements and scales stand for."""
    cache = heedful.KVCache(dtype="int8", kind=kind, exact_rows=0, page_size=24)
    cache.append(key, value)
    rows = []
    for given in (key, value):
        scale = (np.abs(given).max(-1, keepdims=True) / 127).astype(np.float32)
        elements = np.rint(given / np.where(scale > 0, scale, 1))
        rows.append(elements.astype(np.float64) * scale)
    return cache, rows[0], rows[1]


def assert_within_bounds(
    query: Array, key: Array, value: Array, found: tuple[Array, Array], options: dict[str, Any]
) -> None:
    exact = reference.attention(query, key, value, **options)
    scale = 1 / np.sqrt(query.shape[-1])
    score = ROUNDING * scale * np.abs(query).max() * np.abs(key).sum(-1).max() + FLOAT32
    np.testing.assert_allclose(found[1], exact.lse, atol=score, rtol=FLOAT32)
    each = ROUNDING * np.abs(exact.weights).max() * key.shape[2]
    bound = (2 * score + each + FLOAT32) * np.abs(value).max()
    np.testing.assert_allclose(found[0], exact.out, atol=bound)


@pytest.mark.parametrize("kind", ["contiguous", "paged"])
@pytest.mark.parametrize("depths", [(64, 64), (128, 32), (160, 96), (64, 40), (40, 64)])
@pytest.mark.parametrize("heads", [(1, 1), (6, 2), (8, 1)])
@pytest.mark.parametrize("rows", [1, 17, 1001])
def test_outputs_are_within_the_bounds_of_rounding(
    kind: str, depths: tuple[int, int], heads: tuple[int, int], rows: int, rng: np.random.Generator
) -> None:
    depth, value_depth = depths
    key = rng.standard_normal((2, heads[1], rows, depth)).astype(np.float32)
    value = rng.standard_normal((2, heads[1], rows, value_depth)).astype(np.float32)
    query = rng.standard_normal((2, heads[0], 1, depth)).astype(np.float32)
    cache, wide_key, wide_value = made(key, value, kind)
    for options in (
        {}, {"mask": rng.random((2, 1, 1, rows)) < 0.7}, {"window": (40, None)},
        {"sink": np.linspace(-1, 1, heads[0])},
    ):  # fmt: skip
        found = cache.attend(query, return_lse=True, **options)  # type: ignore[arg-type]
        options = {**options, "align": "lower_right"}
        assert_within_bounds(query, wide_key, wide_value, found, options)


@pytest.mark.parametrize("factor", [1e-30, 1e-3, 1e15])
def test_queries_of_any_size(factor: float, rng: np.random.Generator) -> None:
    key, value = rng.standard_normal((2, 1, 2, 70, 64), np.float32)
    query = (rng.standard_normal((1, 2, 1, 64)) * factor).astype(np.float32)
    query[:, 1] = 0
    cache, wide_key, wide_value = made(key, value, "contiguous")
    out = cache.attend(query)
    exact = reference.attention(query, wide_key, wide_value)
    np.testing.assert_allclose(out, exact.out, atol=1e-3)
    np.testing.assert_allclose(out[:, 1], wide_value[:, 1].mean(axis=1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("element", [np.nan, np.inf, -np.inf, 1e-42])
def test_queries_that_have_no_rounding_are_multiplied_as_they_are(
    element: float, rng: np.random.Generator
) -> None:
    key, value = rng.standard_normal((2, 1, 2, 70, 64), np.float32)
    query = np.zeros((1, 2, 1, 64), np.float32)
    query[0, 0, 0, 5] = element
    cache, wide_key, wide_value = made(key, value, "contiguous")
    out = cache.attend(query)
    with np.errstate(invalid="ignore"):
        exact = reference.attention(query, wide_key, wide_value)
    np.testing.assert_allclose(out, exact.out, atol=1e-4)


def test_a_hidden_row_of_nan_does_not_matter(rng: np.random.Generator) -> None:
    key, value = rng.standard_normal((2, 1, 2, 70, 64), np.float32)
    query = rng.standard_normal((1, 2, 1, 64)).astype(np.float32)
    mask = np.arange(70) != 33
    _, wide_key, wide_value = made(key, value, "contiguous")
    expected = reference.attention(query, wide_key, wide_value, mask=mask)
    key[:, :, 33] = value[:, :, 33] = np.nan
    spoilt = heedful.KVCache(dtype="int8", exact_rows=0)
    spoilt.append(key, value)
    np.testing.assert_allclose(spoilt.attend(query, mask=mask), expected.out, atol=1e-4)
    assert np.isnan(spoilt.attend(query)).all()


@pytest.fixture
def each_way() -> Iterator[list[str]]:
    """The ways of multiplying int8 that this processor has; afterwards the fastest again."""
    yield [way for way in ("widened", "vnni") if not native.force_int8(way)]
    native.force_int8("")


def test_all_ways_of_multiplying_have_the_same_bits(
    each_way: list[str], rng: np.random.Generator
) -> None:
    key, value = rng.standard_normal((2, 1, 2, 300, 64), np.float32)
    query = rng.standard_normal((1, 8, 1, 64)).astype(np.float32)
    cache, *_ = made(key, value, "contiguous")
    found = []
    for way in each_way:
        assert not native.force_int8(way)
        found.append(cache.attend(query))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
