"""Models that return probabilities: trained as such, rejected, or warned of."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from heedful.layers import Dense, Dropout, Flatten, Layer, Linear, Sequential, Sigmoid, Softmax
from heedful.training import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    SparseCategoricalCrossEntropy,
)

LOSSES: Any = {
    BinaryCrossEntropy: "binary_crossentropy",
    SparseCategoricalCrossEntropy: "sparse_categorical_crossentropy",
    CategoricalCrossEntropy: "categorical_crossentropy",
}


class Hidden(Layer):
    """Nobody can see what it ends in."""

    def __init__(self, *layers: Layer) -> None:
        self.inner = Sequential(*layers)

    def compute(self, mode: Any, x: Any) -> Any:
        return self.inner.compute(mode, x)


def signs(rng: np.random.Generator) -> tuple[Any, Any]:
    x = rng.standard_normal((256, 6)).astype(np.float32)
    return x, (x.sum(1) > 0).astype(int)


def ends(loss: Any) -> list[Sequential]:
    if loss is BinaryCrossEntropy:
        return [
            Sequential(Dense(8, "relu", rng=0), Dense(1, "sigmoid", rng=0)),
            Sequential(Dense(8, "relu", rng=0), Dense(1, "sigmoid", rng=0), Flatten()),
            Sequential(Dense(8, "relu", rng=0), Sequential(Linear(8, 1, rng=0), Sigmoid()),
                       Flatten(), Dropout(0.0)),
        ]  # fmt: skip
    return [
        Sequential(Dense(8, "relu", rng=0), Dense(2, "softmax", rng=0)),
        Sequential(Dense(8, "relu", rng=0), Dense(2, rng=0), Softmax(), Dropout(0.0)),
    ]


def targets(loss: Any, y: Any) -> Any:
    return np.eye(2)[y] if loss is CategoricalCrossEntropy else y


@pytest.mark.parametrize("loss", LOSSES)
def test_a_loss_of_logits_is_refused_after_a_known_sigmoid_or_softmax(loss: Any) -> None:
    for model in ends(loss):
        with pytest.raises(ValueError, match=rf"write {loss.__name__}\(from_logits=False\)"):
            model.compile("adam", loss())


def test_a_loss_of_probabilities_is_refused_after_a_known_linear_output() -> None:
    with pytest.raises(ValueError, match=r"so write BinaryCrossEntropy\(\) or add one"):
        Sequential(Dense(1)).compile("adam", BinaryCrossEntropy(from_logits=False))


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("by", ["name", "object"])
def test_models_that_end_in_probabilities_are_trained(
    loss: Any, by: str, rng: np.random.Generator
) -> None:
    x, y = signs(rng)
    for model in ends(loss):
        given = LOSSES[loss] if by == "name" else loss(from_logits=False)
        model.compile("adam", given, ["accuracy"])
        model.optimizer.lr = 0.02
        model.fit(x, targets(loss, y), epochs=8, verbose=False, rng=0)
        assert model.history["accuracy"][-1] > 0.9
        found = model.predict(x)
        right = found[:, 0] > 0.5 if loss is BinaryCrossEntropy else found.argmax(1)
        assert model.evaluate(x, targets(loss, y)).accuracy == (right == y).mean()


def test_a_hidden_output_activation_is_warned_of_once(rng: np.random.Generator) -> None:
    x, y = signs(rng)
    model = Hidden(Dense(8, "relu", rng=0), Dense(1, "sigmoid", rng=0))
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    with pytest.warns(UserWarning, match=r"loss=BinaryCrossEntropy\(from_logits=False\)"):
        model.fit(x, y, verbose=False, rng=1)
    model.fit(x, y, epochs=2, verbose=False)  # warnings are errors
    model.compile("adam", BinaryCrossEntropy(from_logits=False), ["accuracy"])
    model.optimizer.lr = 0.02
    model.fit(x, y, epochs=8, verbose=False, rng=0)
    assert model.history["accuracy"][-1] > 0.9


def test_hidden_logits_give_no_warning(rng: np.random.Generator) -> None:
    x, y = signs(rng)
    model = Hidden(Dense(8, "relu", rng=0), Dense(1, rng=0))
    model.compile("adam", "binary_crossentropy", ["accuracy"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(x, y, epochs=2, verbose=False)
    assert model.evaluate(x, y).accuracy == ((model.predict(x)[:, 0] > 0) == y).mean()


@pytest.mark.parametrize("p", [1e-12, 1e-25, 0.3, 1 - 1e-12])
def test_gradients_of_small_probabilities_are_exact(p: float) -> None:
    for t in (0.0, 1.0):
        loss, gradient = BinaryCrossEntropy(from_logits=False)([t], np.array([p]))
        chance = p if t else 1 - p
        assert loss == pytest.approx(-np.log(chance), rel=1e-12)
        assert gradient[0] == pytest.approx((-1 if t else 1) / chance, rel=1e-12)
    row = np.array([[p, 1 - p]])
    for loss_fn, target in (
        (SparseCategoricalCrossEntropy(from_logits=False), [0]),
        (CategoricalCrossEntropy(from_logits=False), [[1.0, 0.0]]),
    ):
        loss, gradient = loss_fn(target, row)  # type: ignore[operator]
        assert loss == pytest.approx(-np.log(p), rel=1e-12)
        np.testing.assert_allclose(gradient, [[-1 / p, 0]], rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certainty_is_finite(dtype: Any) -> None:
    certain = np.array([[0.0, 1.0], [1.0, 0.0]], dtype)
    for loss_fn, target in (
        (BinaryCrossEntropy(from_logits=False), [[1, 0], [1, 0]]),
        (SparseCategoricalCrossEntropy(from_logits=False), [0, 0]),
        (CategoricalCrossEntropy(from_logits=False), [[1, 0], [1, 0]]),
    ):
        loss, gradient = loss_fn(target, certain)  # type: ignore[operator]
        assert 10 < loss < 100
        assert np.isfinite(gradient).all()


def test_scores_are_no_probabilities() -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\] where from_logits is False: got 2"):
        BinaryCrossEntropy(from_logits=False)([1, 0], np.array([0.5, 2.0]))
    with pytest.raises(ValueError, match=r"got -3; scores of any size need from_logits=True"):
        SparseCategoricalCrossEntropy(from_logits=False)([1], np.array([[-3.0, 1.0]]))
