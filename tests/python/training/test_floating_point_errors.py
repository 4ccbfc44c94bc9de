"""numpy.errstate(all="raise") is for the user's own arithmetic: training raises nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from heedful import training
from heedful.layers import (
    Dense,
    Dropout,
    GlobalAveragePooling,
    LanguageModel,
    LayerNorm,
    Linear,
    MultiHeadAttention,
    Sequential,
    Softmax,
)

PROBABILITIES = np.array([[1e-320, 1.0, 0.0], [0.5, 0.25, 0.25]])
LOGITS = np.array([[-1e4, 800.0, 0.0], [1e-310, -1e-310, 3.0]])
ONE_HOT = np.array([[1.0, 0.0, 0.0], [1e-300, 1.0, 0.0]])
LOSSES: dict[str, tuple[Any, Any, Any]] = {
    "binary": (training.BinaryCrossEntropy(), ONE_HOT, LOGITS),
    "binary_smooth": (training.BinaryCrossEntropy(label_smoothing=1e-300), ONE_HOT, LOGITS),
    "binary_probabilities": (
        training.BinaryCrossEntropy(from_logits=False), ONE_HOT, PROBABILITIES,
    ),
    "sparse": (training.SparseCategoricalCrossEntropy(), [0, 1], LOGITS),
    "sparse_probabilities": (
        training.SparseCategoricalCrossEntropy(from_logits=False), [0, 1], PROBABILITIES,
    ),
    "categorical": (training.CategoricalCrossEntropy(label_smoothing=1e-300), ONE_HOT, LOGITS),
    "categorical_probabilities": (
        training.CategoricalCrossEntropy(from_logits=False), ONE_HOT, PROBABILITIES,
    ),
    "squares": (training.MeanSquaredError(), LOGITS * 1e-3, LOGITS),
    "squares_huge": (training.MeanSquaredError(), np.full((2, 3), 1e200), LOGITS),
}  # fmt: skip
OPTIMIZERS: dict[str, Callable[..., training.Optimizer]] = {
    "SGD": training.SGD,
    "momentum": lambda model, **more: training.SGD(
        model, momentum=0.9, nesterov=True, weight_decay=1e-30, **more
    ),
    "Adam": training.Adam,
    "AdamW": lambda model, **more: training.AdamW(model, eps=1e-300, **more),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", LOSSES)
def test_losses(name: str, dtype: Any) -> None:
    loss_fn, target, prediction = LOSSES[name]
    with np.errstate(all="ignore"):
        prediction = prediction.astype(dtype)
    with np.errstate(all="raise"):
        for weight in (None, [True, False], [1e-300, 1.0]):
            loss, gradient = loss_fn(
                target, prediction, None if weight is None else np.array(weight)
            )
            assert not np.isnan(loss)
            assert not np.isnan(gradient).any()


@pytest.mark.parametrize("size", [1.0, 1e-20, 1e-40, 1e15])
@pytest.mark.parametrize("clip_norm", [None, 1e-300, 1e300])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name: str, clip_norm: float | None, size: float) -> None:
    layer = Linear(3, 2, rng=0)
    with np.errstate(all="raise"):
        optimizer = OPTIMIZERS[name](layer, lr=1e-3, clip_norm=clip_norm)
        for step in range(3):
            y, backward = layer.forward(np.full((1, 3), 1.0))
            backward(np.full(y.shape, size * step))  # the first gradients are 0
            optimizer.step()
            layer.zero_grad()
    assert np.isfinite(layer.weight).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_fit(optimizer: str) -> None:
    rng = np.random.default_rng(0)
    with np.errstate(all="raise"):
        model = Sequential(
            MultiHeadAttention(6, 2, rng=0), LayerNorm(6), Dropout(0.1),
            GlobalAveragePooling(), Dense(3, "softmax", kernel_regularizer="l2", rng=0),
        )  # fmt: skip
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        x = rng.standard_normal((20, 5, 6))
        x[0], x[1] = 1e-300, 1e9
        model.fit(x, rng.integers(0, 3, 20), epochs=2, batch_size=7, verbose=0)
        model.evaluate(x, rng.integers(0, 3, 20))
        model.predict(x)


def test_fit_and_generate() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.integers(0, 11, (8, 6))
    with np.errstate(all="raise"):
        model = LanguageModel(11, 6, 2, 1, rng=0)
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["mae"][:0])
        model.fit(tokens[:, :-1], tokens[:, 1:], epochs=1, verbose=0)
        for options in ({}, {"temperature": 1e-300}, {"temperature": 1e300}, {"num_beams": 2}):
            model.generate(tokens[:2, :2], max_length=5, **options)
        model.generate(tokens[:2, :2], max_length=5, temperature=1.0, top_k=3, top_p=1e-300, rng=0)


def test_regularizers_and_norms() -> None:
    values = np.array([1e-30, 3e38, 0.0], np.float32)
    with np.errstate(all="raise"):
        for regularizer in (training.L1(1e-300), training.L2(1e-300), training.L1L2(1.0, 1.0)):
            regularizer.penalty(values)
            regularizer.gradient(values)
        assert training.gradient_norm([values]) == pytest.approx(3e38, rel=1e-6)
        Softmax()(values)
