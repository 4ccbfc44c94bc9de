"""normalizer of layers: sparse weights, an α that is learned for each head."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import heedful
from heedful import KVCache, SinksAndWindow
from heedful import layers as L
from heedful.pruning import prune_heads

MODELS: list[Callable[..., Any]] = [
    lambda **o: L.EncoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Encoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.DecoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Decoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.EncoderDecoder(8, 2, 1, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.Transformer(9, 9, 8, 2, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.LanguageModel(9, 8, 2, 1, 16, rng=0, **o),
]
SPARSE = ("entmax15", "sparsemax", 1.3, "entmax")


def attentions(model: L.Layer) -> list[L.MultiHeadAttention]:
    return [one for _, one in model.named_layers() if isinstance(one, L.MultiHeadAttention)]


@pytest.mark.parametrize("normalizer", SPARSE)
def test_weights_are_those_of_attention_with_it(rng: np.random.Generator, normalizer: Any) -> None:
    x = rng.standard_normal((3, 17, 8)) * 3
    layer = L.MultiHeadAttention(8, 2, normalizer=normalizer, dtype=np.float64, rng=0)
    y, weights = layer(x, return_weights=True)
    q, k, v = (
        (x @ w.T + b).reshape(3, 17, 2, 4).swapaxes(1, 2)
        for w, b in zip(
            np.split(layer.in_proj_weight, 3), np.split(layer.in_proj_bias, 3), strict=True
        )
    )
    options = {"normalizer": 1.5 if normalizer == "entmax" else normalizer}
    np.testing.assert_allclose(
        weights, heedful.attention_weights(q, k, **options), rtol=1e-9, atol=1e-12
    )
    heads = heedful.attention(q, k, v, **options).swapaxes(1, 2).reshape(3, 17, 8)
    expected = heads @ layer.out_proj.weight.T + layer.out_proj.bias
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
    assert (weights == 0).any()
    np.testing.assert_allclose(weights.sum(-1), 1)


@pytest.mark.parametrize("normalizer", SPARSE)
def test_every_gradient_matches_finite_differences(
    rng: np.random.Generator, normalizer: Any
) -> None:
    layer = L.MultiHeadAttention(6, 2, normalizer=normalizer, dtype=np.float64, rng=0)
    if normalizer == "entmax":
        layer.alpha_logits[...] = [-1.0, 1.5]
    x, memory = rng.standard_normal((2, 5, 6)), rng.standard_normal((2, 7, 6))
    y, backward = layer.forward(x, memory, memory)
    dy = rng.standard_normal(y.shape)
    backward(dy)
    for name, gradient in layer.grads.items():
        parameter = layer.parameters()[name]
        direction, step = rng.standard_normal(parameter.shape), 1e-6
        values = []
        for sign in (1, -1):
            parameter += sign * step * direction
            values.append((layer(x, memory, memory) * dy).sum())
            parameter -= sign * step * direction
        expected = (gradient * direction).sum()
        assert abs((values[0] - values[1]) / (2 * step) - expected) < 1e-5 * (abs(expected) + 1)
    assert ("alpha_logits" in layer.grads) == (normalizer == "entmax")


def test_alpha_stays_between_one_and_two() -> None:
    layer = L.MultiHeadAttention(8, 4, normalizer="entmax", rng=0)
    np.testing.assert_array_equal(layer.alphas, 1.5)
    layer.alpha_logits[...] = [-1e30, -3, 3, 1e30]
    assert layer.alphas is not None
    assert (layer.alphas > 1).all()
    assert (layer.alphas <= 2).all()
    y, backward = layer.forward(np.eye(8, dtype=np.float32)[None])
    backward(np.ones_like(y))
    assert np.isfinite(layer.grads["alpha_logits"]).all()
    assert L.MultiHeadAttention(8, 4).alphas is None
    np.testing.assert_array_equal(L.MultiHeadAttention(8, 4, normalizer=1.2).alphas, [1.2] * 4)


def test_training_changes_alpha_where_it_helps(rng: np.random.Generator) -> None:
    """The target is the value of the one key that a query matches: α rises."""
    layer = L.MultiHeadAttention(8, 1, normalizer="entmax", rng=0)
    x = rng.standard_normal((64, 9, 8)).astype(np.float32)
    model = L.Sequential(layer)
    model.compile(optimizer="adam", loss="mse")
    model.fit(x, x, epochs=3, verbose=0)
    assert (layer.alpha_logits != 0).all()


def test_steps_with_a_cache_are_those_of_the_whole(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 13, 8))
    for normalizer in SPARSE:
        layer = L.MultiHeadAttention(
            8, 2, normalizer=normalizer, causal=True, dtype=np.float64, rng=0
        )
        whole, cache = layer(x), KVCache()
        steps = [layer(x[:, i : i + 1], cache=cache) for i in range(13)]
        np.testing.assert_allclose(np.concatenate(steps, 1), whole, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("make", MODELS)
def test_models_forward_it(make: Callable[..., Any]) -> None:
    found = attentions(make(normalizer="entmax"))
    assert found
    assert all(layer.normalizer == "entmax" for layer in found)
    assert all("alpha_logits" in layer.parameters() for layer in found)
    assert all(layer.normalizer == "softmax" for layer in attentions(make()))


def test_it_is_shown_saved_and_kept_by_a_pickle() -> None:
    layer = L.MultiHeadAttention(8, 2, normalizer="entmax")
    layer.alpha_logits[...] = [1, 2]
    assert "normalizer='entmax'" in repr(layer)
    assert "normalizer" not in repr(L.MultiHeadAttention(8, 2))
    copy = pickle.loads(pickle.dumps(layer))
    np.testing.assert_array_equal(copy.alphas, layer.alphas)
    other = L.MultiHeadAttention(8, 2, normalizer="entmax")
    other.load_state_dict(layer.state_dict())
    np.testing.assert_array_equal(other.alphas, layer.alphas)


def test_a_layer_of_an_earlier_version_has_softmax(rng: np.random.Generator) -> None:
    layer = L.MultiHeadAttention(8, 2, rng=0)
    del layer.normalizer
    assert layer(rng.standard_normal((1, 3, 8))).shape == (1, 3, 8)


def test_pruned_heads_take_their_alpha_along(rng: np.random.Generator) -> None:
    layer = L.MultiHeadAttention(8, 4, normalizer="entmax", rng=0)
    layer.alpha_logits[...] = [1, 2, 3, 4]
    pruned: Any = prune_heads(layer, {"": [1, 2]})
    np.testing.assert_array_equal(pruned.alpha_logits, [1, 4])
    assert pruned(rng.standard_normal((1, 3, 8))).shape == (1, 3, 8)


def test_what_has_no_meaning_is_refused_in_one_sentence() -> None:
    for options, message in (
        ({"normalizer": "entmax14"}, "normalizer must be"),
        ({"normalizer": 1.0}, "normalizer must be"),
        ({"normalizer": 2.1}, "normalizer must be"),
        ({"normalizer": "entmax", "top_k": 3}, "top_k must be None where normalizer is not"),
        ({"normalizer": 1.5, "sink": True}, "sink must be False where normalizer is not"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            L.MultiHeadAttention(8, 2, **options)
    with pytest.raises(TypeError, match=r"\Anormalizer must be"):
        L.MultiHeadAttention(8, 2, normalizer=None)
    layer = L.MultiHeadAttention(8, 2, normalizer="sparsemax", causal=True)
    x = np.zeros((1, 3, 8))
    with pytest.raises(ValueError, match=r"\Anormalizer cannot be combined with SinksAndWindow"):
        layer(x, cache=KVCache(policy=SinksAndWindow(1, 8)))
    with pytest.raises(ValueError, match=r"\Anormalizer must be softmax with mixer='linear'"):
        L.EncoderLayer(8, 2, 16, mixer="linear", normalizer="entmax")
