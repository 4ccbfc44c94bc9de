"""Dropout, choices and noise together with sparse normalizers: what goes, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import reference
from heedful import layers as L

Array = NDArray[Any]
X = np.random.default_rng(5).standard_normal((3, 17, 8)) * 2
SPARSE = ("entmax15", "sparsemax", 1.3, "entmax")
SEED = 11
DROPOUTS: list[dict[str, float]] = [
    {"key_dropout": 0.4}, {"head_dropout": 0.5}, {"dropout": 0.3},
    {"key_dropout": 0.2, "head_dropout": 0.3, "dropout": 0.1},
]  # fmt: skip


def attention(normalizer: Any, **options: Any) -> L.MultiHeadAttention:
    layer = L.MultiHeadAttention(
        8, 2, normalizer=normalizer, causal=True, dtype=np.float64, rng=0, **options
    )
    if normalizer == "entmax":
        layer.alpha_logits[...] = [-1.0, 0.5]  # not 1.5, whose threshold has a closed form
    return layer


def oracle(layer: L.MultiHeadAttention, x: Array, seed: int) -> tuple[Array, Array]:
    """y (B, L, E) and weights (B, H, L, L) of a training step, with dense matrices."""
    rng = np.random.default_rng(seed)
    options: dict[str, Any] = {"normalizer": layer.alphas}
    if layer.dropout or layer.key_dropout:
        options |= {"dropout_p": layer.dropout, "key_dropout_p": layer.key_dropout}
        options["rng"] = int(rng.integers(0, 2**64, dtype=np.uint64))
    projected = x @ layer.in_proj_weight.T + layer.in_proj_bias
    query, key, value = np.split(projected.reshape(*x.shape[:2], 6, 4).swapaxes(1, 2), 3, axis=1)
    found = reference.attention(query, key, value, causal=True, align=0, **options)
    kept = 1.0
    if layer.head_dropout:
        kept = (rng.random((len(x), 1, 2, 1)) >= layer.head_dropout) / (1 - layer.head_dropout)
    heads = (found.out.swapaxes(1, 2) * kept).reshape(x.shape)
    return heads @ layer.out_proj.weight.T + layer.out_proj.bias, found.weights


@pytest.mark.parametrize("dropout", DROPOUTS, ids="+".join)
@pytest.mark.parametrize("normalizer", SPARSE)
def test_a_step_is_that_of_dense_matrices(normalizer: Any, dropout: dict[str, float]) -> None:
    layer = attention(normalizer, **dropout)
    (y, weights), _ = layer.forward(X, rng=SEED, return_weights=True)
    expected, dense = oracle(layer, X, SEED)
    np.testing.assert_allclose(weights, dense, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)
    if "dropout" not in dropout:  # what keys are dropped from is shared among the others
        sums = weights.sum(-1)
        np.testing.assert_allclose(sums[sums > 0], 1)
        assert (sums > 0).all() == ("key_dropout" not in dropout)


@pytest.mark.parametrize("dropout", DROPOUTS, ids="+".join)
@pytest.mark.parametrize("normalizer", SPARSE)
def test_its_gradients_match_finite_differences_of_dense_matrices(
    normalizer: Any, dropout: dict[str, float]
) -> None:
    layer, rng = attention(normalizer, **dropout), np.random.default_rng(7)
    y, backward = layer.forward(X, rng=SEED)
    dy, step = rng.standard_normal(y.shape), 1e-6
    dx = backward(dy)
    places = [(X, dx), *((layer.parameters()[name], g) for name, g in layer.grads.items())]
    assert len(places) == 5 + (normalizer == "entmax")
    for array, gradient in places:
        before, direction = array.copy(), rng.standard_normal(array.shape)
        values = []
        for sign in (1, -1):
            array[...] = before + sign * step * direction
            values.append((oracle(layer, X, SEED)[0] * dy).sum())
        array[...] = before
        expected = (gradient * direction).sum()
        assert abs((values[0] - values[1]) / (2 * step) - expected) < 2e-5 * (abs(expected) + 1)


@pytest.mark.parametrize("normalizer", SPARSE)
def test_in_inference_nothing_is_dropped(normalizer: Any) -> None:
    for dropout in DROPOUTS:
        layer = attention(normalizer, **dropout)
        np.testing.assert_array_equal(layer(X), attention(normalizer)(X))


@pytest.mark.parametrize("normalizer", SPARSE)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gumbel_temperature": 0.5},
         r"gumbel_temperature must be None where normalizer is not 'softmax': got 0\.5"),
        ({"gumbel_temperature": 0.5, "hard": True, "key_dropout": 0.2},
         r"gumbel_temperature must be None where normalizer is not 'softmax': got 0\.5"),
        ({"hard": True}, "hard must be False without a gumbel_temperature: got True"),
        ({"penalties": {"entropy": 0.1}, "key_dropout": 0.2},
         r"penalties must be None where normalizer is not 'softmax': .+ weights: got .+"),
    ],
)  # fmt: skip
def test_choices_and_penalties_are_of_softmax(
    normalizer: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        attention(normalizer, **options)
