"""Adaptive spans: against dense NumPy weights, gradients of z, caches, costs, penalties."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
from heedful import layers as L
from heedful.explain import steer
from heedful.layers.attention import _adaptive_span
from heedful.pruning import prune_heads
from heedful.training import SGD

Array = NDArray[Any]
RNG = np.random.default_rng(21)
B, LENGTH, H, D = 2, 37, 4, 3
X = RNG.standard_normal((B, LENGTH, H * D))
SPANS = np.array([0.0, 0.113, 0.47, 1.0])  # · 20 positions: none an integer but at the ends


def attention(**options: Any) -> L.MultiHeadAttention:
    given = {"adaptive_span": 20, "span_ramp": 3.3, "dtype": np.float64, "rng": 0, **options}
    layer = L.MultiHeadAttention(H * D, H, **given)
    if layer.adaptive_span is not None:
        layer.span[...] = SPANS
    layer.in_proj_bias[...] = RNG.standard_normal(layer.in_proj_bias.shape) / 3
    return layer


def dense(
    layer: L.MultiHeadAttention, x: Array, kept: Array | bool = True, bias: Any = 0.0
) -> Array:
    """By the paper's equation: m exp(s) / Σ m exp(s), of all pairs; kept (B, 1, L, L)."""
    narrow = layer.num_kv_heads * D
    parts = np.split(x @ layer.in_proj_weight.T + layer.in_proj_bias, [H * D, H * D + narrow], -1)
    q, k, v = (part.reshape(*x.shape[:2], -1, D).swapaxes(1, 2) for part in parts)
    k, v = (np.repeat(array, H // layer.num_kv_heads, 1) for array in (k, v))
    score = q @ k.swapaxes(-1, -2) / np.sqrt(D) + bias
    distance = np.abs(np.subtract.outer(np.arange(x.shape[1]), np.arange(x.shape[1])))
    z = np.clip(layer.span, 0, 1)[:, None, None] * layer.adaptive_span
    m = np.clip((layer.span_ramp + z - distance) / layer.span_ramp, 0, 1)
    weights = np.where(kept, m * np.exp(score), 0)
    total = weights.sum(-1, keepdims=True)
    if layer.sink is not None:
        total = total + np.exp(layer.sink)[:, None, None]
    out = weights / np.where(total > 0, total, 1) @ v
    return out.swapaxes(1, 2).reshape(x.shape) @ layer.out_proj.weight.T + layer.out_proj.bias


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
    layer = attention(**made)
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
    layer, dy = attention(**made), RNG.standard_normal(X.shape)
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
    layer, dy = attention(), RNG.standard_normal(X.shape)
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


def test_a_cache_gives_the_same() -> None:
    layer = attention(causal=True, num_kv_heads=2, rotary=False)
    cache = heedful.KVCache()
    steps = [layer(X[:, :10], cache=cache)]
    steps += [layer(X[:, i : i + 1], cache=cache) for i in range(10, LENGTH)]
    np.testing.assert_allclose(np.concatenate(steps, 1), layer(X), rtol=1e-10, atol=1e-12)


def test_a_cache_of_items_of_different_lengths_gives_the_same() -> None:
    layer, cache = attention(causal=True), heedful.KVCache()
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


@pytest.mark.parametrize("shape", [(37,), (37, 37), (1, H, 1, 37), (B, 1, 37, 1), (B, H, 37, 37)])
@pytest.mark.parametrize("rows", [128, 8])
def test_steered_gradients_match_finite_differences(
    shape: tuple[int, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the input, the parameters, the spans and the bias; heads in groups where rows is 8."""
    monkeypatch.setattr(_adaptive_span, "_ROWS", rows)
    layer, dy = attention(causal=True, num_kv_heads=2), RNG.standard_normal(X.shape)
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
    layer = attention(dropout=0.5, span_ramp=100.0)
    x = np.ones((1, 16, H * D))
    y, _ = layer.forward(x, rng=0)
    assert np.abs(y[0, :8] - y[0, 8:]).max() > 1e-3
    again, _ = layer.forward(x, rng=0)
    np.testing.assert_array_equal(y, again)


# --- costs


def run(layer: L.MultiHeadAttention, x: Array) -> float:
    begin = time.perf_counter()
    y, backward = layer.forward(x)
    backward(y)
    return time.perf_counter() - begin


@pytest.mark.once
def test_time_falls_with_the_span() -> None:
    x = RNG.standard_normal((1, 4096, 64)).astype(np.float32)
    layer = L.MultiHeadAttention(64, 4, causal=True, adaptive_span=4096, rng=0)
    layer.span[...] = 1
    whole = min(run(layer, x) for _ in range(3))
    layer.span[...] = 0.05
    assert min(run(layer, x) for _ in range(3)) < 0.6 * whole
    layer.span[...] = [0.05, 0.05, 0.05, 1]  # one head that looks far costs only itself
    assert min(run(layer, x) for _ in range(3)) < 0.8 * whole


def test_memory_is_linear_in_the_length() -> None:
    layer = L.MultiHeadAttention(8, 2, causal=True, adaptive_span=4096, rng=0)
    layer.span[...] = 1
    x = RNG.standard_normal((1, 4096, 8)).astype(np.float32)  # weights: 134 MB
    run(layer, x[:, :100])
    tracemalloc.start()
    run(layer, x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 67e6


# --- learning


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
    layer = attention(causal=True)
    pruned = prune_heads(layer, {"": [0, 2]})
    np.testing.assert_array_equal(pruned.span, layer.span[[1, 3]])


def test_a_layer_of_an_earlier_version_has_none() -> None:
    layer = attention(adaptive_span=None)
    exact = layer(X)
    del layer.adaptive_span, layer.span_ramp
    np.testing.assert_array_equal(layer(X), exact)
    assert "adaptive_span" not in repr(layer)
    assert "adaptive_span=20" in repr(attention())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"adaptive_span": -3}, "adaptive_span must be at least 1: got -3"),
        ({"adaptive_span": 5, "span_ramp": 0.0}, "span_ramp must be finite and above 0: got 0.0"),
        ({"adaptive_span": 5, "span_penalty": -1}, "span_penalty must not be negative: got -1"),
    ],
)
def test_what_has_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        attention(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": X}, "key must be None with adaptive_span, which is of distances in a sequence"),
        ({"align": "lower_right"}, "align must be None, with adaptive_span: got 'lower_right'"),
        ({"return_weights": True}, "return_weights must be False, with adaptive_span: got True"),
        ({"cache": heedful.KVCache(policy=heedful.SinksAndWindow(1, 4))},
         "cache must have no policy with adaptive_span, which drops keys by itself: got "),
        ({"window": 3}, "window must be a pair"),
        ({"kv_lengths": [3, 99]}, "kv_lengths must lie between 0 and 37: got 99"),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)  # fmt: skip
def test_a_call_that_has_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"\A{message}"):
        attention()(X, **options)
