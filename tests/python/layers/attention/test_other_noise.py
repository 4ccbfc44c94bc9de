"""Noise, choices and penalties of additive and relative attention, and of a model of it."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from penalty_reference import value as penalty_of

import heedful
from heedful import layers as L
from heedful.explain import watch
from heedful.layers.attention._choice import hard_additive_vjp
from heedful.testing import gradcheck

Array = NDArray[Any]
DRAW = np.random.default_rng(5)
X, MEMORY = DRAW.standard_normal((3, 9, 8)), DRAW.standard_normal((3, 4, 8))
KINDS = ["l2", "entropy", "negative_entropy", "scores_l1", "scores_l2", "z"]


def additive(**options: Any) -> L.AdditiveAttention:
    layer = L.AdditiveAttention(8, 5, bias=True, dtype=np.float64, rng=0, **options)
    layer.weight *= 4
    return layer


def relative(**options: Any) -> L.RelativeAttention:
    layer = L.RelativeAttention(8, 2, dtype=np.float64, rng=0, **options)
    layer.query.weight *= 3
    layer.content_bias[...] = np.random.default_rng(1).standard_normal((2, 4))
    return layer


def segment_recurrent(**options: Any) -> L.SegmentRecurrentLM:
    return L.SegmentRecurrentLM(11, 8, 2, 2, 16, 4, 0.0, rng=0, **options)


def weights_in_training(layer: Any, seed: int = 1, **options: Any) -> Array:
    (_, weights), _ = layer.forward(X, rng=seed, return_weights=True, **options)
    return np.asarray(weights)


# --- choices of additive attention


def test_a_hard_additive_choice_is_the_largest_of_the_soft_weights() -> None:
    options: dict[str, Any] = {"causal": True, "kv_lengths": [9, 4, 0]}
    soft = weights_in_training(additive(gumbel_temperature=0.5), **options)
    hard = weights_in_training(additive(gumbel_temperature=0.5, hard=True), **options)
    attends = soft.any(-1)
    np.testing.assert_array_equal(hard.max(-1), attends)
    np.testing.assert_array_equal((hard > 0).sum(-1), attends)
    np.testing.assert_array_equal(hard.argmax(-1), soft.argmax(-1))
    other = weights_in_training(additive(gumbel_temperature=0.5, hard=True), 2, **options)
    assert (other != hard).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_in_inference_the_highest_score_is_chosen(dtype: Any) -> None:
    soft_layer = L.AdditiveAttention(8, 5, dtype=dtype, rng=0)
    layer = L.AdditiveAttention(8, 5, dtype=dtype, rng=0, gumbel_temperature=0.5, hard=True)
    mask = DRAW.random((3, 9, 9)) < 0.6
    mask[0, 2] = False
    _, soft = soft_layer(X, mask=mask, return_weights=True)
    with watch(layer) as seen, watch(layer, rows=[2, -1]) as some:
        y, weights = layer(X, mask=mask, return_weights=True)
    chosen = np.where(soft.any(-1), soft.argmax(-1), -1)
    np.testing.assert_array_equal(weights, chosen[..., None] == np.arange(9))
    gathered = np.take_along_axis(X.astype(dtype), np.maximum(chosen, 0)[..., None], 1)
    np.testing.assert_array_equal(y, np.where(chosen[..., None] >= 0, gathered, 0))
    np.testing.assert_array_equal(layer(X, mask=mask), y)
    np.testing.assert_array_equal(seen[""][:, 0], weights)
    np.testing.assert_array_equal(some[""][:, 0], weights[:, [2, 8]])


def test_the_gradient_of_a_choice_is_straight_through() -> None:
    """By its definition: value has the gradient of the choice, all else that of soft weights."""
    query, key = DRAW.standard_normal((2, 1, 7, 5)), DRAW.standard_normal((2, 1, 9, 5))
    value, dout = DRAW.standard_normal((2, 1, 9, 6)), DRAW.standard_normal((2, 1, 7, 6))
    weight, dweights = DRAW.standard_normal(5), DRAW.standard_normal((2, 1, 7, 9))
    options: dict[str, Any] = {"gumbel_temperature": 0.6, "rng": 3, "return_weights": True}
    (out, hard), pullback = hard_additive_vjp(query, key, value, weight, **options)
    (_, soft), of_soft = heedful.additive_attention_vjp(query, key, value, weight, **options)
    np.testing.assert_array_equal(hard, soft.argmax(-1)[..., None] == np.arange(9))
    np.testing.assert_allclose(out, hard @ value)
    found, exact = pullback(dout, dweights=dweights), of_soft(dout, dweights=dweights)
    for name in ("query", "key", "weight"):
        np.testing.assert_array_equal(getattr(found, name), getattr(exact, name))
    np.testing.assert_allclose(found.value, hard.swapaxes(-1, -2) @ dout)


@pytest.mark.parametrize("steered", [0.6, None])
def test_a_layer_that_chooses_has_straight_through_gradients(steered: float | None) -> None:
    """With noise, and without: after the temperature was set to None."""
    layer, twin = additive(gumbel_temperature=0.6, hard=True), additive(gumbel_temperature=0.6)
    layer.gumbel_temperature = twin.gumbel_temperature = steered
    key, value = DRAW.standard_normal((3, 6, 8)), DRAW.standard_normal((3, 6, 4))
    (y, weights), backward = layer.forward(X, key, value, return_weights=True, rng=1)
    dy, dweights = DRAW.standard_normal(y.shape), DRAW.standard_normal(weights.shape)
    dquery, dkey, dvalue = backward(dy, dweights)
    _, of_soft = twin.forward(X, key, value, return_weights=True, rng=1)
    wanted = of_soft(dy, dweights)
    np.testing.assert_array_equal(weights.max(-1), 1)
    np.testing.assert_allclose(y, weights @ value)
    np.testing.assert_allclose(dquery, wanted[0], atol=1e-12)
    np.testing.assert_allclose(dkey, wanted[1], atol=1e-12)
    np.testing.assert_allclose(dvalue, weights.swapaxes(-1, -2) @ dy, atol=1e-12)
    np.testing.assert_allclose(layer.grads["weight"], twin.grads["weight"], atol=1e-12)


@pytest.mark.parametrize("keys", [0, 5])
def test_a_choice_among_no_keys_is_0_and_values_may_be_shared(keys: int) -> None:
    layer = additive(gumbel_temperature=0.5, hard=True)
    key = np.ones((3, keys, 8))
    y, backward = layer.forward(X, key, rng=1)
    assert y.any() == bool(keys)
    assert backward(np.ones_like(y))[1].shape == key.shape
    layer.gumbel_temperature = None
    y, backward = layer.forward(X, key)
    np.testing.assert_array_equal(y, layer(X, key))
    _, dkey = backward(np.ones_like(y))
    np.testing.assert_array_equal(dkey.sum(1), 9 * np.ones((3, 8)) if keys else np.zeros((3, 8)))


# --- noise of relative attention


def test_relative_attention_has_noise_in_training_and_none_in_inference() -> None:
    plain = relative()
    for options in ({"gumbel_temperature": 0.3}, {"key_dropout": 0.4}, {"head_dropout": 0.4}):
        noisy = relative(**options)
        np.testing.assert_array_equal(noisy(X, MEMORY), plain(X, MEMORY))
        first, again, second = (noisy.forward(X, MEMORY, rng=seed)[0] for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - second).max() > 0.01
        assert np.abs(first - plain(X, MEMORY)).max() > 0.01


def test_its_noise_is_that_of_attention_with_its_scores() -> None:
    """Where distances do not matter, and queries have no other bias, as MultiHeadAttention."""
    options = {"gumbel_temperature": 0.7, "key_dropout": 0.2, "head_dropout": 0.3}
    layer = relative(**options)
    layer.content_bias[...] = 0
    layer.distance.weight[...] = 0
    other = L.MultiHeadAttention(8, 2, bias=False, causal=True, dtype=np.float64, **options)
    other.in_proj_weight[...] = np.concatenate([layer.query.weight, layer.key_value.weight])
    other.out_proj.weight[...] = layer.out_proj.weight
    for seed in range(3):
        y, backward = layer.forward(X, rng=seed)
        expected, back = other.forward(X, rng=seed)
        np.testing.assert_allclose(y, expected, atol=1e-12)
        np.testing.assert_allclose(backward(y), back(y), atol=1e-12)


def test_a_relative_choice_is_one_key_in_training_and_inference() -> None:
    layer = relative(gumbel_temperature=0.5, hard=True)
    with watch(layer) as seen:
        y = layer(X, MEMORY)
    weights = seen[""]
    np.testing.assert_allclose(weights.max(-1), 1)
    np.testing.assert_array_equal((weights > 0).sum(-1), 1)
    values = layer.key_value(np.concatenate([MEMORY, X], 1))[..., 8:].reshape(3, 13, 2, 4)
    heads = (weights @ values.swapaxes(1, 2)).swapaxes(1, 2).reshape(3, 9, 8)
    np.testing.assert_allclose(y, layer.out_proj(heads), atol=1e-12)
    _, backward = layer.forward(X, MEMORY, rng=1)
    assert all(gradient.any() for gradient in backward(np.ones_like(y)))


@pytest.mark.parametrize(
    "options", [{"gumbel_temperature": 0.7}, {"key_dropout": 0.3}, {"head_dropout": 0.5},
                {"penalties": {"entropy": [0.3, 0.1], "scores_l2": 0.2, "z": 0.1}}],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("kind", [relative, additive])
def test_gradients_are_those_of_differences(kind: Any, options: dict[str, Any]) -> None:
    if kind is additive:
        if "head_dropout" in options:
            return
        options = {**options, "penalties": {"entropy": 0.3, "scores_l2": 0.2, "z": 0.1}}
    layer = kind(**options)
    names = list(layer.parameters())

    def run(x: Array, memory: Array, *arrays: Array) -> tuple[Any, Callable[..., Any]]:
        for name, array in zip(names, arrays, strict=True):
            layer.parameters()[name][...] = array
        y, backward = layer.forward(x, memory, rng=7)
        penalty = np.array(getattr(layer, "attention_penalty", 0.0) if layer.penalties else 0.0)

        def pullback(dy: Array, dpenalty: Array) -> list[Array]:
            layer.zero_grad()
            gradients = backward(dy / dpenalty)  # a penalty's own factor is 1
            every = [*gradients, *(layer.grads[name] for name in names)]
            return [gradient * dpenalty for gradient in every]

        return (y, penalty), pullback

    arrays = [array.copy() for array in layer.parameters().values()]
    gradcheck(run, X, MEMORY, *arrays, samples=40)


# --- penalties


@pytest.mark.parametrize("kind", KINDS)
def test_penalties_are_those_of_the_scores_that_are_computed(kind: str) -> None:
    for layer, weights in (
        (additive(penalties={kind: 0.3}), 1),
        (relative(penalties={kind: 0.3}), 2),
    ):
        y, _ = layer.forward(X, MEMORY)
        layer.penalties, scores = None, _scores(layer)
        np.testing.assert_array_equal(y, layer(X, MEMORY))
        nothing = np.zeros((3, weights, 9, 1)), np.zeros((3, weights, scores.shape[-1], 1))
        visible = np.isfinite(scores)
        layer.penalties = {kind: 0.3}
        layer.forward(X, MEMORY)
        expected = penalty_of(kind, *nothing, bias=np.where(visible, scores, 0), mask=visible)
        assert layer.attention_penalty == pytest.approx(0.3 * expected, rel=1e-10)


def _scores(layer: Any) -> Array:
    """(B, H, Lq, Lk) of X and MEMORY, −inf where hidden, by the layers' equations."""
    if isinstance(layer, L.AdditiveAttention):
        tanh = np.tanh(layer.query_proj(X)[:, :, None] + layer.key_proj(MEMORY)[:, None])
        return np.asarray(tanh @ layer.weight)[:, None]
    rows = np.concatenate([MEMORY, X], 1)
    q = layer.query(X).reshape(3, 9, 2, 4)
    k = layer.key_value(rows)[..., :8].reshape(3, 13, 2, 4)
    scores = np.full((3, 2, 9, 13), -np.inf)
    for i in range(9):
        for j in range(i + 5):
            distance = i + 4 - j
            angles = distance / 10000 ** (np.arange(0, 8, 2) / 8)
            wave = np.zeros(8)
            wave[0::2], wave[1::2] = np.sin(angles), np.cos(angles)
            r = layer.distance(wave).reshape(2, 4)
            content = ((q[:, i] + layer.content_bias) * k[:, j]).sum(-1)
            place = ((q[:, i] + layer.position_bias) * r).sum(-1)
            scores[:, :, i, j] = (content + place) / 2
    return scores


def test_a_model_passes_its_options_on_and_its_penalty_is_the_sum() -> None:
    options: dict[str, Any] = {"key_dropout": 0.1, "head_dropout": 0.2, "gumbel_temperature": 0.5}
    model = segment_recurrent(**options, hard=True)
    for layer in model.layers:
        assert {name: getattr(layer.self_attn, name) for name in options} == options
        assert layer.self_attn.hard
    tokens = DRAW.integers(0, 11, (2, 7))
    logits, backward = model.forward(tokens, rng=1)
    backward(np.ones_like(logits))
    assert all(np.isfinite(gradient).all() for gradient in model.grads.values())
    model = segment_recurrent(penalties={"entropy": 0.3})
    model.forward(tokens)
    total = 0.0
    with watch(model) as seen:
        model(tokens)
    for weights in seen.weights:
        total += 0.3 * -(weights * np.log(np.where(weights > 0, weights, 1))).sum(-1).mean()
    assert model.attention_penalty == pytest.approx(total, rel=1e-5)
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'top_k'"):
        segment_recurrent(top_k=3)


def test_they_are_shown_and_kept_by_a_pickle() -> None:
    noise = {"key_dropout": 0.25, "gumbel_temperature": 0.5, "hard": True}
    for layer in (additive(**noise), relative(**noise, head_dropout=0.125)):
        assert "gumbel_temperature=0.5, hard=True" in repr(layer)
        again = pickle.loads(pickle.dumps(layer))
        assert repr(again) == repr(layer)
    for penalised in (additive(penalties={"l2": 0.5}), relative(penalties={"l2": 0.5})):
        assert "penalties={'l2': 0.5}" in repr(penalised)
        assert pickle.loads(pickle.dumps(penalised)).penalties == {"l2": 0.5}
    old = relative()
    for name in ("key_dropout", "head_dropout", "gumbel_temperature", "hard", "_penalties"):
        vars(old).pop(name, None)
    y, _ = old.forward(X, rng=1)
    np.testing.assert_array_equal(y, relative()(X))


@pytest.mark.parametrize("make", [additive, relative])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hard": True}, "hard must be False without a gumbel_temperature: got True"),
        ({"key_dropout": 1.0}, "key_dropout must lie in "),
        ({"gumbel_temperature": 0.0}, "gumbel_temperature must be finite and above 0"),
        ({"penalties": {"l1": 1.0}}, "penalties must not be 'l1'"),
        ({"penalties": {"l2": [0.1, 0.2, 0.3]}}, r"penalties\['l2'\] must be a number or have"),
        ({"penalties": {"l2": 0.1}, "gumbel_temperature": 1.0, "hard": True},
         "penalties must be None with hard"),
    ],
)  # fmt: skip
def test_what_has_no_meaning_is_refused(make: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_a_sink_goes_with_neither_choices_nor_penalties() -> None:
    with pytest.raises(ValueError, match="hard must be False with sink=True"):
        additive(sink=True, hard=True, gumbel_temperature=1.0)
    with pytest.raises(ValueError, match="penalties must be None with sink"):
        additive(sink=True, penalties={"l2": 0.1})
