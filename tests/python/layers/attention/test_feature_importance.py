"""FeatureAttention.importance, against differences, scikit-learn and features known to matter."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
from layer_cases import CASES, LayerCase

from heedful.layers import (
    Dense,
    Dropout,
    FeatureAttention,
    FeatureImportance,
    GlobalAveragePooling,
    Layer,
    LayerNorm,
    Sequential,
)
from heedful.layers.attention._feature_importance import without_dropout
from heedful.training import L2, Adam


def network(features: int, *after: Layer, dtype: Any = np.float64) -> tuple[Any, Sequential]:
    attention = FeatureAttention(features, dtype=dtype, rng=0)
    return attention, Sequential(attention, *after)


def two_outputs(rate: float = 0.3) -> tuple[Any, Sequential]:
    after = Dense(11, activation="tanh", dtype=np.float64, rng=1), Dropout(rate, dtype=np.float64)
    return network(5, *after, Dense(2, dtype=np.float64, rng=2))


def differences(model: Layer, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """|x ∘ ∂output/∂x|, mean over outputs and positions, by central differences: (F, N)."""
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape[1:]):
        moved = np.zeros(x.shape)
        moved[(slice(None), *place)] = step
        rise = (model(x + moved) - model(x - moved)) / (2 * step)
        found[(slice(None), *place)] = np.abs(rise.reshape(len(x), -1)).mean(1)
    return (found * np.abs(x)).reshape(len(x), -1, x.shape[-1]).mean(1).T


@pytest.mark.parametrize("batch_size", [1, 3, 7, 256])
def test_gradient_importance_is_that_of_differences(
    batch_size: int, rng: np.random.Generator
) -> None:
    attention, model = two_outputs()
    x = rng.standard_normal((7, 5))
    found = attention.importance(model, x, batch_size=batch_size)
    expected = differences(model, x)
    assert found.importances.shape == (5, 7)
    np.testing.assert_allclose(found.importances, expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(found.importances_mean, expected.mean(1), rtol=1e-6)
    np.testing.assert_allclose(found.importances_std, expected.std(1), rtol=1e-6)


def test_a_feature_of_a_sequence_is_the_same_at_all_positions(rng: np.random.Generator) -> None:
    after = LayerNorm(5, dtype=np.float64), GlobalAveragePooling(dtype=np.float64)
    attention, model = network(5, *after, Dense(3, dtype=np.float64, rng=1))
    x = rng.standard_normal((7, 4, 5))
    found = attention.importance(model, x)
    np.testing.assert_allclose(found.importances, differences(model, x), rtol=1e-6, atol=1e-9)
    permuted = attention.importance(
        model, x, model(x), kind="permutation", rng=2,
        metric=lambda y, found: -np.mean((y - found) ** 2),
    )  # fmt: skip
    assert (permuted.importances > 0).all()


@pytest.mark.slow
def test_permutation_importance_is_that_of_scikit_learn(rng: np.random.Generator) -> None:
    inspection = pytest.importorskip("sklearn.inspection")
    from sklearn import base, metrics

    attention, model = two_outputs()
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    x = rng.standard_normal((211, 5))
    y = (x[:, 0] + 0.5 * x[:, 3] > 0).astype(int)
    model.fit(x, y, epochs=20, verbose=False, rng=0)

    class Wrapper(base.BaseEstimator):
        def fit(self, x: Any, y: Any) -> None: ...

        def predict(self, x: Any) -> Any:
            return model(x).argmax(1)

    expected = inspection.permutation_importance(
        Wrapper(), x, y, scoring=metrics.make_scorer(metrics.accuracy_score), n_repeats=41,
        random_state=0,
    )  # fmt: skip
    by_name = attention.importance(
        model, x, y, kind="permutation", metric="accuracy", n_repeats=41, rng=0
    )
    by_function = attention.importance(
        model, x, y, kind="permutation", n_repeats=41, rng=0,
        metric=lambda y, logits: metrics.accuracy_score(y, logits.argmax(1)),
    )  # fmt: skip
    assert by_name.importances.shape == expected.importances.shape
    np.testing.assert_allclose(by_name.importances, by_function.importances, atol=1e-12)
    error = 4 * (by_name.importances_std + expected.importances_std + 1e-9) / np.sqrt(41)
    assert (np.abs(by_name.importances_mean - expected.importances_mean) <= error).all()
    assert set(by_name.importances_mean.argsort()[-2:]) == {0, 3}


def test_without_a_metric_it_is_the_loss_that_rises(rng: np.random.Generator) -> None:
    """For y = Σ w_f x_f it rises by 2 w_f² var(x_f) · N/(N−1) · (N−1)/N, the mean over orders."""

    class Weighted(Layer):
        def __init__(self) -> None:
            self.attention = FeatureAttention(3, dtype=np.float64, rng=0)

        def compute(self, mode: Any, x: Any) -> Any:
            return x @ np.array([[2.0], [1.0], [0.0]]), lambda dy: dy @ np.array([[2.0, 1.0, 0.0]])

    model = Weighted()
    model.compile("sgd", "mse")
    x = rng.standard_normal((101, 3))
    y = model(x)
    found = model.attention.importance(model, x, y, kind="permutation", n_repeats=97, rng=0)
    expected = 2 * np.array([4.0, 1.0, 0.0]) * x.var(0)
    error = 4 * found.importances_std / np.sqrt(97)
    assert (np.abs(found.importances_mean - expected) <= error + 1e-12).all()
    mae = model.attention.importance(model, x, y, kind="permutation", metric="mae", rng=0)
    assert mae.importances_mean[0] > mae.importances_mean[1] > 0
    assert (mae.importances[2] == 0).all()


def test_it_finds_the_five_of_thirty_features_that_matter() -> None:
    rng = np.random.default_rng(0)
    x, decide = rng.standard_normal((800, 30)), rng.choice(30, 5, replace=False)
    y = (x[:, decide] @ np.array([1, -1, 1, -1, 1]) > 0).astype(int)
    attention = FeatureAttention(30, rng=rng)
    hidden = Dense(64, activation="relu", kernel_regularizer=L2(1e-3), rng=rng)
    model = Sequential(attention, hidden, Dense(1, activation="sigmoid", rng=rng))
    model.compile(Adam(lr=3e-3), "binary_crossentropy")
    model.fit(x[:400], y[:400], epochs=30, verbose=False, rng=rng)
    for kind in ("gradient", "permutation"):
        found = attention.importance(model, x[400:], y[400:], kind=kind, rng=0)
        assert set(found.importances_mean.argsort()[-5:]) == set(decide), kind


@pytest.mark.parametrize("kind", ["gradient", "permutation"])
def test_it_changes_nothing(kind: str, rng: np.random.Generator) -> None:
    attention, model = two_outputs()
    model.compile("adam", "mse")
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((7, 2))
    model.fit(x, y, verbose=False, rng=0)
    x.setflags(write=False)
    before, grads = model.state_dict(), copy.deepcopy(model.grads)
    one = attention.importance(model, x, y, kind=kind, rng=5)
    other = attention.importance(model, x, y, kind=kind, rng=5)
    assert isinstance(one, FeatureImportance)
    for first, second in zip(one, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert first.dtype == np.float64
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])
        np.testing.assert_array_equal(model.grads[name], grads[name])
    assert model.trainable
    assert model[2].rate == 0.3


@pytest.mark.parametrize("case", [case for case in CASES if case.drops], ids=lambda case: case.name)
def test_nothing_is_dropped_out_in_any_layer(case: LayerCase, rng: np.random.Generator) -> None:
    layer, inputs = case.make(np.float64, 0), case.inputs(rng)
    layer(*inputs, **case.options)
    y, _ = without_dropout(layer).forward(*inputs, rng=0, **case.options)
    expected = layer(*inputs, **case.options)
    np.testing.assert_allclose(np.asarray(y), np.asarray(expected), rtol=1e-9, atol=1e-12)


def test_an_attribute_of_the_users_own_layer_stays(rng: np.random.Generator) -> None:
    class Scaled(Layer):
        def __init__(self) -> None:
            self.rate = 3.0

        def compute(self, mode: Any, x: Any) -> Any:
            return x * self.rate, lambda dy: dy * self.rate

    attention, model = network(5, Scaled())
    x = rng.standard_normal((7, 5))
    found = attention.importance(model, x).importances
    np.testing.assert_allclose(found, differences(model, x), rtol=1e-6, atol=1e-9)


def test_invalid_arguments_are_refused_in_a_sentence(rng: np.random.Generator) -> None:
    attention, model = two_outputs()
    x, y = rng.standard_normal((7, 5)), rng.standard_normal((7, 2))
    with pytest.raises(TypeError, match=r"model must be a layer, importance\(model, x\)"):
        attention.importance(x, y)
    with pytest.raises(ValueError, match="model must contain this layer"):
        FeatureAttention(5).importance(model, x)
    for wrong in (x[:, :4], x[0], x[:0]):
        with pytest.raises(ValueError, match=r"x must have shape \(N, …, 5\)"):
            attention.importance(model, wrong)
    with pytest.raises(ValueError, match="kind must be 'gradient' or 'permutation'"):
        attention.importance(model, x, kind="weights")
    with pytest.raises(ValueError, match="y must be given for kind='permutation'"):
        attention.importance(model, x, kind="permutation")
    with pytest.raises(RuntimeError, match="not compiled"):
        attention.importance(model, x, y, kind="permutation")
    with pytest.raises(ValueError, match=r"^metric must be 'accuracy', "):
        attention.importance(model, x, y, kind="permutation", metric="kappa")
    with pytest.raises(ValueError, match="n_repeats must be at least 1"):
        attention.importance(model, x, y, kind="permutation", metric="mae", n_repeats=0)
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        attention.importance(model, x, batch_size=0)


def test_a_model_needs_one_output_array_and_a_gradient_of_x(rng: np.random.Generator) -> None:
    class Ended(Layer):
        def __init__(self, y: Any) -> None:
            self.attention, self.y = FeatureAttention(5, rng=0), y

        def compute(self, mode: Any, x: Any) -> Any:
            return self.y, lambda *dy: None

    x = rng.standard_normal((7, 5))
    for y, message in (((x, x), "return outputs"), (x[:3], "return outputs"), (x, "gradient of x")):
        model = Ended(y)
        with pytest.raises(TypeError, match=message):
            model.attention.importance(model, x)
