"""AUC, precision, recall and F1: those of scikit-learn over a whole epoch, however it is split."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from heedful.layers import Layer, Linear, Sequential
from heedful.training import (
    AUC,
    F1,
    BinaryCrossEntropy,
    Callback,
    EarlyStopping,
    MeanSquaredError,
    Precision,
    Recall,
)

metrics = pytest.importorskip("sklearn.metrics")
NAMES = ["AUC", "precision", "recall", "f1"]


class Scores(Layer):
    """Gives what it is given."""

    def compute(self, mode: Any, x: Any) -> Any:
        return x, lambda dy: dy


def scorer(loss: Any, given: Any) -> Scores:
    model = Scores()
    model.compile("sgd", loss, given)
    return model


def drawn(rng: np.random.Generator, shape: tuple[int, ...], ties: bool) -> tuple[Any, Any]:
    y = (rng.random(shape) < 0.3).astype(int)
    z = rng.standard_normal(shape) + y
    return np.round(z * 2) / 2 if ties else z, y


def expected(z: Any, y: Any, cut: float) -> tuple[float, ...]:
    z, y = z.ravel(), y.ravel()
    found = z > cut
    scores = [f(y, found, zero_division=0) for f in
              (metrics.precision_score, metrics.recall_score, metrics.f1_score)]  # fmt: skip
    return (metrics.roc_auc_score(y, z), *scores)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(1009, 1), (211, 5)])
@pytest.mark.parametrize("batch_size", [1, 32, 2000])
def test_an_epoch_is_exact_over_its_batches(
    batch_size: int, shape: Any, dtype: str, ties: bool, rng: np.random.Generator
) -> None:
    z, y = drawn(rng, shape, ties)
    z = z.astype(dtype)
    if batch_size == 1:
        z, y = z[:101], y[:101]
    found = scorer("binary_crossentropy", NAMES).evaluate(z, y, batch_size=batch_size)
    np.testing.assert_allclose(found[1:], expected(z, y, 0.0), rtol=1e-12)
    p = 1 / (1 + np.exp(-z.astype(float)))
    model = scorer(BinaryCrossEntropy(from_logits=False), NAMES)
    np.testing.assert_allclose(
        model.evaluate(p, y, batch_size=batch_size)[1:], expected(p, y, 0.5), rtol=1e-12
    )


@pytest.mark.parametrize("kind", ["mask", "numbers"])
def test_weight_0_is_left_out(kind: str, rng: np.random.Generator) -> None:
    z, y = drawn(rng, (211, 5), True)
    weight = rng.random((211, 5)) < 0.7
    given = weight if kind == "mask" else weight * rng.random((211, 5))
    found = scorer("binary_crossentropy", NAMES).evaluate(z, y, sample_weight=given)
    np.testing.assert_allclose(found[1:], expected(z[weight], y[weight], 0.0), rtol=1e-12)


@pytest.mark.parametrize("threshold", [0.0, 0.2, 0.9, 1.0])
def test_thresholds_are_of_probabilities(threshold: float, rng: np.random.Generator) -> None:
    z, y = drawn(rng, (211, 1), False)
    p = 1 / (1 + np.exp(-z))
    given = [AUC(), Precision(threshold), Recall(threshold), F1(threshold=threshold)]
    for model, x in (
        (scorer("binary_crossentropy", given), z),
        (scorer(BinaryCrossEntropy(from_logits=False), given), p),
    ):
        found = model.evaluate(x, y)
        assert found._fields == ("loss", "auc", "precision", "recall", "f1")
        np.testing.assert_allclose(found[1:], expected(p, y, threshold), rtol=1e-12)


def test_other_losses_take_scores_as_they_are(rng: np.random.Generator) -> None:
    z, y = drawn(rng, (211, 1), False)
    for loss in ("mse", MeanSquaredError(), lambda t, p: (0.0, 0 * p)):
        found = scorer(loss, ["auc", Precision(0.25), Recall(0.25), F1(0.25)]).evaluate(z, y)
        np.testing.assert_allclose(found[1:], expected(z, y, 0.25), rtol=1e-12)


def test_what_is_not_defined(rng: np.random.Generator) -> None:
    z = rng.standard_normal((7, 1))
    for y, rest in ((np.zeros(7), (0.0, 0.0, 0.0)), (np.ones(7), None)):
        found = scorer("binary_crossentropy", NAMES).evaluate(z, y)
        assert np.isnan(found.auc)
        if rest is not None:
            assert found[2:] == rest
    found = scorer("binary_crossentropy", NAMES).evaluate(-abs(z), np.arange(7) % 2)
    assert found[2:] == (0.0, 0.0, 0.0)


def test_fit_has_them_in_its_history(rng: np.random.Generator) -> None:
    x = rng.standard_normal((300, 3))
    y = (x[:, 0] > 0.5).astype(int)
    model = Sequential(Linear(3, 1, rng=0))
    model.compile("adam", "binary_crossentropy", NAMES)
    seen = []

    class Batches(Callback):
        def on_batch_end(self, batch: int, logs: Any = None) -> None:
            seen.append(logs["auc"])

    history = model.fit(
        x, y, epochs=3, batch_size=7, validation_data=(x, y), verbose=False,
        callbacks=[Batches(), EarlyStopping("val_auc", patience=5)],
    )  # fmt: skip
    assert len(history["auc"]) == 3
    assert len(seen) == 3 * 43
    assert (np.abs(np.array(seen[42::43]) - history["auc"]) < 0.1).all()
    found = model.evaluate(x, y)
    np.testing.assert_allclose(found[1:], expected(model(x), y, 0.0), rtol=1e-12)
    assert found.auc in history["val_auc"]


def test_copies_keep_them(rng: np.random.Generator) -> None:
    z, y = drawn(rng, (211, 1), False)
    model = scorer("binary_crossentropy", [*NAMES, Precision(0.3)])
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert other.evaluate(z, y)[1:] == model.evaluate(z, y)[1:]


def test_means_of_errors(rng: np.random.Generator) -> None:
    z, y = rng.standard_normal((97, 3)), rng.standard_normal((97, 3))
    found = scorer("huber", ["mae", "MSE", "mean_absolute_error"]).evaluate(z, y)
    assert found.mae == found.mae_2 == pytest.approx(metrics.mean_absolute_error(y, z))
    assert found.mse == pytest.approx(metrics.mean_squared_error(y, z))


@pytest.mark.parametrize(
    ("loss", "given", "kind", "message"),
    [
        ("mse", "precision", ValueError, r"write Precision\(threshold=…\)"),
        ("mae", "f1", ValueError, "'f1' needs binary_crossentropy as the loss"),
        ("sparse_categorical_crossentropy", "auc", ValueError, "the metric auc is binary"),
        ("categorical_crossentropy", [Recall()], ValueError, "metric recall is binary"),
        ("binary_crossentropy", [AUC], TypeError, r"got AUC: write AUC\(\)"),
        ("binary_crossentropy", ["kappa"], ValueError, "metrics must be 'accuracy', 'auc', 'prec"),
    ],
)
def test_is_refused_in_one_sentence(loss: Any, given: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        scorer(loss, given)


def test_thresholds_and_scores_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold must lie between 0 and 1: got 3"):
        Precision(3)
    model = scorer(lambda t, p: (0.0, 0 * p), ["auc"])
    with pytest.raises(ValueError, match=r"auc needs a score for each target: got targets of sha"):
        model.evaluate(np.ones((5, 2)), np.ones(5))
