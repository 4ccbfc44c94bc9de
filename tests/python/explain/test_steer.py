"""steer: a bias or a mask in any layer, against the oracle of attention and against odds."""

from __future__ import annotations

import threading
from typing import Any

import model_weights as plain
import numpy as np
import pytest
from numpy.typing import NDArray

from heedful import KVCache, SinksAndWindow
from heedful import layers as L
from heedful.explain import steer, watch

Array = NDArray[Any]
pytestmark = pytest.mark.once
F64: dict[str, Any] = {"dtype": np.float64, "rng": 3}
DRAW = np.random.default_rng(1)
X = DRAW.standard_normal((2, 7, 12))
SHAPES = [(7,), (7, 7), (2, 1, 1, 7), (1, 4, 7, 1), (2, 4, 7, 7)]


def encoder(**options: Any) -> L.Encoder:
    return L.Encoder(2, 12, 4, 16, 0.0, **options, **F64)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_bias_and_a_mask_in_every_layer_are_those_of_the_oracle(shape: tuple[int, ...]) -> None:
    model, bias = encoder(), DRAW.standard_normal(shape)
    mask = DRAW.random(shape) < 0.7
    found: list[Array] = []
    expected = plain.encoder(model.state_dict(), 2, 4, X, found, bias=bias, mask=mask)
    with steer(model, bias=bias, mask=mask), watch(model) as seen:
        y = model(X)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    np.testing.assert_allclose(seen.weights, found, atol=1e-12)
    assert (np.array(seen.weights)[:, ~np.broadcast_to(mask, (2, 4, 7, 7))] == 0).all()
    assert not np.allclose(model(X), expected)


def test_some_heads_of_some_layers_are_steered() -> None:
    model, bias = encoder(), DRAW.standard_normal((1, 2, 7, 7))
    with watch(model) as before:
        model(X)
    with steer(model, bias=bias, where="layers.1", heads=[3, 0]), watch(model) as after:
        model(X)
    first, second = before.weights
    np.testing.assert_array_equal(after.weights[0], first)
    moved = second * np.exp([[[[0.0]], [[0.0]], [[0.0]], [[0.0]]]])
    moved[:, [3, 0]] *= np.exp(bias[0])
    moved /= moved.sum(-1, keepdims=True)
    np.testing.assert_allclose(after.weights[1], moved, atol=1e-12)


def test_a_bias_moves_the_odds_by_its_exponential_and_a_mask_leaves_nothing() -> None:
    model, strength = encoder(), 1.7
    bias, mask = np.zeros(7), np.ones(7, np.bool_)
    bias[2], mask[5] = strength, False
    with watch(model, "layers.0") as before, watch(model, "layers.0") as after:
        before.end()
        with steer(model, bias=bias, mask=mask):
            model(X)
        before.begin()
        after.end()
        model(X)
        after.begin()
    old, new = before.weights[0], after.weights[0]
    np.testing.assert_allclose(new[..., 2] / new[..., 0], np.exp(1.7) * old[..., 2] / old[..., 0])
    assert (new[..., 5] == 0).all()


def test_nested_ones_add_up_with_the_bias_and_the_mask_of_the_call() -> None:
    layer = L.MultiHeadAttention(12, 4, **F64)
    one, two, own = DRAW.standard_normal((3, 7, 7))
    mask, other = DRAW.random((2, 7, 7)) < 0.8
    given = DRAW.random((2, 4, 7, 7)) < 0.8
    with steer(layer, bias=one, mask=mask), steer(layer, bias=two), steer(layer, mask=other):
        found = layer(X, bias=own, mask=given)
    expected = layer(X, bias=own + one + two, mask=given & mask & other)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "options", [{}, {"softcap": 2.0, "sink": True}, {"normalizer": "entmax15"}, {"top_k": 3},
                {"adaptive_span": 3, "span_ramp": 2.0}, {"alibi": True, "num_kv_heads": 2},
                {"qk_norm": "rms", "rotary": True, "num_heads": 2}],
    ids=str,
)  # fmt: skip
def test_layers_are_steered_with_all_their_options(options: dict[str, Any]) -> None:
    options = {"num_heads": 4, **options}
    layer = L.MultiHeadAttention(12, **options, **F64)
    bias, mask = DRAW.standard_normal((7, 7)), DRAW.random((7, 7)) < 0.8
    ahead = DRAW.standard_normal(X.shape)
    expected, back = layer.forward(X, bias=bias, mask=mask)
    wanted = back(ahead)
    grads = {name: grad.copy() for name, grad in layer.grads.items()}
    layer.zero_grad()
    with steer(layer, bias=bias, mask=mask) as steering:
        np.testing.assert_allclose(layer(X), expected, atol=1e-12)
        y, back = layer.forward(X)
    np.testing.assert_allclose(y, expected, atol=1e-12)
    np.testing.assert_allclose(back(ahead), wanted, atol=1e-12)
    for name, grad in grads.items():
        np.testing.assert_allclose(layer.grads[name], grad, atol=1e-12)
    assert steering.grad is not None


@pytest.mark.parametrize("shape", [*SHAPES, (2, 2, 1, 7)])
def test_the_gradient_of_the_bias_is_that_of_central_differences(shape: tuple[int, ...]) -> None:
    model, ahead = encoder(), DRAW.standard_normal(X.shape)
    heads = [1, 2] if shape[1:2] == (2,) else None
    bias = DRAW.standard_normal(shape)

    def loss(moved: Array) -> float:
        with steer(model, bias=moved, heads=heads):
            return float((model(X) * ahead).sum())

    with steer(model, bias=bias, heads=heads) as steering:
        _, backward = model.forward(X)
    backward(ahead)
    assert steering.grad is not None
    assert steering.grad.shape == shape
    for place in [(0,) * len(shape), tuple(size - 1 for size in shape)]:
        step = np.zeros(shape)
        step[place] = 1e-6
        difference = (loss(bias + step) - loss(bias - step)) / 2e-6
        assert steering.grad[place] == pytest.approx(difference, rel=1e-5, abs=1e-8)


def test_other_layers_are_steered_with_their_gradients() -> None:
    cases: list[tuple[Any, Array, tuple[int, ...]]] = [
        (L.AdditiveAttention(12, 5, **F64), X, (7,)),
        (L.AttentionPooling(12, num_queries=2, **F64), X, (2, 7)),
        (L.FeatureAttention(12, **F64), X, (7, 12)),
        (L.FeatureAttention(12, **F64), X[0], (12,)),
        (L.RelativeAttention(12, 3, **F64), X, (7, 7)),
    ]
    for layer, x, shape in cases:
        bias, mask = DRAW.standard_normal(shape), DRAW.random(shape) < 0.8
        mask[..., 0] = True
        with watch(layer) as before, watch(layer) as after:
            layer(x)
            before.end()
            with steer(layer, bias=bias, mask=mask) as steering:
                _, backward = layer.forward(x)
            before.begin()
        moved = before.weights[0] * np.exp(bias) * mask
        moved /= moved.sum(-1, keepdims=True)
        np.testing.assert_allclose(after.weights[1], moved, atol=1e-12)

        ahead = DRAW.standard_normal(layer(x).shape)
        backward(ahead)

        def loss(moved: Array, layer: Any = layer, x: Array = x, mask: Any = mask,
                 ahead: Array = ahead) -> float:  # fmt: skip
            with steer(layer, bias=moved, mask=mask):
                return float((layer(x) * ahead).sum())

        step = np.zeros(shape)
        step[..., 0] = 1e-6
        difference = (loss(bias + step) - loss(bias - step)) / 2e-6
        assert steering.grad is not None
        assert steering.grad[..., 0].sum() == pytest.approx(difference, rel=1e-5)


def test_threads_steer_their_own_calls_alone() -> None:
    model, found, expected = encoder(), {}, {}
    biases = DRAW.standard_normal((4, 7))
    for index, bias in enumerate(biases):
        with steer(model, bias=bias):
            expected[index] = model(X)

    def run(index: int) -> None:
        with steer(model, bias=biases[index]):
            found[index] = [model(X) for _ in range(5)]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(4):
        assert all(np.array_equal(y, expected[index]) for y in found[index])


def test_training_goes_on_with_a_steered_model() -> None:
    model = L.Sequential(encoder(), L.GlobalAveragePooling(), L.Linear(12, 1, **F64))
    model.compile("adam", "mse")
    with steer(model, bias=np.arange(7.0)), watch(model) as seen:
        model.fit(X, X[:, :1, 0], epochs=1, batch_size=2, verbose=False)
    assert seen.calls[0].training
    assert np.isfinite(model(X)).all()


def test_what_cannot_be_steered_is_said_in_one_sentence() -> None:
    model = encoder()
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({}, ValueError, "bias or mask must be given: got neither"),
        ({"bias": np.zeros((2, 7, 7))}, ValueError, ("bias must be (Lk,), (Lq, Lk) or "
         "(B, H, Lq, Lk): got shape (2, 7, 7); write bias[:, None] for (B, Lq, Lk) or bias[None] "
         "for (H, Lq, Lk)")),
        ({"bias": [np.nan]}, ValueError, "bias must be finite or −inf: got NaN or +inf"),
        ({"bias": ["a"]}, TypeError, "bias must hold real numbers: got"),
        ({"mask": [1.0]}, TypeError, "mask must be boolean, True where a query may attend: got"),
        ({"mask": [True], "heads": 9}, ValueError, "heads must lie between 0 and 3 in"),
        ({"mask": [True], "where": "x"}, ValueError, "where must match attention layers of the"),
    ]  # fmt: skip
    for options, kind, message in refused:
        with pytest.raises(kind) as raised:
            steer(model, **options)
        assert str(raised.value).startswith(message)
    for options in ({"bias": np.zeros(6)}, {"mask": np.ones((1, 2, 1, 7), np.bool_)},
                    {"bias": np.zeros((1, 3, 1, 7)), "heads": [0, 1]}):  # fmt: skip
        with steer(model, **options), pytest.raises(ValueError, match="must broadcast to the"):
            model(X)
    message = (
        r"\Abias must broadcast to the scores of 'layers.0.self_attn', \(2, 4, 7, 7\): got shape"
    )
    with steer(model, bias=np.zeros(6)), pytest.raises(ValueError, match=message):
        model(X)
    linear = L.Encoder(1, 12, 4, 16, mixer="linear", **F64)
    with pytest.raises(ValueError, match="model must have attention layers with scores: Encoder"):
        steer(linear, bias=[0.0])
    sinks = KVCache(policy=SinksAndWindow(1, 3))
    layer = L.MultiHeadAttention(12, 4, **F64)
    with steer(layer, bias=[1.0]), pytest.raises(ValueError, match="bias"):
        layer(X, causal=True, cache=sinks)
