"""top_k of layers: each query attends to the keys of its highest scores."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import KVCache
from heedful import layers as L

MODELS: list[Callable[..., Any]] = [
    lambda **o: L.EncoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Encoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.DecoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Decoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.EncoderDecoder(8, 2, 1, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.Transformer(9, 9, 8, 2, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.LanguageModel(9, 8, 2, 1, 16, rng=0, **o),
]


def attentions(model: L.Layer) -> list[L.MultiHeadAttention]:
    return [one for _, one in model.named_layers() if isinstance(one, L.MultiHeadAttention)]


def test_each_query_has_that_many_weights(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 17, 8))
    layer = L.MultiHeadAttention(8, 2, top_k=5, causal=True, rng=0)
    _, weights = layer(x, return_weights=True)
    np.testing.assert_array_equal(
        (weights > 0).sum(-1), np.broadcast_to(np.minimum(np.arange(17) + 1, 5), (3, 2, 17))
    )
    dense = L.MultiHeadAttention(8, 2, causal=True, rng=0)
    _, all_weights = dense(x, return_weights=True)
    lowest = np.where(weights > 0, all_weights, 1).min(-1)
    others = np.where(weights > 0, 0, all_weights).max(-1)
    assert (lowest > others).all()


def test_short_sequences_are_attended_to_as_a_whole(rng: np.random.Generator) -> None:
    x = rng.standard_normal((3, 4, 8))
    found = L.MultiHeadAttention(8, 2, top_k=4, rng=0)(x)
    np.testing.assert_array_equal(found, L.MultiHeadAttention(8, 2, rng=0)(x))
    np.testing.assert_array_equal(found, L.MultiHeadAttention(8, 2, top_k=900, rng=0)(x))
    assert (L.MultiHeadAttention(8, 2, top_k=2, rng=0)(x[:, :0]).shape) == (3, 0, 8)


def test_steps_with_a_cache_are_those_of_the_whole(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 13, 8))
    layer = L.MultiHeadAttention(8, 2, top_k=4, causal=True, dtype=np.float64, rng=0)
    whole, cache = layer(x), KVCache()
    steps = [layer(x[:, i : i + 1], cache=cache) for i in range(13)]
    np.testing.assert_allclose(np.concatenate(steps, 1), whole, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("make", MODELS)
def test_models_forward_it(make: Callable[..., Any]) -> None:
    found = attentions(make(top_k=3))
    assert found
    assert all(layer.top_k == 3 for layer in found)
    assert all(layer.top_k is None for layer in attentions(make()))


def test_it_is_shown_and_kept_by_a_pickle() -> None:
    layer = L.MultiHeadAttention(8, 2, top_k=3)
    assert "top_k=3" in repr(layer)
    assert pickle.loads(pickle.dumps(layer)).top_k == 3
    assert "top_k" not in repr(L.MultiHeadAttention(8, 2))


def test_a_layer_of_an_earlier_version_has_none(rng: np.random.Generator) -> None:
    layer = L.MultiHeadAttention(8, 2, rng=0)
    del layer.top_k
    assert layer(rng.standard_normal((1, 3, 8))).shape == (1, 3, 8)
