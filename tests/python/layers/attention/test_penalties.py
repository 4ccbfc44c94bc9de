"""Penalties of attention in layers, models and training."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from penalty_reference import value

from heedful import layers as L
from heedful import training
from heedful.pruning import prune_heads
from heedful.testing import gradcheck

Array = NDArray[Any]
X = np.random.default_rng(5).standard_normal((3, 17, 8))
PENALTIES = {"entropy": [0.3, 0.1], "z": 0.05, "l2": 0.2}
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


def heads_of(layer: L.MultiHeadAttention, x: Array) -> tuple[Array, Array]:
    projected = x @ layer.in_proj_weight.T + layer.in_proj_bias
    query, key, _ = np.split(projected.reshape(*x.shape[:2], 6, 4).swapaxes(1, 2), 3, axis=1)
    return query, key


@pytest.mark.parametrize("kind", ["l2", "entropy", "negative_entropy", "scores_l1", "scores_l2",
                                  "z"])  # fmt: skip
def test_the_penalty_is_that_of_the_heads(kind: str) -> None:
    layer = attention(penalties={kind: 0.3})
    y, _ = layer.forward(X, kv_lengths=[17, 5, 0])
    np.testing.assert_array_equal(y, attention()(X, kv_lengths=[17, 5, 0]))
    expected = 0.3 * value(kind, *heads_of(layer, X), kv_lengths=[17, 5, 0])
    assert layer.attention_penalty == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("kind", ["l2", "entropy", "negative_entropy", "scores_l1", "scores_l2",
                                  "z"])  # fmt: skip
def test_that_of_weights_of_features_is_the_same(kind: str) -> None:
    layer = L.FeatureAttention(8, penalties={kind: 0.3}, dtype=np.float64, rng=0)
    layer.forward(X)
    scores = layer.scores(X)  # (3, 17, 8): rows of scores are queries, unit vectors are keys
    expected = 0.3 * value(kind, scores, np.broadcast_to(np.eye(8), (3, 8, 8)), scale=1.0)
    assert layer.attention_penalty == pytest.approx(expected, rel=1e-12)


def test_features_are_drawn_toward_a_target() -> None:
    """Σ t (log t − log a) and its gradient, beside another penalty; and a training that follows."""
    given = np.array([0, 3.0, 1, 0, 2, 0, 0, 4])
    penalties = {"target": 0.3, "l2": 0.1}
    layer = L.FeatureAttention(8, penalties=penalties, target=given, dtype=np.float64, rng=0)
    scores = layer.scores(X)
    eye, target = np.broadcast_to(np.eye(8), (3, 8, 8)), np.broadcast_to(given / 10, (3, 17, 8))
    expected = 0.3 * value("target", scores, eye, target, scale=1.0)
    expected += 0.1 * value("l2", scores, eye, scale=1.0)
    layer.forward(X)
    assert layer.attention_penalty == pytest.approx(expected, rel=1e-12)

    def penalty(weight: Array) -> tuple[Array, Callable[[Any], list[Array]]]:
        layer.scores.weight[...] = weight
        y, backward = layer.forward(X)

        def pullback(dpenalty: Any) -> list[Array]:
            layer.zero_grad()
            backward(np.zeros_like(y))
            return [layer.grads["scores.weight"] * dpenalty]

        return np.array(layer.attention_penalty), pullback

    gradcheck(penalty, layer.scores.weight.copy())
    net = L.Sequential(
        L.FeatureAttention(8, penalties={"target": 1.0}, target=given, rng=0), L.Linear(8, 1, rng=0)
    )
    net.compile(training.Adam(lr=0.05), "mse")
    net.fit(X[:, 0], X[:, 0, :1], epochs=200, verbose=False, rng=0)
    _, weights = net[0](X[:, 0], return_weights=True)
    np.testing.assert_allclose(weights.mean(0), given / 10, atol=0.1)
    for options, message in (
        ({"penalties": {"target": 1.0}}, "target must be given with penalties"),
        ({"target": np.ones(7)}, r"target must have shape \(8,\): got \(7,\)"),
        ({"target": -given}, "target must be finite, not negative, and not 0 everywhere"),
    ):
        with pytest.raises(ValueError, match=message):
            L.FeatureAttention(8, **options)


def test_a_target_that_is_set_later_is_that_of_a_layer_made_with_it() -> None:
    given = [0, 3, 1, 0, 2, 0, 0, 4]
    penalties = {"target": 0.3}
    layer = L.FeatureAttention(8, dtype=np.float64, rng=0)
    with pytest.raises(ValueError, match="target must be given with penalties"):
        layer.penalties = penalties
    layer.target, layer.penalties = given, penalties
    made = L.FeatureAttention(8, penalties=penalties, target=given, dtype=np.float64, rng=0)
    for one in (layer, made):
        one.forward(X)
    assert layer.attention_penalty == made.attention_penalty > 0
    with pytest.raises(ValueError, match=r"target must have shape \(8,\): got \(7,\)"):
        layer.target = np.ones(7)
    with pytest.raises(ValueError, match="target must be given with penalties"):
        layer.target = None
    layer.penalties = layer.target = None
    layer.forward(X)


def test_a_score_penalty_is_on_the_parameters_of_the_scores() -> None:
    layer = L.FeatureAttention(8, score_penalty=0.2, dtype=np.float64, rng=0)
    regularizer = layer.scores.parameter("weight").regularizer
    weight = layer.scores.weight
    assert regularizer is not None
    assert regularizer.penalty(weight) == pytest.approx(0.2 * (weight**2).sum())
    assert L.FeatureAttention(8).scores.parameter("weight").regularizer is None
    with pytest.raises(ValueError, match="score_penalty must not be negative: got -1"):
        L.FeatureAttention(8, score_penalty=-1)


def test_that_of_a_model_is_the_sum_over_its_layers_also_of_shared_ones() -> None:
    shared = attention(penalties={"entropy": [0.3, 0.0]})
    twice = L.Sequential(shared, shared)
    twice.forward(X)
    y, _ = shared.forward(X)
    first = shared.attention_penalty
    shared.forward(y)
    assert twice.attention_penalty == pytest.approx(first + shared.attention_penalty, rel=1e-12)
    shared.penalties = None
    twice.forward(X)
    assert twice.attention_penalty == 0


def test_each_head_has_its_own_weight() -> None:
    both, first, second = (attention(penalties={"l2": w}) for w in (0.4, [0.4, 0], [0, 0.4]))
    for layer in (both, first, second):
        layer.forward(X)
    assert both.attention_penalty == pytest.approx(
        first.attention_penalty + second.attention_penalty, rel=1e-12
    )
    assert first.attention_penalty != second.attention_penalty


def test_gradients_of_a_whole_model_are_those_of_loss_and_penalty(rng: Any) -> None:
    model = L.LanguageModel(9, 8, 2, 2, 16, rate=0.0, penalties=PENALTIES, dtype=np.float64, rng=0)
    model.embedding.weight *= 30  # initial scores are nearly 0
    tokens, target = rng.integers(0, 9, (2, 3, 7))
    loss_fn = training.SparseCategoricalCrossEntropy()
    names = list(model.parameters())

    def loss(*arrays: Array) -> tuple[Array, Callable[[Any], list[Array]]]:
        for own, array in zip(model.parameters().values(), arrays, strict=True):
            own[...] = array
        logits, backward = model.forward(tokens, rng=1)
        value, dlogits = loss_fn(target, logits)

        def pullback(dloss: Any) -> list[Array]:
            model.zero_grad()
            backward(dlogits)
            return [dloss * model.grads[name] for name in names]

        return np.asarray(value + model.attention_penalty), pullback

    points = [own.copy() for own in model.parameters().values()]
    assert gradcheck(loss, *points, samples=25, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("make", MODELS)
def test_models_pass_penalties_on_to_every_attention(make: Callable[..., Any]) -> None:
    inside = [layer for _, layer in make(penalties=PENALTIES).named_layers()
              if isinstance(layer, L.MultiHeadAttention)]  # fmt: skip
    assert inside
    for layer in inside:
        assert set(layer.penalties) == set(PENALTIES)
        assert layer.penalties["z"] == 0.05


def test_fit_adds_the_penalty_to_the_loss_and_shows_it() -> None:
    def fitted(penalties: Any, **options: Any) -> Any:
        model = L.Sequential(attention(penalties=penalties), L.Linear(8, 1, rng=0))
        model.compile(optimizer=training.SGD(model, lr=0.0), loss="mse")
        return model, model.fit(X, X[..., :1], epochs=2, verbose=0, rng=0, **options)

    _, plain = fitted(None)
    model, history = fitted(PENALTIES, validation_data=(X, X[..., :1]))
    assert "penalty" not in plain.history
    model.forward(X)
    for loss, penalty, without, val in zip(
        history["loss"], history["penalty"], plain["loss"], history["val_loss"], strict=True
    ):
        assert penalty == pytest.approx(model.attention_penalty, rel=1e-6)
        assert loss == pytest.approx(without + penalty, rel=1e-6)
        assert val == pytest.approx(without, rel=1e-6)  # inference has no penalty


def test_a_callback_may_watch_the_penalty() -> None:
    model = L.Sequential(attention(penalties={"l2": 1.0}), L.Linear(8, 1, rng=0))
    model.compile(loss="mse")
    stop = training.EarlyStopping(monitor="penalty", mode="min", patience=1)
    model.fit(X, X[..., :1], epochs=2, verbose=0, callbacks=[stop])
    plain = L.Sequential(attention(), L.Linear(8, 1, rng=0))
    plain.compile(loss="mse")
    with pytest.raises(ValueError, match="penalty"):
        plain.fit(X, X[..., :1], epochs=2, verbose=0,
                  callbacks=[training.EarlyStopping(monitor="penalty", mode="min")])  # fmt: skip


def test_entropy_as_a_penalty_makes_weights_sharper_and_negative_entropy_more_even() -> None:
    found = {}
    for kind in ("entropy", "negative_entropy"):
        layer = attention(penalties={kind: 1.0})
        optimizer = training.Adam(layer, lr=0.02)
        for _ in range(60):
            y, backward = layer.forward(X)
            layer.zero_grad()
            backward(np.zeros_like(y))
            optimizer.step()
        _, weights = layer(X, return_weights=True)
        found[kind] = -(weights * np.log(weights)).sum(-1).mean()
    assert found["entropy"] < 0.5
    assert found["negative_entropy"] > 0.99 * np.log(17)


def test_pruned_heads_take_their_weights_along() -> None:
    layer = attention(penalties={"l2": [0.1, 0.7], "z": 0.2})
    pruned = prune_heads(L.Sequential(layer), {"0": [0]})
    (kept,) = (one for _, one in pruned.named_layers() if isinstance(one, L.MultiHeadAttention))
    assert kept.penalties["l2"].tolist() == [0.7]
    kept.forward(X)


def test_a_layer_shows_its_penalties_and_is_pickled_with_them() -> None:
    layer = attention(penalties=PENALTIES)
    assert "penalties={'entropy': [0.3, 0.1], 'z': 0.05, 'l2': 0.2}" in repr(layer)
    copy = pickle.loads(pickle.dumps(layer))
    copy.forward(X)
    layer.forward(X)
    assert copy.attention_penalty == layer.attention_penalty != 0
    assert "penalties" not in repr(attention())


@pytest.mark.parametrize(("options", "message"), [
    ({"top_k": 3}, "penalties must be None with top_k"),
    ({"sink": True}, "penalties must be None with sink"),
    ({"hard": True, "gumbel_temperature": 0.5}, "penalties must be None with hard"),
])  # fmt: skip
def test_penalties_beside_what_they_have_no_meaning_with_are_refused(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=rf"\A{message}: they are of the weights of all"):
        attention(penalties=PENALTIES, **options)
    layer = attention(**options)
    with pytest.raises(ValueError, match=message):
        layer.penalties = PENALTIES
    assert layer.penalties == {}


def test_a_mixer_without_scores_refuses_penalties() -> None:
    with pytest.raises(ValueError, match="penalties must be None with mixer='linear'"):
        L.EncoderLayer(8, 2, 16, mixer="linear", penalties=PENALTIES)
