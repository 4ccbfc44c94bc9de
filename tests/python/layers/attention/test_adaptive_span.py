"""Adaptive spans: weights and gradients against dense NumPy, of z and of a bias, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from span_reference import LENGTH, B, D, H, X, dense, span_attention

from heedful.explain import steer
from heedful.layers.attention import _adaptive_span

Array = NDArray[Any]

RNG = np.random.default_rng(22)
CAUSAL = np.tri(LENGTH, dtype=bool)
NEAR = np.abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH))) <= 5
VALID = np.arange(LENGTH) < np.array([LENGTH, 9])[:, None, None, None]
MASK = RNG.random((B, H, LENGTH, LENGTH)) < 0.7
BIAS = RNG.standard_normal((LENGTH, LENGTH))
CALLS: list[tuple[dict[str, Any], dict[str, Any], Any, Any]] = [
    ({}, {}, True, 0.0),
    ({"causal": True}, {}, CAUSAL, 0.0),
    ({"causal": True, "num_kv_heads": 2, "sink": True}, {"kv_lengths": [LENGTH, 9]},
     CAUSAL & VALID, 0.0),
    ({}, {"window": (5, 5)}, NEAR, 0.0),
    ({"causal": True}, {"exclude_self": True}, CAUSAL & (np.eye(LENGTH) == 0), 0.0),
    ({"num_kv_heads": 1}, {"mask": MASK}, MASK, 0.0),
    ({"causal": True}, {"bias": BIAS}, CAUSAL, BIAS),
]  # fmt: skip


@pytest.mark.parametrize(("made", "options", "kept", "bias"), CALLS, ids=range(len(CALLS)))
@pytest.mark.parametrize("rows", [128, 8])
def test_weights_are_masked_by_distance(
    made: dict[str, Any], options: dict[str, Any], kept: Any, bias: Any, rows: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(_adaptive_span, "_ROWS", rows)  # pieces, and groups of heads
    layer = span_attention(**made)
    exact = dense(layer, X, kept, bias)
    np.testing.assert_allclose(layer(X, **options), exact, rtol=1e-9, atol=1e-11)
    y, _ = layer.forward(X, **options)
    np.testing.assert_allclose(y, exact, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("made", [{"causal": True, "num_kv_heads": 2, "sink": True}, {}], ids=str)
@pytest.mark.parametrize("rows", [128, 8])
def test_gradients_match_finite_differences(
    made: dict[str, Any], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_adaptive_span, "_ROWS", rows)
    layer, dy = span_attention(**made), RNG.standard_normal(X.shape)
    layer.span[...] = [0.013, 0.113, 0.472, 0.981]
    _, backward = layer.forward(X)
    dx = backward(dy)

    def slope(array: Array, place: Any) -> float:
        value, ends = array[place], []
        for moved in (value + 1e-6, value - 1e-6):
            array[place] = moved
            ends.append(float((dense(layer, x, CAUSAL if made else True) * dy).sum()))
        array[place] = value
        return (ends[0] - ends[1]) / 2e-6

    x = X.copy()
    for head in range(H):
        np.testing.assert_allclose(layer.grads["span"][head], slope(layer.span, head), rtol=1e-6)
    for place in [(0, 0, 0), (1, 30, 7), (0, 36, 11)]:
        np.testing.assert_allclose(dx[place], slope(x, place), rtol=1e-5, atol=1e-8)
    for place in [(0, 3), (13, 5), (20, 1)]:
        found = layer.grads["in_proj_weight"][place]
        np.testing.assert_allclose(found, slope(layer.in_proj_weight, place), rtol=1e-5, atol=1e-8)
    if made:
        np.testing.assert_allclose(layer.grads["sink"][2], slope(layer.sink, 2), rtol=1e-5)


def test_a_span_at_its_limit_moves_inwards_alone() -> None:
    layer, dy = span_attention(), RNG.standard_normal(X.shape)
    layer.span[...] = [-0.5, 0.0, 1.0, 1.5]
    y, backward = layer.forward(X)
    layer.span[...] = [0.0, 0.0, 1.0, 1.0]
    np.testing.assert_array_equal(layer(X), y)
    backward(dy)
    one = layer.grads["span"].copy()
    layer.zero_grad()
    layer.forward(X)[1](-dy)
    other = layer.grads["span"]
    for head, sign in enumerate((-1, -1, 1, 1)):  # of the gradient that leads inwards
        pair = sorted((one[head] * sign, other[head] * sign))
        assert pair[0] == 0 < pair[1]


@pytest.mark.parametrize("shape", [(37,), (37, 37), (1, H, 1, 37), (B, 1, 37, 1), (B, H, 37, 37)])
@pytest.mark.parametrize("rows", [128, 8])
def test_steered_gradients_match_finite_differences(
    shape: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the input, the parameters, the spans and the bias; heads in groups where rows is 8."""
    monkeypatch.setattr(_adaptive_span, "_ROWS", rows)
    layer, dy = span_attention(causal=True, num_kv_heads=2), RNG.standard_normal(X.shape)
    layer.span[...] = [0.013, 0.113, 0.472, 0.981]
    bias, x = RNG.standard_normal(shape), X.copy()
    with steer(layer, bias=bias) as steering:
        y, backward = layer.forward(x)
    np.testing.assert_allclose(y, dense(layer, x, CAUSAL, bias), atol=1e-12)
    dx = backward(dy)
    assert steering.grad is not None
    assert steering.grad.shape == shape

    def slope(array: Array, place: Any) -> float:
        value, ends = array[place], []
        for moved in (value + 1e-6, value - 1e-6):
            array[place] = moved
            ends.append(float((dense(layer, x, CAUSAL, bias) * dy).sum()))
        array[place] = value
        return (ends[0] - ends[1]) / 2e-6

    middle = tuple(size // 2 for size in shape)
    for place in (middle, (0,) * len(shape), tuple(size - 1 for size in shape)):
        found = steering.grad[place]
        np.testing.assert_allclose(found, slope(bias, place), rtol=1e-5, atol=1e-8)
    for head in range(H):
        np.testing.assert_allclose(layer.grads["span"][head], slope(layer.span, head), rtol=1e-5)
    np.testing.assert_allclose(dx[1, 30, 7], slope(x, (1, 30, 7)), rtol=1e-5)
    found = layer.grads["in_proj_weight"][13, 5]
    np.testing.assert_allclose(found, slope(layer.in_proj_weight, (13, 5)), rtol=1e-5, atol=1e-8)


def test_noise_differs_between_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_adaptive_span, "_ROWS", 8)
    layer = span_attention(dropout=0.5, span_ramp=100.0)
    x = np.ones((1, 16, H * D))
    y, _ = layer.forward(x, rng=0)
    assert np.abs(y[0, :8] - y[0, 8:]).max() > 1e-3
    again, _ = layer.forward(x, rng=0)
    np.testing.assert_array_equal(y, again)
