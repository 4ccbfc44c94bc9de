"""Adaptive spans with caches: step by step as at once."""

from __future__ import annotations

import numpy as np
from span_reference import LENGTH, X, span_attention

import heedful
from heedful import layers as L


def test_a_cache_gives_the_same() -> None:
    layer = span_attention(causal=True, num_kv_heads=2, rotary=False)
    cache = heedful.KVCache()
    steps = [layer(X[:, :10], cache=cache)]
    steps += [layer(X[:, i : i + 1], cache=cache) for i in range(10, LENGTH)]
    np.testing.assert_allclose(np.concatenate(steps, 1), layer(X), rtol=1e-10, atol=1e-12)


def test_a_cache_of_items_of_different_lengths_gives_the_same() -> None:
    layer, cache = span_attention(causal=True), heedful.KVCache()
    layer(X[:, :9], cache=cache, kv_lengths=[9, 4])
    x = np.stack([X[0, 9:12], X[1, 4:7]])
    found = layer(x, cache=cache)
    for item, count in enumerate((12, 7)):
        exact = layer(X[item : item + 1, :count])
        np.testing.assert_allclose(found[item], exact[0, -3:], rtol=1e-10, atol=1e-12)


def test_a_model_generates_what_it_computes_at_once() -> None:
    model = L.LanguageModel(11, 16, 2, 2, adaptive_span=4, span_ramp=2, rng=0)
    (written,) = model.generate([[1, 2, 3]], max_length=8)
    tokens = [1, 2, 3]
    for _ in range(8):
        tokens.append(int(model([tokens])[0, -1].argmax()))
    assert written.tolist() == tokens
