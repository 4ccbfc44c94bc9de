"""Copies of a compiled model continue with the same bits."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from small_training import network, points

from heedful.layers import Dense, Embedding, GlobalAveragePooling1D, MultiHeadAttention, Sequential
from heedful.training import L2, SGD, Adam, AdamW, WarmupCosine


@pytest.mark.parametrize("way", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize(
    "optimizer",
    ["adam", SGD(lr=0.1, momentum=0.9), AdamW(lr=WarmupCosine(0.1, 2, 9), clip_norm=1.0)],
    ids=["adam", "sgd", "adamw"],
)
def test_a_copy_continues_with_the_same_bits(
    way: Any, epochs: int, optimizer: Any, rng: np.random.Generator
) -> None:
    x, y = points(rng)
    model = network(0.3, optimizer=copy.deepcopy(optimizer), metrics=["accuracy", "mae"])
    if epochs:
        model.fit(x, y, epochs=epochs, verbose=False, rng=3)
    other = way(model)
    for one in (model, other):
        one.fit(x, y, epochs=2, verbose=False, rng=None if epochs else 3)
    assert other.history.history == model.history.history
    assert other.optimizer.model is other
    for name, array in model.parameters().items():
        assert other.parameters()[name] is not array
        np.testing.assert_array_equal(array, other.parameters()[name])


@pytest.mark.parametrize("loss", ["binary", "sparse_categorical", "categorical"])
def test_models_that_are_not_built_yet_can_be_copied(loss: str, rng: np.random.Generator) -> None:
    x = rng.integers(0, 9, (40, 5))
    y: Any = x[:, 0] % 2
    units = 1 if loss == "binary" else 2
    model = Sequential([
        Embedding(9, 8, rng=0), MultiHeadAttention(8, 2, rng=0), GlobalAveragePooling1D(),
        Dense(units, kernel_regularizer=L2(1e-3), rng=0),
    ])  # fmt: skip
    model.compile(Adam(groups={"*.bias": {"lr_factor": 2.0}}), f"{loss}_crossentropy", ["accuracy"])
    other = pickle.loads(pickle.dumps(copy.deepcopy(model)))
    y = np.eye(2)[y] if loss == "categorical" else y
    for one in (model, other):
        one.fit(x, y, verbose=False, rng=3)
    assert other.history.history == model.history.history
    for name, array in model.parameters().items():
        np.testing.assert_array_equal(array, other.parameters()[name])
