"""Adaptive spans in models: penalties, options that are forwarded, pruning, earlier versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from span_reference import X, span_attention

from heedful import layers as L
from heedful.pruning import prune_heads
from heedful.training import SGD

RNG = np.random.default_rng(21)


def model_of(penalty: float) -> L.Sequential:
    layer = L.MultiHeadAttention(
        8, 2, causal=True, adaptive_span=10, span_ramp=4, span_penalty=penalty, rng=0
    )
    layer.span[...] = 0.5
    model = L.Sequential(layer, L.Linear(8, 1, rng=1))
    model.compile(SGD(lr=0.01), loss="mse")
    return model


def test_the_penalty_is_added_to_the_loss_and_shortens_spans() -> None:
    x = RNG.standard_normal((8, 20, 8)).astype(np.float32)
    y = x[..., :1]
    free, short = model_of(0.0), model_of(0.02)
    difference = short.evaluate(x, y).loss - free.evaluate(x, y).loss
    np.testing.assert_allclose(difference, 0.02 * 2 * 5, rtol=1e-5)  # two heads, z = 5
    for model in (free, short):
        model.fit(x, y, epochs=150, verbose=False, rng=0)
    assert short[0].span.max() < 0.3
    assert free[0].span.min() > 0.35


MODELS: list[Callable[..., Any]] = [
    lambda **o: L.EncoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Encoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.DecoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Decoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.EncoderDecoder(8, 2, 1, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.Transformer(9, 9, 8, 2, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.LanguageModel(9, 8, 2, 1, 16, rng=0, **o),
]


@pytest.mark.parametrize("make", MODELS)
def test_models_forward_it_to_self_attention(make: Callable[..., Any]) -> None:
    model = make(adaptive_span=5, span_ramp=2.0, span_penalty=0.1)
    for name, layer in model.named_layers():
        if isinstance(layer, L.MultiHeadAttention):
            own = None if name.endswith("multihead_attn") else 5
            assert layer.adaptive_span == own
            if own:
                assert layer.span_ramp == 2.0
                assert layer.parameter("span").regularizer.l1 == pytest.approx(0.5)


def test_pruned_heads_lose_their_spans() -> None:
    layer = span_attention(causal=True)
    pruned = prune_heads(layer, {"": [0, 2]})
    np.testing.assert_array_equal(pruned.span, layer.span[[1, 3]])


def test_a_layer_of_an_earlier_version_has_none() -> None:
    layer = span_attention(adaptive_span=None)
    exact = layer(X)
    del layer.adaptive_span, layer.span_ramp
    np.testing.assert_array_equal(layer(X), exact)
    assert "adaptive_span" not in repr(layer)
    assert "adaptive_span=20" in repr(span_attention())
