"""Gumbel noise, choices and dropout in layers: training, inference, gradients, temperatures."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import heedful
import reference
from heedful import layers as L
from heedful import training
from heedful.layers.attention._noise import hard_vjp

Array = NDArray[Any]
X = np.random.default_rng(5).standard_normal((3, 17, 8))
NOISE = {
    "gumbel_temperature": 0.4, "hard": True, "key_dropout": 0.2, "head_dropout": 0.3,
}  # fmt: skip
MODELS: list[Callable[..., Any]] = [
    lambda **o: L.EncoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Encoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.DecoderLayer(8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.Decoder(2, 8, 2, 16, 0.0, rng=0, **o),
    lambda **o: L.EncoderDecoder(8, 2, 1, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.Transformer(9, 9, 8, 2, 1, 16, 0.0, rng=0, **o),
    lambda **o: L.LanguageModel(9, 8, 2, 1, 16, rng=0, **o),
]


def attention(**options: Any) -> L.MultiHeadAttention:
    return L.MultiHeadAttention(8, 2, dtype=np.float64, rng=0, **options)


def weights_in_training(layer: L.Layer, seed: int = 1) -> Array:
    (_, weights), _ = layer.forward(X, rng=seed, return_weights=True)
    return weights


# --- noise


def test_weights_have_noise_in_training_and_none_in_inference() -> None:
    noisy, plain = attention(gumbel_temperature=0.3), attention()
    np.testing.assert_array_equal(noisy(X), plain(X))
    first, second = weights_in_training(noisy, 1), weights_in_training(noisy, 2)
    np.testing.assert_array_equal(first, weights_in_training(noisy, 1))
    assert np.abs(first - second).max() > 0.5
    np.testing.assert_allclose(first.sum(-1), 1)


def test_the_temperature_decides_how_hard_the_weights_are() -> None:
    largest = [weights_in_training(attention(gumbel_temperature=t)).max(-1).mean()
               for t in (100.0, 1.0, 0.1, 1e-6)]  # fmt: skip
    assert largest[0] < 0.07 < largest[1] < 0.6 < largest[2] < 0.99 < largest[3] < 1 + 1e-6


# --- choices


def test_a_hard_choice_is_the_largest_of_the_soft_weights() -> None:
    soft = weights_in_training(attention(gumbel_temperature=0.5, causal=True))
    hard = weights_in_training(attention(gumbel_temperature=0.5, causal=True, hard=True))
    np.testing.assert_allclose(hard.max(-1), 1)
    np.testing.assert_array_equal((hard > 0).sum(-1), 1)
    np.testing.assert_array_equal(hard.argmax(-1), soft.argmax(-1))


def test_in_inference_the_highest_score_is_chosen() -> None:
    layer = attention(gumbel_temperature=0.5, hard=True)
    _, soft = attention()(X, return_weights=True)
    y, weights = layer(X, return_weights=True)
    np.testing.assert_array_equal(weights.argmax(-1), soft.argmax(-1))
    np.testing.assert_allclose(weights.max(-1), 1)
    np.testing.assert_array_equal(layer(X), y)


def test_a_cache_gives_the_same_choices() -> None:
    layer = attention(gumbel_temperature=0.5, hard=True, causal=True)
    cache = heedful.KVCache()
    steps = [layer(X[:, i : i + 1], cache=cache) for i in range(X.shape[1])]
    np.testing.assert_allclose(np.concatenate(steps, 1), layer(X), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("policy", [heedful.SinksAndWindow(1, 4), heedful.HeavyHitters(4, 4)])
def test_a_choice_is_refused_where_a_cache_removes_keys(policy: Any) -> None:
    layer = attention(gumbel_temperature=0.5, hard=True, causal=True)
    cache = heedful.KVCache(policy=policy)
    with pytest.raises(
        ValueError, match=rf"\Ahard cannot be combined with {type(policy).__name__}"
    ):
        layer(X, cache=cache)


@pytest.mark.parametrize("options", [{}, {"dropout_p": 0.3, "key_dropout_p": 0.2}], ids=str)
def test_the_gradient_is_straight_through(
    options: dict[str, Any], rng: np.random.Generator
) -> None:
    """Of the definition, with dense matrices: see hard_vjp."""
    query, dout = rng.standard_normal((2, 7, 4, 5)), rng.standard_normal((2, 7, 4, 6))
    key, value = rng.standard_normal((2, 9, 2, 5)), rng.standard_normal((2, 9, 2, 6))
    bias, dweights = rng.standard_normal((4, 7, 9)), rng.standard_normal((2, 4, 7, 9))
    options = {**options, "gumbel_temperature": 0.6, "rng": 3, "softcap": 2.0, "bias": bias}
    (out, lse, weights), pullback = hard_vjp(
        query, key, value, layout="blhd", return_weights=True, return_lse=True, **options
    )
    found = pullback(dout, dweights=dweights)

    across = [array.swapaxes(1, 2) for array in (query, key, value)]
    soft = reference.steps(*across, **options)
    hard = np.zeros(soft.logits.shape)
    np.put_along_axis(hard, soft.logits.argmax(-1)[..., None], 1.0, -1)
    hard = hard * soft.dropout
    by_head = np.repeat(across[2], 2, 1)
    np.testing.assert_allclose(weights, hard)
    np.testing.assert_allclose(out.swapaxes(1, 2), hard @ by_head)
    np.testing.assert_allclose(lse, soft.result.lse)
    exact = reference.attention_backward(dout.swapaxes(1, 2), *across, dweights=dweights, **options)
    dvalue = (hard.swapaxes(-1, -2) @ dout.swapaxes(1, 2)).reshape(2, 2, 2, 9, 6).sum(2)
    np.testing.assert_allclose(found.query.swapaxes(1, 2), exact.query, atol=1e-12)
    np.testing.assert_allclose(found.key.swapaxes(1, 2), exact.key, atol=1e-12)
    np.testing.assert_allclose(found.bias, exact.bias, atol=1e-12)
    np.testing.assert_allclose(found.value.swapaxes(1, 2), dvalue, atol=1e-12)


def test_a_choice_among_no_keys_is_0() -> None:
    layer = attention(gumbel_temperature=0.5, hard=True)
    y, backward = layer.forward(X, np.ones((3, 0, 8)), rng=1)
    np.testing.assert_array_equal(y, layer(X, np.ones((3, 0, 8))))
    assert not backward(np.ones_like(y))[0].any()


# --- dropout


def test_heads_are_dropped_as_a_whole() -> None:
    layer = attention(head_dropout=0.5)
    layer.out_proj.weight[...] = np.eye(8)
    kept: list[Array] = []
    exact = layer(X)
    for seed in range(200):
        y, backward = layer.forward(X, rng=seed)
        heads = y.reshape(3, 17, 2, 4)
        dropped = (heads == 0).all((1, 3))
        expected = np.where(dropped[:, None, :, None], 0, 2 * exact.reshape(heads.shape))
        np.testing.assert_allclose(heads, expected)
        kept.append(~dropped)
        if seed < 5:
            dx = backward(np.ones_like(y))
            np.testing.assert_array_equal(dx[dropped.all(1)], 0)
    assert abs(np.mean(kept) - 0.5) < 0.06  # 4 standard deviations


def test_keys_are_dropped_from_single_queries() -> None:
    weights = weights_in_training(attention(key_dropout=0.5))
    assert abs((weights == 0).mean() - 0.5) < 0.05
    np.testing.assert_allclose(weights.sum(-1), 1)  # the others share what is dropped


def test_a_query_that_loses_all_keys_attends_to_nothing() -> None:
    layer = attention(key_dropout=0.97, bias=False)
    (y, weights), backward = layer.forward(X, rng=2, return_weights=True)
    lost = (weights == 0).all((1, 3))
    assert 0 < lost.sum() < lost.size
    np.testing.assert_array_equal(y[lost], 0)
    assert np.isfinite(backward(np.ones_like(y))).all()


# --- models


@pytest.mark.parametrize("make", MODELS)
def test_models_forward_them(make: Callable[..., Any]) -> None:
    def inside(model: L.Layer) -> list[L.MultiHeadAttention]:
        return [one for _, one in model.named_layers() if isinstance(one, L.MultiHeadAttention)]

    assert inside(make(**NOISE))
    for layer in inside(make(**NOISE)):
        assert {name: getattr(layer, name) for name in NOISE} == NOISE
    for layer in inside(make()):
        assert layer.gumbel_temperature is None
        assert (layer.hard, layer.key_dropout, layer.head_dropout) == (False, 0, 0)


def test_an_alternative_of_attention_has_none() -> None:
    for name, value in NOISE.items():
        more = {"gumbel_temperature": 1.0} if name == "hard" else {}
        with pytest.raises(ValueError, match=r"must be .* with mixer='linear'"):
            L.EncoderLayer(8, 2, mixer="linear", **{name: value}, **more)


def test_they_are_shown_and_kept_by_a_pickle() -> None:
    layer = attention(**NOISE)
    for shown in ("key_dropout=0.2", "head_dropout=0.3", "gumbel_temperature=0.4", "hard=True"):
        assert shown in repr(layer)
    assert pickle.loads(pickle.dumps(layer)).hard
    assert "=" not in repr(attention()).replace("out_proj", "").split("(", 1)[1].split(")")[0]


def test_a_layer_of_an_earlier_version_has_none() -> None:
    layer = attention()
    for name in NOISE:
        delattr(layer, name)
    y, _ = layer.forward(X, rng=0)
    np.testing.assert_array_equal(y, layer(X))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hard": True}, "hard must be False without a gumbel_temperature: got True"),
        ({"hard": True, "gumbel_temperature": 1.0, "sink": True},
         "hard must be False with sink=True, which is no key to choose: got True"),
        ({"gumbel_temperature": 0.0}, "gumbel_temperature must be finite and above 0: got 0.0"),
        ({"gumbel_temperature": np.nan}, "gumbel_temperature must be finite and above 0: got nan"),
        ({"key_dropout": 1.0}, r"key_dropout must lie in \[0, 1\): got 1.0"),
        ({"head_dropout": -0.1}, r"head_dropout must lie in \[0, 1\): got -0.1"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=rf"\A{message}\Z"):
        attention(**options)


# --- temperatures in training


def model_of(**options: Any) -> L.Sequential:
    model = L.Sequential(
        L.MultiHeadAttention(4, 2, rng=0, **options), L.GlobalAveragePooling(), L.Linear(4, 1)
    )
    model.compile(optimizer="sgd", loss="mse")
    return model


def test_a_schedule_sets_the_temperature_of_each_step() -> None:
    x, seen = np.ones((8, 3, 4), np.float32), []
    model = model_of(gumbel_temperature=5.0)
    attend = model[0]

    class See(training.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append(attend.gumbel_temperature)

        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(attend.gumbel_temperature)

    anneal = training.AnnealTemperature(training.ExponentialAnnealing(1.0, 0.0625, 4))
    for _ in range(2):  # the second fit continues
        model.fit(x, x[:, 0, :1], epochs=1, batch_size=4, callbacks=[anneal, See()], verbose=False)
    assert seen == [1.0, 0.5, 0.25, 0.25, 0.125, 0.0625]
    assert attend.gumbel_temperature == anneal.temperature == 0.0625


@pytest.mark.parametrize(
    ("options", "schedule", "message"),
    [
        ({}, training.LinearAnnealing(1, 0.5, 3), "model must have a layer with a gumbel_temp"),
        ({"gumbel_temperature": 1.0}, training.LinearAnnealing(1, 0, 1), "temperature must be fin"),
        ({"gumbel_temperature": 1.0}, lambda step: np.nan, "temperature must be finite and above"),
    ],
    ids=["no layer", "zero", "nan"],
)
def test_a_wrong_temperature_ends_the_training(
    options: dict[str, Any], schedule: Any, message: str
) -> None:
    x = np.ones((8, 3, 4), np.float32)
    with pytest.raises(ValueError, match=rf"\A{message}"):
        model_of(**options).fit(
            x, x[:, 0, :1], epochs=2, verbose=False, callbacks=training.AnnealTemperature(schedule)
        )
