"""Sample weights: masks exclude padding, numbers multiply."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.layers import Autoencoder, Linear, Sequential
from heedful.testing import gradcheck
from heedful.training import (
    SGD,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    MeanSquaredError,
    SparseCategoricalCrossEntropy,
)

LABELS = np.array([[0, 3, 2], [1, 1, 0]])
KEPT = np.array([[True, True, False], [True, False, False]])
FACTORS = np.array([[0.5, 2.0, 0.0], [1.0, 3.0, 0.25]])
CASES: list[Any] = [
    ("sparse", SparseCategoricalCrossEntropy(label_smoothing=0.1), LABELS),
    ("sparse_p", SparseCategoricalCrossEntropy(from_logits=False), LABELS),
    ("categorical", CategoricalCrossEntropy(label_smoothing=0.1), np.eye(4)[LABELS]),
    ("categorical_p", CategoricalCrossEntropy(from_logits=False), np.eye(4)[LABELS]),
    ("binary", BinaryCrossEntropy(label_smoothing=0.1), np.eye(4)[LABELS]),
    ("binary_p", BinaryCrossEntropy(from_logits=False), np.eye(4)[LABELS]),
    ("mse", MeanSquaredError(), np.eye(4)[LABELS]),
]


def predictions(name: str, rng: np.random.Generator) -> Any:
    x = rng.standard_normal((2, 3, 4))
    e = np.exp(x)
    return e / e.sum(-1, keepdims=True) if name.endswith("_p") else x


def single(loss_fn: Any, target: Any, x: Any) -> Any:
    """The loss of each position by itself."""
    return np.array([[loss_fn(target[i, j][None], x[i, j][None])[0] for j in range(3)]
                     for i in range(2)])  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_a_mask_excludes_positions(case: Any, rng: np.random.Generator) -> None:
    name, loss_fn, target = case
    x = predictions(name, rng)
    loss, gradient = loss_fn(target, x, KEPT)
    assert loss == pytest.approx(single(loss_fn, target, x)[KEPT].mean())
    assert not gradient[~KEPT].any()
    assert gradient[KEPT].any(-1).all()
    rows = np.array([False, True])
    assert loss_fn(target, x, rows)[0] == pytest.approx(loss_fn(target[1:], x[1:])[0])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_numbers_multiply_and_the_mean_is_over_all(case: Any, rng: np.random.Generator) -> None:
    name, loss_fn, target = case
    x = predictions(name, rng)
    expected = (single(loss_fn, target, x) * FACTORS).mean()
    assert loss_fn(target, x, FACTORS)[0] == pytest.approx(expected)
    assert loss_fn(target, x, FACTORS[..., None])[0] == pytest.approx(expected)
    ones = np.ones((2, 3))
    np.testing.assert_allclose(loss_fn(target, x, ones)[1], loss_fn(target, x)[1])


@pytest.mark.parametrize("weight", [KEPT, FACTORS], ids=["mask", "numbers"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_gradients_match_finite_differences(
    case: Any, weight: Any, rng: np.random.Generator
) -> None:
    name, loss_fn, target = case

    def function(x: Any) -> Any:
        loss, gradient = loss_fn(target, x, weight)
        return np.array(loss), lambda d: [d * gradient]

    assert gradcheck(function, predictions(name, rng), step=1e-6)


@pytest.mark.parametrize("weight", [KEPT, KEPT * 1.0], ids=["mask", "numbers"])
def test_what_does_not_count_may_hold_anything(weight: Any, rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4))
    for loss_fn in (MeanSquaredError(), BinaryCrossEntropy(), CategoricalCrossEntropy()):
        expected = loss_fn(np.eye(4)[LABELS], x, weight)
        for junk in (np.nan, np.inf, -7.0):
            target = np.where(KEPT[..., None], np.eye(4)[LABELS], junk)
            loss, gradient = loss_fn(target, x, weight)
            assert loss == expected[0]
            np.testing.assert_array_equal(gradient, expected[1])
    for junk in (99, -7, np.nan):
        found = SparseCategoricalCrossEntropy()(np.where(KEPT, LABELS, junk), x, weight)
        assert found[0] == SparseCategoricalCrossEntropy()(LABELS, x, weight)[0]


def test_a_mask_and_an_ignored_label_go_together(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4))
    loss_fn = SparseCategoricalCrossEntropy(ignore_index=0)
    kept = KEPT & (LABELS != 0)
    expected = single(SparseCategoricalCrossEntropy(), LABELS, x)
    assert loss_fn(LABELS, x, KEPT)[0] == pytest.approx(expected[kept].mean())
    found = loss_fn(LABELS, x, FACTORS)[0]
    assert found == pytest.approx((expected * FACTORS)[LABELS != 0].mean())


def padded(rng: np.random.Generator) -> tuple[Any, Any, Any]:
    x = rng.standard_normal((10, 6, 5))
    lengths = rng.integers(1, 7, 10)
    return x, lengths, np.arange(6) < lengths[:, None]


def test_padding_does_not_count_in_any_batch(rng: np.random.Generator) -> None:
    """Loss and accuracy are those of what counts, however it is split into batches."""
    x, _, kept = padded(rng)
    y = rng.integers(0, 3, (10, 6))
    model = Sequential([Linear(5, 3, rng=0, dtype=np.float64)])
    loss_fn = SparseCategoricalCrossEntropy()
    model.compile(SGD(lr=0.0), loss_fn, ["accuracy"])
    whole = loss_fn(y[kept], model(x)[kept])[0]
    hits = (model(x).argmax(-1) == y)[kept].mean()
    for batch_size in (1, 3, 10):
        found = model.evaluate(x, y, batch_size=batch_size, sample_weight=kept)
        assert found == pytest.approx((whole, hits), rel=1e-12)
        history = model.fit(x, y, batch_size=batch_size, sample_weight=kept, verbose=False,
                            validation_data=(x, y, kept))  # fmt: skip
        for name in ("loss", "val_loss"):
            assert history[name][-1] == pytest.approx(whole, rel=1e-12)
        for name in ("accuracy", "val_accuracy"):
            assert history[name][-1] == pytest.approx(hits, rel=1e-12)


def test_an_autoencoder_ignores_padding(rng: np.random.Generator) -> None:
    x, lengths, kept = padded(rng)
    states = []
    for junk in (0.0, 100.0):
        model = Autoencoder(5, 3, 8, 2, 1, max_length=6, rng=0)
        model.compile("adam", "mse")
        target = np.where(kept[..., None], x, junk)
        model.fit({"x": target, "lengths": lengths}, target, sample_weight=kept, epochs=2,
                  batch_size=4, verbose=False, rng=0)  # fmt: skip
        states.append(model.state_dict())
    for name in states[0]:
        np.testing.assert_allclose(states[0][name], states[1][name], rtol=1e-5, atol=1e-6)


def test_rows_of_weight_two_are_as_rows_given_twice(rng: np.random.Generator) -> None:
    x, y = points(rng)
    once, twice = network(optimizer=SGD(lr=0.3)), network(optimizer=SGD(lr=0.3))
    once.fit(x, y, sample_weight=np.where(y, 2.0, 1.0), batch_size=120, verbose=False)
    both, labels = np.concatenate([x, x[y == 1]]), np.concatenate([y, y[y == 1]])
    # the mean is over 120 rows there, and over all that are here
    twice.optimizer.lr = 0.3 * len(both) / 120
    twice.fit(both, labels, batch_size=400, verbose=False)
    for name, array in once.parameters().items():
        np.testing.assert_allclose(array, twice.parameters()[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loss", ["binary_crossentropy", "sparse_categorical_crossentropy"])
def test_weights_of_classes_are_those_of_their_rows(loss: str, rng: np.random.Generator) -> None:
    x, y = points(rng)
    states, losses = [], []
    for options in (
        {"class_weight": {1: 3.0}},
        {"sample_weight": np.where(y == 1, 3.0, 1.0)},
        {"class_weight": {1: 3.0, 0: 1.0}, "sample_weight": np.ones(len(y), np.bool_)},
    ):
        units = 1 if loss == "binary_crossentropy" else 2
        model = Sequential(Linear(4, units, rng=0))
        model.compile(SGD(lr=0.1), loss, ["accuracy"])
        model.fit(x, y, verbose=False, rng=0, **options)
        states.append(model.state_dict())
        losses.append(model.history["loss"])
    for state in states[1:]:
        for name, array in states[0].items():
            np.testing.assert_allclose(array, state[name], rtol=1e-5, atol=1e-7)
    assert losses[1] == pytest.approx(losses[0])
    assert losses[2] == pytest.approx(losses[0])


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"sample_weight": np.ones(7)}, ValueError, "one row for each of 120 examples: got 7"),
        ({"sample_weight": np.ones((120, 3))}, ValueError, "must have the first axes of"),
        ({"sample_weight": np.full(120, -1.0)}, ValueError, "finite and not negative"),
        ({"sample_weight": np.full(120, np.nan)}, ValueError, "finite and not negative"),
        ({"sample_weight": np.zeros(120)}, ValueError, "must let something count: all is 0"),
        ({"sample_weight": ["a"] * 120}, TypeError, "sample_weight must hold real numbers"),
        ({"class_weight": {2: 1.0}}, ValueError, r"must have labels in \[0, 2\): got 2"),
        ({"class_weight": {"a": 1.0}}, TypeError, "integers as labels"),
        ({"class_weight": [1.0, 2.0]}, TypeError, r"must be a dict, \{label: weight\}"),
        ({"class_weight": {1: -1.0}}, ValueError, "must not be negative"),
    ],
)
def test_is_refused_in_one_sentence(
    options: Any, kind: Any, message: str, rng: np.random.Generator
) -> None:
    model = network()
    before = model.state_dict()
    with pytest.raises(kind, match=message):
        model.fit(*points(rng), verbose=False, **options)
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, before[name])


def test_weights_need_a_loss_that_takes_them(rng: np.random.Generator) -> None:
    x, y = points(rng)
    model = Sequential(Linear(4, 1, rng=0))
    model.compile("sgd", lambda target, prediction: MeanSquaredError()(target, prediction))
    with pytest.raises(TypeError, match="loss must take weights as a third argument"):
        model.fit(x, y, sample_weight=np.ones(120), verbose=False)
    with pytest.raises(TypeError, match="loss must take weights as a third argument"):
        model.fit([(x, y, np.ones(120))], verbose=False)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="class_weight needs targets that are labels"):
        model.fit(x, y, class_weight={1: 2.0}, verbose=False)
