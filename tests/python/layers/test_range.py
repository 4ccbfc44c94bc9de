"""Inputs and options near the ends of the range: what float64 gives, never NaN or inf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import (
    GlobalAveragePooling,
    LanguageModel,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    ReLU,
    RMSNorm,
)
from heedful.training import Adam, AdamW

LARGEST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("columns", [3, 17, 64])
@pytest.mark.parametrize("size", [1e15, 1e19, 1e25, 1e36])
@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
def test_norms_of_huge_elements(kind: Any, size: float, columns: int) -> None:
    x = np.random.default_rng(0).standard_normal((5, columns)) * size
    x[1] += 10 * size  # the sum passes the largest number, or nearly
    narrow, wide = kind(columns), kind(columns, dtype="float64")
    y, backward = narrow.forward(x)
    expected, exact_backward = wide.forward(x.astype(np.float32))
    np.testing.assert_allclose(y, expected, atol=2e-5)
    dy = np.random.default_rng(1).standard_normal(y.shape) * size  # so that dx is about 1
    np.testing.assert_allclose(backward(dy), exact_backward(dy), atol=2e-4)
    np.testing.assert_allclose(narrow.grads["weight"], wide.grads["weight"], rtol=1e-3)


def test_the_mean_of_the_largest_elements() -> None:
    for number in (LARGEST, -LARGEST, LARGEST / 3):
        x = np.full((2, 7, 5), number, np.float32)
        np.testing.assert_allclose(GlobalAveragePooling()(x), x[:, 0], rtol=1e-6)
        mask = np.arange(7) < np.array([[7], [3]])
        np.testing.assert_allclose(GlobalAveragePooling()(x, mask=mask), x[:, 0], rtol=1e-6)
    x[0, 1, 2], x[1, 0, 3] = np.inf, np.nan
    y = GlobalAveragePooling()(x * 3)
    assert np.isposinf(y[0, 2])
    assert np.isnan(y[1, 3])


@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm])
@pytest.mark.parametrize("eps", [1e-300, 1e-45])
def test_a_tiny_epsilon(kind: Any, eps: float) -> None:
    layer = kind(4, eps=eps)
    y, backward = layer.forward(np.zeros((3, 4)))
    np.testing.assert_array_equal(y, 0)
    assert np.isfinite(backward(np.ones((3, 4)))).all()


@pytest.mark.parametrize("eps", [1e-300, 1e-45, 1e-30])
@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_a_gradient_of_zero_with_a_tiny_epsilon(kind: Any, eps: float) -> None:
    layer = Linear(3, 2, rng=0)
    optimizer = kind(layer, lr=0.1, eps=eps, weight_decay=0.0)
    before = layer.weight.copy()
    for size in (0.0, 0.0, 1.0):
        y, backward = layer.forward(np.ones((1, 3)))
        backward(np.full(y.shape, size))
        optimizer.step()
        layer.zero_grad()
        if not size:
            np.testing.assert_array_equal(layer.weight, before)
    assert np.isfinite(layer.weight).all()


def test_float64_inputs_beyond_float32_stay_finite() -> None:
    x = np.array([[1e300, -1e300, 1.0, np.inf]])
    np.testing.assert_array_equal(ReLU(dtype=np.float32)(x), np.float32([[LARGEST, 0, 1, np.inf]]))
    layer = Linear(2, 2, rng=0)
    layer.weight = np.array([[1e300, -1e300], [1, 2]])
    np.testing.assert_array_equal(layer.weight, np.float32([[LARGEST, -LARGEST], [1, 2]]))


@pytest.mark.parametrize("lowest", [np.finfo(float).min, -LARGEST])
def test_additive_masks_hide_no_finite_score(lowest: float) -> None:
    layer = MultiHeadAttention(6, 2, rng=0)
    x = np.random.default_rng(0).standard_normal((2, 5, 6))
    mask = np.zeros((5, 5))
    mask[0] = lowest
    bias = np.full((5, 5), lowest)
    value = layer(x, mask=mask)
    assert np.isfinite(value).all()
    _, weights = layer(x, mask=mask, bias=bias, return_weights=True)
    np.testing.assert_allclose(weights[:, :, 0], 0.2, rtol=1e-5)


def test_temperatures_at_the_ends() -> None:
    model = LanguageModel(11, 6, 2, 1, rng=0)
    greedy = model.generate([[1, 2]], max_length=7)
    for temperature in (1e-300, 5e-324):
        cold = model.generate([[1, 2]], max_length=7, temperature=temperature, rng=0)
        np.testing.assert_array_equal(cold[0], greedy[0])
    hot = model.generate([[1, 2]] * 3, max_length=7, temperature=1.7e308, rng=0)
    assert all(0 <= token < 11 for row in hot for token in row)
