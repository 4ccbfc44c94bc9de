"""Noise and choices of relative attention."""

from __future__ import annotations

import numpy as np
from scored_layers import MEMORY, X, relative_attention

from heedful import layers as L
from heedful.explain import watch


def test_relative_attention_has_noise_in_training_and_none_in_inference() -> None:
    plain = relative_attention()
    for options in ({"gumbel_temperature": 0.3}, {"key_dropout": 0.4}, {"head_dropout": 0.4}):
        noisy = relative_attention(**options)
        np.testing.assert_array_equal(noisy(X, MEMORY), plain(X, MEMORY))
        first, again, second = (noisy.forward(X, MEMORY, rng=seed)[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - second).max() > 0.01
        assert np.abs(first - plain(X, MEMORY)).max() > 0.01


def test_its_noise_is_that_of_attention_with_its_scores() -> None:
    """Where distances do not matter, and queries have no other bias, as MultiHeadAttention."""
    options = {"gumbel_temperature": 0.7, "key_dropout": 0.2, "head_dropout": 0.3}
    layer = relative_attention(**options)
    layer.content_bias[...] = 0
    layer.distance.weight[...] = 0
    other = L.MultiHeadAttention(8, 2, bias=False, causal=True, dtype=np.float64, **options)
    other.in_proj_weight[...] = np.concatenate([layer.query.weight, layer.key_value.weight])
    other.out_proj.weight[...] = layer.out_proj.weight
    for seed in range(3):
        y, backward = layer.forward(X, rng=seed)
        expected, back = other.forward(X, rng=seed)
        np.testing.assert_allclose(y, expected, atol=1e-12)
        np.testing.assert_allclose(backward(y), back(y), atol=1e-12)


def test_a_relative_choice_is_one_key_in_training_and_inference() -> None:
    layer = relative_attention(gumbel_temperature=0.5, hard=True)
    with watch(layer) as seen:
        y = layer(X, MEMORY)
    weights = seen[""]
    np.testing.assert_allclose(weights.max(-1), 1)
    np.testing.assert_array_equal((weights > 0).sum(-1), 1)
    values = layer.key_value(np.concatenate([MEMORY, X], 1))[..., 8:].reshape(3, 13, 2, 4)
    heads = (weights @ values.swapaxes(1, 2)).swapaxes(1, 2).reshape(3, 9, 8)
    np.testing.assert_allclose(y, layer.out_proj(heads), atol=1e-12)
    _, backward = layer.forward(X, MEMORY, rng=1)
    assert all(gradient.any() for gradient in backward(np.ones_like(y)))
