"""permutation_importance, against scikit-learn's and loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.explain import permutation_importance
from heedful.layers import Flatten, Linear, Sequential

pytestmark = pytest.mark.once

RNG = np.random.default_rng(3)
X = RNG.standard_normal((300, 4))
Y = 3 * X[:, 2] - X[:, 0]


def error(target: np.ndarray, prediction: np.ndarray) -> float:
    return -float(np.mean((target - prediction) ** 2))


def model(x: np.ndarray) -> np.ndarray:
    return 3 * x[:, 2] - x[:, 0]


def test_the_fall_is_that_of_a_loop() -> None:
    found = permutation_importance(model, X, Y, metric=error, n_repeats=3, rng=8, batch_size=70)
    rng = np.random.default_rng(8)
    for feature in range(4):
        for repeat in range(3):
            order = rng.permutation(300)
            permuted = X.copy()
            permuted[:, feature] = X[order, feature]
            expected = error(Y, model(X)) - error(Y, model(permuted))
            assert found.importances[feature, repeat] == pytest.approx(expected)
    np.testing.assert_allclose(found.importances_mean, found.importances.mean(1))
    np.testing.assert_allclose(found.importances_std, found.importances.std(1))


def test_a_classifier_of_scikit_learn_is_explained_as_scikit_learn_does() -> None:
    pytest.importorskip("sklearn")
    from sklearn.inspection import permutation_importance as theirs
    from sklearn.metrics import accuracy_score
    from sklearn.tree import DecisionTreeClassifier

    labels = (Y > 0).astype(int)
    tree = DecisionTreeClassifier(max_depth=4, random_state=0).fit(X, labels)
    found = permutation_importance(tree.predict, X, labels, metric=accuracy_score, n_repeats=20)
    expected = theirs(tree, X, labels, n_repeats=20, random_state=0)
    spread = 4 * np.hypot(found.importances_std, expected.importances_std) / np.sqrt(20)
    difference = np.abs(found.importances_mean - expected.importances_mean)
    assert (difference <= spread + 1e-12).all()


def test_a_layer_is_measured_by_its_loss() -> None:
    layer = Linear(4, 1, dtype=np.float64)
    layer.weight, layer.bias = [[-1.0, 0.0, 3.0, 0.0]], [0.0]
    with pytest.raises(RuntimeError, match="not compiled"):
        permutation_importance(layer, X, Y[:, None])
    layer.compile("sgd", "mse")
    found = permutation_importance(layer, X, Y[:, None], rng=8)
    expected = permutation_importance(model, X, Y, metric=error, rng=8)
    np.testing.assert_allclose(found.importances, expected.importances, atol=1e-9)


def test_every_pixel_and_every_token_is_a_feature() -> None:
    images = X.reshape(300, 2, 2)
    layer = Sequential(Flatten(), Linear(4, 1, dtype=np.float64))
    layer[1].weight, layer[1].bias = [[-1.0, 0.0, 3.0, 0.0]], [0.0]
    layer.compile("sgd", "mse")
    found = permutation_importance(layer, images, Y[:, None])
    assert found.importances.shape == (2, 2, 5)
    assert found.importances_mean.argmax() == 2
    assert (found.importances_mean[[0, 1], [1, 1]] == 0).all()
    tokens = RNG.integers(0, 9, (50, 3))
    found = permutation_importance(lambda t: t[:, 1], tokens, tokens[:, 1], metric=error)
    assert found.importances_mean.argmax() == 1


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"model": 3}, TypeError, "model must be a layer or a function of x: got 3"),
        ({"metric": None}, ValueError, "metric must be a function"),
        ({"metric": "accuracy"}, ValueError, "metric must be a function"),
        ({"metric": lambda y, p: np.nan}, ValueError, "metric must be finite: got nan"),
        ({"inputs": X[:, 0]}, ValueError, r"inputs must have shape \(N, …\)"),
        ({"y": Y[:9]}, ValueError, "y must have one target for each of 300 examples"),
        ({"n_repeats": 0}, ValueError, "n_repeats must be at least 1"),
        ({"rng": -1}, TypeError, "rng must be None, an integer from 0 on"),
    ],
)
def test_a_wrong_argument_is_named(options: Any, kind: type, message: str) -> None:
    given = {"model": model, "inputs": X, "y": Y, "metric": error, **options}
    with pytest.raises(kind, match=message):
        permutation_importance(given.pop("model"), given.pop("inputs"), given.pop("y"), **given)
