"""Compiled dropout of elements: which are kept is known beforehand, at every processor level."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from closeness import assert_same_bits
from numpy.typing import NDArray
from philox import kept_elements

import heedful
from heedful._core import native

SEEDS = [0, 1, 2**32 - 1, 2**32, 2**63 + 12345, 2**64 - 1]
COUNTS = [0, 1, 3, 15, 17, 63, 64, 65, 97, 1025, 16385, 100003]
Array = NDArray[Any]


def dropped(x: Array, p: float, seed: int, residual: Array | None = None) -> Array:
    y = np.full_like(x, np.nan)
    native.dropout(x, residual, y, p, seed)
    return y


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("count", COUNTS)
def test_elements_are_kept_where_the_counters_say(
    count: int, seed: int, rng: np.random.Generator, wide_dtype: np.dtype[Any]
) -> None:
    x, residual = rng.standard_normal((2, count)).astype(wide_dtype)
    y, added = dropped(x, 0.3, seed), dropped(x, 0.3, seed, residual)
    kept = kept_elements(count, 0.3, seed)
    np.testing.assert_array_equal(y != 0, kept)
    rtol = 4 * np.finfo(wide_dtype).eps
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=rtol)
    np.testing.assert_allclose(added, y + residual, rtol=rtol, atol=rtol)
    for threads in (1, 2, 3):
        with heedful.num_threads(threads):
            assert_same_bits(dropped(x, 0.3, seed), y, f"{threads} threads")


@pytest.mark.parametrize("probability", [0.0, 1e-9, 0.001, 0.5, 0.999, 1 - 1e-9, 1.0])
def test_every_probability(probability: float, wide_dtype: np.dtype[Any]) -> None:
    kept = kept_elements(10007, probability, 5)
    expected = np.where(kept, 1 / (1 - probability) if probability < 1 else 0, 0)
    y = dropped(np.ones(10007, wide_dtype), probability, 5)
    np.testing.assert_allclose(y, expected, rtol=4 * np.finfo(wide_dtype).eps)


@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_what_is_dropped_changes_nothing(probability: float, wide_dtype: np.dtype[Any]) -> None:
    kept = kept_elements(1025, probability, 9)
    clean = np.ones(1025, wide_dtype)
    for bad in (np.nan, np.inf, -np.inf):
        planted = np.where(kept, clean, wide_dtype.type(bad))
        assert_same_bits(dropped(planted, probability, 9), dropped(clean, probability, 9))
    if probability < 1:
        assert np.isnan(dropped(np.full_like(clean, np.nan), probability, 9)[kept]).all()


def test_outputs_may_be_inputs(rng: np.random.Generator, wide_dtype: np.dtype[Any]) -> None:
    for count in COUNTS:
        x, residual = rng.standard_normal((2, count)).astype(wide_dtype)
        expected = dropped(x, 0.4, 3, residual)
        in_x, in_residual = x.copy(), residual.copy()
        native.dropout(in_x, residual, in_x, 0.4, 3)
        native.dropout(x, in_residual, in_residual, 0.4, 3)
        assert_same_bits(in_x, expected, "y is x")
        assert_same_bits(in_residual, expected, "y is residual")


def test_arrays_are_of_one_type() -> None:
    with pytest.raises(TypeError, match="float32 or all float64"):
        native.dropout(np.ones(3), None, np.ones(3, np.float32), 0.5, 1)
    with pytest.raises(TypeError, match="float32 or all float64"):
        native.dropout(np.ones(3), np.ones(3, np.float32), np.ones(3), 0.5, 1)
