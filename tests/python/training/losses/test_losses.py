"""Losses: values by the definition, gradients by finite differences, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from heedful.testing import gradcheck
from heedful.training import (
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Huber,
    MeanAbsoluteError,
    MeanSquaredError,
    SparseCategoricalCrossEntropy,
)

LABELS = np.array([[0, 3, 2], [1, 1, 0]])
ONE_HOT = np.eye(4)[LABELS]
BITS = np.array([[0, 1, 1], [1, 0, 1]])


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(wanted: Any, p: Any, smooth: float = 0.0) -> Any:
    wanted = wanted * (1 - smooth) + smooth / wanted.shape[-1]
    return -(wanted * np.log(p)).sum(-1)


def binary(wanted: Any, p: Any, smooth: float = 0.0) -> float:
    wanted = wanted * (1 - smooth) + smooth / 2
    return float(-(wanted * np.log(p) + (1 - wanted) * np.log(1 - p)).mean())


@pytest.mark.parametrize("smooth", [0.0, 0.1])
def test_losses_are_what_they_are_defined_as(rng: np.random.Generator, smooth: float) -> None:
    x = rng.standard_normal((2, 3, 4))
    expected = cross_entropy(ONE_HOT, softmax(x), smooth)
    options = {"label_smoothing": smooth}
    assert SparseCategoricalCrossEntropy(**options)(LABELS, x)[0] == pytest.approx(expected.mean())
    assert CategoricalCrossEntropy(**options)(ONE_HOT, x)[0] == pytest.approx(expected.mean())
    found = SparseCategoricalCrossEntropy(**options, ignore_index=1)(LABELS, x)
    assert found[0] == pytest.approx(expected[LABELS != 1].mean())
    assert not found[1][LABELS == 1].any()
    z = x[..., 0]
    expected_binary = binary(BITS, 1 / (1 + np.exp(-z)), smooth)
    assert BinaryCrossEntropy(**options)(BITS, z)[0] == pytest.approx(expected_binary)
    assert MeanSquaredError()(BITS, z)[0] == pytest.approx(((z - BITS) ** 2).mean())


def test_probabilities_are_taken_as_such(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3, 4))
    for kind, target in (
        (SparseCategoricalCrossEntropy, LABELS), (CategoricalCrossEntropy, ONE_HOT),
    ):  # fmt: skip
        expected = kind()(target, x)[0]
        assert kind(from_logits=False)(target, softmax(x))[0] == pytest.approx(expected)
    z = x[..., 0]
    found = BinaryCrossEntropy(from_logits=False)(BITS, 1 / (1 + np.exp(-z)))[0]
    assert found == pytest.approx(BinaryCrossEntropy()(BITS, z)[0])


CASES = [
    ("sparse", SparseCategoricalCrossEntropy(label_smoothing=0.1), LABELS, False),
    ("ignored", SparseCategoricalCrossEntropy(ignore_index=1), LABELS, False),
    ("sparse_p", SparseCategoricalCrossEntropy(from_logits=False), LABELS, True),
    ("categorical", CategoricalCrossEntropy(label_smoothing=0.1), ONE_HOT, False),
    ("categorical_p", CategoricalCrossEntropy(from_logits=False), ONE_HOT, True),
    ("binary", BinaryCrossEntropy(label_smoothing=0.1), ONE_HOT, False),
    ("binary_p", BinaryCrossEntropy(from_logits=False), ONE_HOT, True),
    ("mse", MeanSquaredError(), ONE_HOT, False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_gradients_match_finite_differences(case: Any, rng: np.random.Generator) -> None:
    _, loss_fn, target, probabilities = case
    x = rng.standard_normal((2, 3, 4))
    x = softmax(x) if probabilities else x

    def function(x: Any) -> Any:
        loss, gradient = loss_fn(target, x)
        return np.array(loss), lambda d: [d * gradient]

    assert gradcheck(function, x, step=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_gradients_have_the_type_of_predictions(
    case: Any, dtype: Any, rng: np.random.Generator
) -> None:
    x = softmax(rng.standard_normal((2, 3, 4))).astype(dtype)
    loss, gradient = case[1](case[2], x)
    assert type(loss) is float
    assert gradient.dtype == dtype
    assert gradient.shape == x.shape


@pytest.mark.parametrize("kind", ["i1", "u1", "u8", "f2", "f4", "f8", "?"])
def test_labels_may_be_of_any_type_of_numbers(kind: str, rng: np.random.Generator) -> None:
    x, labels = rng.standard_normal((2, 3, 4)), LABELS % 2
    loss, gradient = SparseCategoricalCrossEntropy()(labels.astype(kind), x)
    expected = SparseCategoricalCrossEntropy()(labels, x)
    assert loss == expected[0]
    np.testing.assert_array_equal(gradient, expected[1])
    wrong = np.array([[0, -3 if kind == "i1" else 99, 0]]).astype("i1" if kind == "?" else kind)
    with pytest.raises(ValueError, match=r"got (-3|99) at target\[0, 1\]"):
        SparseCategoricalCrossEntropy()(wrong, x[:1])
    if kind.startswith("f"):
        with pytest.raises(TypeError, match=r"must be integers, the classes: got inf at target"):
            SparseCategoricalCrossEntropy()(np.full((2, 3), np.inf, kind), x)


def test_large_scores_do_not_overflow() -> None:
    huge = np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32)
    with np.errstate(all="raise", under="ignore"):
        loss, gradient = SparseCategoricalCrossEntropy()([0, 0], huge)
        assert loss == pytest.approx(1e4)
        np.testing.assert_array_equal(gradient, [[0, 0], [-0.5, 0.5]])
        loss, gradient = BinaryCrossEntropy()([[1, 1], [1, 1]], huge)
        assert loss == pytest.approx(5e3)


def test_integers_have_a_float64_gradient() -> None:
    loss, gradient = MeanSquaredError()([1.5, 2.5], np.array([1, 3]))
    assert loss == 0.25
    np.testing.assert_array_equal(gradient, [-0.5, 0.5])


def test_a_column_may_be_left_out() -> None:
    x = np.array([[0.5], [-0.5]])
    for loss_fn in (BinaryCrossEntropy(), MeanSquaredError()):
        assert loss_fn([1, 0], x)[0] == loss_fn([[1], [0]], x)[0]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: SparseCategoricalCrossEntropy()([4], np.ones((1, 4))), ValueError,
         r"target must lie in \[0, 4\): got 4"),
        (lambda: SparseCategoricalCrossEntropy()([-1], np.ones((1, 4))), ValueError,
         r"target must lie in \[0, 4\): got -1"),
        (lambda: SparseCategoricalCrossEntropy()([0.5], np.ones((1, 4))), TypeError,
         "target must be integers, the classes"),
        (lambda: SparseCategoricalCrossEntropy()([1, 2], np.ones((1, 4))), ValueError,
         r"target must have shape \(1,\) for predictions of shape \(1, 4\): got \(2,\)"),
        (lambda: SparseCategoricalCrossEntropy()([], np.ones((0, 0))), ValueError,
         r"prediction must have a score for each class: got \(0, 0\)"),
        (lambda: SparseCategoricalCrossEntropy()([np.nan], np.ones((1, 4))), TypeError,
         "target must be integers, the classes"),
        (lambda: MeanSquaredError()(["1"], np.ones(1)), TypeError,
         "target must hold real numbers"),
        (lambda: BinaryCrossEntropy()([1], np.ones(1) * 1j), TypeError,
         "prediction must hold real numbers"),
        (lambda: CategoricalCrossEntropy()([1, 2], np.ones((1, 4))), ValueError,
         r"target must have the shape of prediction, \(1, 4\): got \(2,\)"),
        (lambda: BinaryCrossEntropy()([1, 2], np.ones(2)), ValueError, "target must lie in"),
        (lambda: MeanSquaredError()([1, 2, 3], np.ones(2)), ValueError,
         r"target must have the shape of prediction, \(2,\): got \(3,\)"),
        (lambda: BinaryCrossEntropy(label_smoothing=2), ValueError,
         "label_smoothing must lie between 0 and 1: got 2"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize(
    "loss_fn",
    [
        BinaryCrossEntropy(), CategoricalCrossEntropy(), MeanSquaredError(),
        SparseCategoricalCrossEntropy(), BinaryCrossEntropy(False), CategoricalCrossEntropy(False),
        SparseCategoricalCrossEntropy(False), MeanAbsoluteError(), Huber(),
    ],
)  # fmt: skip
def test_the_gradient_of_byte_swapped_predictions_is_not_byte_swapped(loss_fn: Any) -> None:
    prediction = np.array([[0.25, 0.75], [0.5, 0.5]])
    target = [0, 1] if isinstance(loss_fn, SparseCategoricalCrossEntropy) else np.eye(2)
    loss, gradient = loss_fn(target, prediction)
    found, swapped = loss_fn(target, prediction.astype(prediction.dtype.newbyteorder()))
    assert (found, swapped.dtype) == (loss, np.dtype(np.float64))
    assert swapped.dtype.isnative
    np.testing.assert_array_equal(swapped, gradient)
