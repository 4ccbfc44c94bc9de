"""Choices of additive attention: one key in training and inference, straight-through gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scored_layers import X, additive_attention

import heedful
from heedful import layers as L
from heedful.explain import watch
from heedful.layers.attention._choice import hard_additive_vjp

Array = NDArray[Any]

DRAW = np.random.default_rng(6)


def weights_in_training(layer: Any, seed: int = 1, **options: Any) -> Array:
    (_, weights), _ = layer.forward(X, rng=seed, return_weights=True, **options)
    return np.asarray(weights)


def test_a_hard_additive_choice_is_the_largest_of_the_soft_weights() -> None:
    options: dict[str, Any] = {"causal": True, "kv_lengths": [9, 4, 0]}
    soft = weights_in_training(additive_attention(gumbel_temperature=0.5), **options)
    hard = weights_in_training(additive_attention(gumbel_temperature=0.5, hard=True), **options)
    attends = soft.any(-1)
    np.testing.assert_array_equal(hard.max(-1), attends)
    np.testing.assert_array_equal((hard > 0).sum(-1), attends)
    np.testing.assert_array_equal(hard.argmax(-1), soft.argmax(-1))
    other = weights_in_training(additive_attention(gumbel_temperature=0.5, hard=True), 2, **options)
    assert (other != hard).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_inference_the_highest_score_is_chosen(dtype: Any) -> None:
    soft_layer = L.AdditiveAttention(8, 5, dtype=dtype, rng=0)
    layer = L.AdditiveAttention(8, 5, dtype=dtype, rng=0, gumbel_temperature=0.5, hard=True)
    mask = DRAW.random((3, 9, 9)) < 0.6
    mask[0, 2] = False
    _, soft = soft_layer(X, mask=mask, return_weights=True)
    with watch(layer) as seen, watch(layer, rows=[2, -1]) as some:
        y, weights = layer(X, mask=mask, return_weights=True)
    chosen = np.where(soft.any(-1), soft.argmax(-1), -1)
    np.testing.assert_array_equal(weights, chosen[..., None] == np.arange(9))
    gathered = np.take_along_axis(X.astype(dtype), np.maximum(chosen, 0)[..., None], 1)
    np.testing.assert_array_equal(y, np.where(chosen[..., None] >= 0, gathered, 0))
    np.testing.assert_array_equal(layer(X, mask=mask), y)
    np.testing.assert_array_equal(seen[""][:, 0], weights)
    np.testing.assert_array_equal(some[""][:, 0], weights[:, [2, 8]])


def test_the_gradient_of_a_choice_is_straight_through() -> None:
    """By its definition: value has the gradient of the choice, all else that of soft weights."""
    query, key = DRAW.standard_normal((2, 1, 7, 5)), DRAW.standard_normal((2, 1, 9, 5))
    value, dout = DRAW.standard_normal((2, 1, 9, 6)), DRAW.standard_normal((2, 1, 7, 6))
    weight, dweights = DRAW.standard_normal(5), DRAW.standard_normal((2, 1, 7, 9))
    options: dict[str, Any] = {"gumbel_temperature": 0.6, "rng": 3, "return_weights": True}
    (out, hard), pullback = hard_additive_vjp(query, key, value, weight, **options)
    (_, soft), of_soft = heedful.additive_attention_vjp(query, key, value, weight, **options)
    np.testing.assert_array_equal(hard, soft.argmax(-1)[..., None] == np.arange(9))
    np.testing.assert_allclose(out, hard @ value)
    found, exact = pullback(dout, dweights=dweights), of_soft(dout, dweights=dweights)
    for name in ("query", "key", "weight"):
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name))
    np.testing.assert_allclose(found.value, hard.swapaxes(-1, -2) @ dout)


@pytest.mark.parametrize("steered", [0.6, None])
def test_a_layer_that_chooses_has_straight_through_gradients(steered: float | None) -> None:
    """With noise, and without: after the temperature was set to None."""
    layer = additive_attention(gumbel_temperature=0.6, hard=True)
    twin = additive_attention(gumbel_temperature=0.6)
    layer.gumbel_temperature = twin.gumbel_temperature = steered
    key, value = DRAW.standard_normal((3, 6, 8)), DRAW.standard_normal((3, 6, 4))
    (y, weights), backward = layer.forward(X, key, value, return_weights=True, rng=1)
    dy, dweights = DRAW.standard_normal(y.shape), DRAW.standard_normal(weights.shape)
    dquery, dkey, dvalue = backward(dy, dweights)
    _, of_soft = twin.forward(X, key, value, return_weights=True, rng=1)
    wanted = of_soft(dy, dweights)
    np.testing.assert_array_equal(weights.max(-1), 1)
    np.testing.assert_allclose(y, weights @ value)
    np.testing.assert_allclose(dquery, wanted[0], atol=1e-12)
    np.testing.assert_allclose(dkey, wanted[1], atol=1e-12)
    np.testing.assert_allclose(dvalue, weights.swapaxes(-1, -2) @ dy, atol=1e-12)
    np.testing.assert_allclose(layer.grads["weight"], twin.grads["weight"], atol=1e-12)


def test_dropout_of_a_choice_is_that_of_its_soft_weight() -> None:
    options: dict[str, Any] = {"gumbel_temperature": 0.6, "dropout": 0.5}
    soft = weights_in_training(additive_attention(**options))
    chosen = weights_in_training(additive_attention(gumbel_temperature=0.6, hard=True))
    key, value = X, DRAW.standard_normal((3, 9, 4))
    layer = additive_attention(**options, hard=True)
    (y, weights), backward = layer.forward(X, key, value, return_weights=True, rng=1)
    np.testing.assert_array_equal(weights, 2 * chosen * (soft > 0))
    assert 0 < weights.any(-1).mean() < 1
    np.testing.assert_allclose(y, weights @ value)
    _, _, dvalue = backward(np.cos(y))
    np.testing.assert_allclose(dvalue, weights.swapaxes(-1, -2) @ np.cos(y), atol=1e-12)


@pytest.mark.parametrize("keys", [0, 5])
def test_a_choice_among_no_keys_is_0_and_values_may_be_shared(keys: int) -> None:
    layer = additive_attention(gumbel_temperature=0.5, hard=True)
    key = np.ones((3, keys, 8))
    y, backward = layer.forward(X, key, rng=1)
    assert y.any() == bool(keys)
    assert backward(np.ones_like(y))[1].shape == key.shape
    layer.gumbel_temperature = None
    y, backward = layer.forward(X, key)
    np.testing.assert_array_equal(y, layer(X, key))
    _, dkey = backward(np.ones_like(y))
    np.testing.assert_array_equal(dkey.sum(1), 9 * np.ones((3, 8)) if keys else np.zeros((3, 8)))
