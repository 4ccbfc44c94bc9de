"""AdditiveAttention, the layer, against its formula; gradients are in the table of all layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.layers import AdditiveAttention


def softmax(scores: Any) -> Any:
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def test_the_layer_is_its_formula(rng: np.random.Generator) -> None:
    layer = AdditiveAttention(6, 16, kdim=8, bias=True, dtype=np.float64, rng=0)
    names = ["weight", "query_proj.weight", "query_proj.bias", "key_proj.weight"]
    v, w, b, u = (layer.parameters()[name] for name in names)
    assert list(layer.parameters()) == names
    states, annotations = rng.standard_normal((3, 5, 6)), rng.standard_normal((3, 7, 8))
    mask = rng.random((3, 5, 7)) < 0.6
    mask[..., 2] = True
    hidden = np.tanh((states @ w.T + b)[:, :, None] + (annotations @ u.T)[:, None])
    share = softmax(np.where(mask, hidden @ v, -np.inf))
    y, weights = layer(states, annotations, mask=mask, return_weights=True)
    np.testing.assert_allclose(weights, share, rtol=1e-10)
    np.testing.assert_allclose(y, share @ annotations, rtol=1e-10)
    added = np.where(mask, 0.0, -np.inf)
    np.testing.assert_allclose(layer(states, annotations, mask=added), y, rtol=1e-12)
    assert repr(layer).startswith("AdditiveAttention(6, 16, kdim=8")


def test_gradients_of_weights_are_taken(rng: np.random.Generator) -> None:
    layer = AdditiveAttention(6, dtype=np.float64, rng=0)
    x = rng.standard_normal((2, 5, 6))
    dweights = rng.standard_normal((2, 5, 5))
    (y, weights), backward = layer.forward(x, return_weights=True)
    dx = backward(np.zeros_like(y), dweights)
    _, backward = layer.forward(x, return_weights=True)
    with pytest.raises(ValueError, match="dweights must have shape"):
        backward(np.zeros_like(y), dweights[:, :4])
    step = 1e-6 * rng.standard_normal(x.shape)
    above, below = (layer(x + sign * step, return_weights=True)[1] for sign in (1, -1))
    np.testing.assert_allclose((dx * step).sum(), ((above - below) * dweights).sum() / 2, rtol=1e-6)
    assert weights.shape == dweights.shape


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda layer, x: layer(x[..., :5]), "query must have 6 elements in its last axis"),
        (lambda layer, x: layer(x, x[..., :5]), "key must have 6 elements in its last axis"),
        (lambda layer, x: layer(x[0, 0]), "query must have positions and features as axes"),
        (lambda layer, x: layer(x, None, x), "key must be given where value is"),
        (lambda layer, x: layer(x, x, x[:, :2]), "value and key must have the same length"),
        (lambda layer, x: layer(x, mask=np.ones((2, 4), bool)), "mask must broadcast"),
        (lambda *_: AdditiveAttention(0), "d_model must be at least 1"),
        (lambda *_: AdditiveAttention(6, dropout=2), "dropout must lie between 0 and 1"),
    ],
)
def test_is_refused_in_one_sentence(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(AdditiveAttention(6), np.ones((2, 3, 6), np.float32))
