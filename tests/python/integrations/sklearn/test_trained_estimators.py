"""Estimators of attention to features and to steps: what they find, and where they looked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

from sklearn.linear_model import LogisticRegression

from heedful.integrations.sklearn import (
    FeatureAttentionClassifier,
    FeatureAttentionRegressor,
    TransformerClassifier,
    TransformerRegressor,
)

pytestmark = pytest.mark.once

Array = NDArray[Any]
SMALL = {"num_layers": 2, "d_model": 8, "num_heads": 2, "dff": 8, "random_state": 0}


def test_the_features_that_decide_are_important(rng: np.random.Generator) -> None:
    x = rng.standard_normal((300, 6)) * [1, 1e-3, 1, 1e3, 1, 1] + 50  # whatever their units
    y = np.where((x[:, 1] - 50) / 1e-3 + (x[:, 3] - 50) / 1e3 > 0, "yes", "no")
    model = FeatureAttentionClassifier(max_iter=15, random_state=0).fit(x[:200], y[:200])
    assert model.score(x[200:], y[200:]) > 0.85
    assert set(model.feature_importances_.argsort()[-2:]) == {1, 3}
    assert model.feature_importances_.sum() == pytest.approx(1)
    weights = model.attention_weights(x)
    assert weights.shape == (300, 6)
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_several_targets_of_different_units_are_learned(rng: np.random.Generator) -> None:
    x = rng.standard_normal((200, 4))
    y = np.stack([1e4 * x[:, 0] + 7e5, 1e-3 * x[:, 2]], axis=1)
    model = FeatureAttentionRegressor(max_iter=25, random_state=0).fit(x, y)
    assert model.predict(x[:3]).shape == (3, 2)
    assert model.score(x, y) > 0.8
    assert set(model.feature_importances_.argsort()[-2:]) == {0, 2}


def test_training_stops_where_other_examples_improve_no_more(rng: np.random.Generator) -> None:
    x, y = rng.standard_normal((100, 3)), rng.integers(0, 2, 100)  # nothing to learn
    options = {"max_iter": 60, "early_stopping": True, "n_iter_no_change": 2, "random_state": 0}
    model = FeatureAttentionClassifier(**options).fit(x, y)
    assert model.n_iter_ == len(model.loss_curve_) < 40
    again = FeatureAttentionClassifier(**options).fit(x, y)
    np.testing.assert_array_equal(model.predict_proba(x), again.predict_proba(x))


def test_steps_are_compared_wherever_they_are(rng: np.random.Generator) -> None:
    """Whether a spike is like the first step, which no linear function of the steps tells."""
    x = rng.standard_normal((600, 12)).astype(np.float32) / 4
    first, spike = rng.choice([-3, 3], (2, 600))
    x[:, 0] += first
    x[np.arange(600), rng.integers(1, 12, 600)] += spike
    y = first == spike
    model = TransformerClassifier(max_iter=15, num_layers=1, random_state=0)
    assert model.fit(x[:450], y[:450]).score(x[450:], y[450:]) > 0.9
    assert LogisticRegression().fit(x[:450], y[:450]).score(x[450:], y[450:]) < 0.65
    assert model.predict_proba(x).dtype == np.float32


@pytest.mark.parametrize("causal", [False, True])
def test_sequences_of_three_axes_are_rows_step_after_step(
    causal: bool, rng: np.random.Generator
) -> None:
    x = rng.standard_normal((30, 5, 3)).astype(np.float32)
    y = x[:, 2, 1]
    options = {**SMALL, "max_iter": 2, "causal": causal}
    three = TransformerRegressor(**options).fit(x, y)
    two = TransformerRegressor(3, **options).fit(x.reshape(30, 15), y)
    np.testing.assert_array_equal(three.predict(x), two.predict(x.reshape(30, 15)))
    np.testing.assert_array_equal(three.predict(x.reshape(30, 15)), two.predict(x))
    weights = three.attention_weights(x[:4])
    assert weights.shape == (4, 2, 2, 5, 5)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, rtol=1e-5)
    assert bool((np.triu(weights[0, 0, 0], 1) == 0).all()) is causal


def test_attention_weights_are_those_of_the_prediction(rng: np.random.Generator) -> None:
    """The encoder written down, with these weights, predicts what the model predicts."""
    x = rng.standard_normal((20, 4))
    model = TransformerRegressor(**{**SMALL, "num_layers": 1, "max_iter": 1}).fit(x, x[:, 0])
    weights = model.attention_weights(x)[:, 0]  # (n, H, L, L)
    scaled = (x - x.mean()) / x.std()
    project, positions, encoder, pooling, last = model.model_.inner
    layer = encoder.layers[0]
    h = positions(project(scaled[..., None]))
    attention = layer.self_attn
    value = layer.norm1(h) @ attention.in_proj_weight[16:].T + attention.in_proj_bias[16:]
    heads = value.reshape(20, 4, 2, 4).swapaxes(1, 2)  # (n, H, L, D)
    h = h + attention.out_proj((weights @ heads).swapaxes(1, 2).reshape(20, 4, 8))
    h = h + layer.linear2(np.maximum(layer.linear1(layer.norm2(h)), 0))
    outputs = last(pooling(encoder.norm(h)))[:, 0]
    np.testing.assert_allclose(model.predict(x), outputs * x[:, 0].std() + x[:, 0].mean())


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (TransformerRegressor(4), "n_features_per_step must divide the number of features, 6: got"),
        (TransformerRegressor(0), "n_features_per_step must be at least 1"),
        (TransformerRegressor(max_iter=0), "max_iter must be at least 1"),
        (TransformerRegressor(d_model=9), "num_heads must divide d_model"),
        (TransformerRegressor(dropout=2.0), "dropout must lie between 0 and 1"),
        (FeatureAttentionRegressor(hidden_units=0), "hidden_units must be at least 1"),
        (FeatureAttentionRegressor(alpha=-1.0), "alpha must"),
        (FeatureAttentionRegressor(score_alpha=-1.0), "score_alpha must"),
        (FeatureAttentionRegressor(learning_rate=0.0), "learning_rate must be finite and above 0"),
        (FeatureAttentionRegressor(early_stopping=True, validation_fraction=1.0), "validation_fr"),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_refused(estimator: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimator.fit(np.ones((10, 6)), np.arange(10.0))


def test_steps_of_another_width_are_refused(rng: np.random.Generator) -> None:
    x = rng.standard_normal((10, 2, 3))
    model = TransformerRegressor(**SMALL, max_iter=1).fit(x, x[:, 0, 0])
    with pytest.raises(ValueError, match="X must have 3 features in each step, as in fit: got 2"):
        model.predict(x.reshape(10, 3, 2))
