"""Attention over training examples, against loops over pairs of them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("sklearn")

from sklearn.base import clone

from heedful.integrations.sklearn import AttentionClassifier, AttentionRegressor
from heedful.integrations.sklearn._bandwidth import LeaveOneOut
from heedful.integrations.sklearn._distinct_rows import DistinctRows

pytestmark = pytest.mark.once

Array = NDArray[Any]


def kernel_mean(
    query: Array, x: Array, y: Array, weights: Array, bandwidth: Any, without: int = -1
) -> Array:
    """Σ_j w_j k(query, x_j) y_j / Σ_j w_j k(query, x_j), one pair after another."""
    kernels = np.zeros(len(x))
    for j, row in enumerate(x):
        distance = float((((query - row) / bandwidth) ** 2).sum())
        kernels[j] = 0.0 if j == without else weights[j] * math.exp(-distance / 2)
    return kernels @ y / kernels.sum()


def left_out_error(x: Array, y: Array, weights: Array, bandwidth: Any) -> float:
    """1 − R² of each example predicted by the others, for examples that all differ."""
    share = weights / weights.sum()
    predicted = [kernel_mean(row, x, y, weights, bandwidth, without=i) for i, row in enumerate(x)]
    variance = share @ (y - share @ y) ** 2
    return float((share @ (np.array(predicted) - y) ** 2 / variance).mean())


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """x (41, 3) far from 0, y (41, 2), weights (41,)."""
    x = rng.standard_normal((41, 3)) + 100
    y = np.stack([np.sin(x[:, 0] - 100), 1000 * x[:, 1]], axis=1)
    return x, y + 0.1 * rng.standard_normal((41, 2)), rng.uniform(0.5, 3, 41)


@pytest.mark.parametrize("bandwidth", [0.7, (0.5, 2.0, 1.0)])
def test_a_prediction_is_the_kernel_mean(data: Any, bandwidth: Any) -> None:
    x, y, weights = data
    model = AttentionRegressor(bandwidth).fit(x, y, weights)
    queries = x[:7] + 0.3
    expected = [kernel_mean(row, x, y, weights, np.asarray(bandwidth)) for row in queries]
    np.testing.assert_allclose(model.predict(queries), expected, rtol=1e-10)
    np.testing.assert_allclose(model.attention_weights(queries) @ y, expected, rtol=1e-10)
    assert model.leave_one_out_error_ == pytest.approx(
        left_out_error(x, y, weights, np.asarray(bandwidth)), rel=1e-10
    )


def test_probabilities_are_the_kernel_means_of_the_classes(data: Any) -> None:
    x, _, weights = data
    y = np.array(["b", "a", "c"])[np.arange(41) % 3]
    model = AttentionClassifier(0.9).fit(x, y, weights)
    assert model.classes_.tolist() == ["a", "b", "c"]
    one_hot = (y[:, None] == model.classes_).astype(float)
    expected = [kernel_mean(row, x, one_hot, weights, 0.9) for row in x]
    np.testing.assert_allclose(model.predict_proba(x), expected, rtol=1e-10)
    np.testing.assert_array_equal(model.predict(x), model.classes_[np.argmax(expected, axis=1)])


def test_the_bandwidth_is_that_of_the_smallest_error(data: Any) -> None:
    x, y, weights = data
    model = AttentionRegressor().fit(x, y, weights)
    grid = 2.0 ** np.linspace(-4, 4, 25)
    errors = [left_out_error(x, y, weights, bandwidth) for bandwidth in grid]
    assert model.leave_one_out_error_ <= min(errors) + 1e-4
    assert model.bandwidth_ == pytest.approx(grid[np.argmin(errors)], rel=0.2)


def test_the_gradient_is_that_of_finite_differences(data: Any) -> None:
    x, y, weights = data
    error = LeaveOneOut(DistinctRows.of(x, y, weights), 30, np.random.RandomState(3))
    place = np.log([0.5, 2.0, 1.0])
    value, gradient = error.with_gradient(place)
    assert value == error(np.exp(place))
    for feature in range(3):
        step = 1e-5 * np.eye(3)[feature]
        slope = (error(np.exp(place + step)) - error(np.exp(place - step))) / 2e-5
        assert gradient[feature] == pytest.approx(slope, rel=1e-6)


def test_a_bandwidth_for_each_feature_tells_which_do_not_matter(
    rng: np.random.Generator,
) -> None:
    x = rng.uniform(-1, 1, (300, 5))
    y = np.sin(3 * x[:, 1]) + x[:, 3] ** 2
    common, each = (
        AttentionRegressor(per_feature=per_feature, max_iter=15).fit(x[:200], y[:200])
        for per_feature in (False, True)
    )
    assert set(np.argsort(each.bandwidth_)[:2]) == {1, 3}
    assert each.bandwidth_[[0, 2, 4]].min() > 2 * each.bandwidth_[[1, 3]].max()
    assert each.score(x[200:], y[200:]) > common.score(x[200:], y[200:]) + 0.1


@pytest.mark.parametrize("kind", [AttentionRegressor, AttentionClassifier])
def test_a_weight_of_two_is_the_example_twice(kind: Any, rng: np.random.Generator) -> None:
    x, weights = rng.standard_normal((40, 2)), rng.integers(0, 4, 40)
    y = (x[:, 0] > 0.3 * rng.standard_normal(40)).astype(int)
    weighted = kind().fit(x, y, weights)
    repeated = kind().fit(x.repeat(weights, axis=0), y.repeat(weights))
    assert weighted.bandwidth_ == pytest.approx(repeated.bandwidth_, rel=1e-9)
    assert weighted.leave_one_out_error_ == pytest.approx(repeated.leave_one_out_error_, rel=1e-9)
    np.testing.assert_allclose(
        weighted.attention_weights(x),
        np.add.reduceat(
            np.pad(repeated.attention_weights(x), ((0, 0), (0, 1))),
            np.concatenate([[0], np.cumsum(weights)])[:-1], axis=1,
        ) * (weights > 0),
        rtol=1e-8, atol=1e-12,
    )  # fmt: skip


@pytest.mark.parametrize("per_feature", [False, True])
def test_the_order_of_the_examples_does_not_matter(per_feature: bool, data: Any) -> None:
    x, y, weights = data
    order = np.random.default_rng(3).permutation(len(x))
    model = AttentionRegressor(per_feature=per_feature).fit(x, y, weights)
    again = AttentionRegressor(per_feature=per_feature).fit(x[order], y[order], weights[order])
    np.testing.assert_array_equal(model.bandwidth_, again.bandwidth_)
    np.testing.assert_array_equal(model.predict(x), again.predict(x))
    np.testing.assert_array_equal(model.attention_weights(x)[:, order], again.attention_weights(x))


def test_equal_examples_are_left_out_together(rng: np.random.Generator) -> None:
    """Otherwise each would be predicted by its copy, and the bandwidth be 0."""
    x = rng.standard_normal((30, 1))
    y = x[:, 0] + rng.standard_normal(30)
    once = AttentionRegressor().fit(x, y)
    twice = AttentionRegressor().fit(np.concatenate([x, x]), np.concatenate([y, y]))
    assert twice.bandwidth_ == pytest.approx(once.bandwidth_, rel=1e-9)
    assert once.bandwidth_ > 0.1


def test_targets_of_equal_examples_that_differ_are_part_of_the_error() -> None:
    x, y = np.array([[0.0], [0.0], [1.0], [1.0]]), np.array([0.0, 2.0, 0.0, 2.0])
    model = AttentionRegressor(1.0).fit(x, y)
    assert model.leave_one_out_error_ == pytest.approx(1.0)  # each is predicted to be 1
    np.testing.assert_allclose(model.predict(x), 1.0)


def test_far_from_all_examples_the_nearest_decides() -> None:
    x = np.array([[0.0], [1.0], [2.0]])
    model = AttentionRegressor(0.1).fit(x, [5.0, 6.0, 7.0])
    np.testing.assert_allclose(model.predict([[1e9], [-1e9]]), [7.0, 5.0])


def test_some_of_many_examples_are_left_out(rng: np.random.Generator) -> None:
    x = rng.standard_normal((400, 2))
    y = x[:, 0] + 0.1 * rng.standard_normal(400)
    whole, some = (
        AttentionRegressor(loo_samples=count, random_state=0).fit(x, y) for count in (400, 100)
    )
    assert some.bandwidth_ == pytest.approx(whole.bandwidth_, rel=0.5)
    again = clone(some).fit(x, y)
    assert again.bandwidth_ == some.bandwidth_
    np.testing.assert_array_equal(again.predict(x), some.predict(x))


def test_float32_stays_float32(data: Any) -> None:
    x, y, _ = data
    model = AttentionRegressor(0.7).fit(x.astype(np.float32), y)
    found = model.predict(x.astype(np.float32))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, AttentionRegressor(0.7).fit(x, y).predict(x), rtol=2e-4)


@pytest.mark.parametrize("x", [np.zeros((5, 2)), np.eye(1, 2).repeat(5, axis=0)])
def test_equal_features_predict_the_mean(x: Array) -> None:
    model = AttentionRegressor().fit(x, [1.0, 2.0, 3.0, 4.0, 5.0])
    np.testing.assert_allclose(model.predict(x + 1), 3.0)
    assert AttentionClassifier().fit(x, [0, 1, 1, 1, 0]).predict(x).tolist() == [1] * 5


@pytest.mark.parametrize(
    ("options", "weights", "kind", "message"),
    [
        ({"bandwidth": 0.0}, None, ValueError, "bandwidth must be positive and finite: got 0.0"),
        ({"bandwidth": [1.0, 2.0, 3.0]}, None, ValueError, "bandwidth must be a number or have sh"),
        ({"bandwidth": "wide"}, None, TypeError, "bandwidth must hold real numbers"),
        ({"per_feature": 1}, None, TypeError, "per_feature must be"),
        ({"alpha": -1.0}, None, ValueError, "alpha must"),
        ({"loo_samples": 0}, None, ValueError, "loo_samples must be at least 1"),
        ({"max_iter": 1.5}, None, TypeError, "max_iter must"),
        ({}, [1, 1, -1, 1], ValueError, "sample_weight must not be negative: got -1"),
        ({}, [0, 0, 0, 0], ValueError, "must be positive for|are all zero|at least one non-zero"),
    ],
)
def test_what_has_no_meaning_is_refused(
    options: Any, weights: Any, kind: Any, message: str
) -> None:
    x, y = np.arange(8.0).reshape(4, 2), np.arange(4.0)
    with pytest.raises(kind, match=message):
        AttentionRegressor(**options).fit(x, y, weights)
