"""Memory that a training keeps between its steps, and gives back."""

from __future__ import annotations

import numpy as np
import pytest

from heedful._core._memory import memory
from heedful.layers import Linear, Sequential
from heedful.training import SGD, MeanSquaredError

pytestmark = pytest.mark.once


def model() -> Sequential:
    return Sequential(Linear(64, 512, activation="gelu", rng=0), Linear(512, 64, rng=1))


def test_steps_reuse_memory_while_the_optimizer_lives() -> None:
    layers, loss_fn = model(), MeanSquaredError()
    optimizer = SGD(layers, lr=0.1)
    x = np.random.default_rng(0).standard_normal((2048, 64), dtype=np.float32)
    losses = []
    for _ in range(3):
        y, backward = layers.forward(x)
        loss, dy = loss_fn(x, y)
        losses.append(loss)
        layers.zero_grad()
        backward(dy)
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]
    del y, backward
    # of the activation and what it is computed from, at least
    assert memory.free_bytes() >= 2 * 2048 * 512 * 4
    keepers = memory.keepers
    del optimizer
    assert memory.keepers == keepers - 1


def test_fit_releases_memory() -> None:
    layers = model()
    layers.compile(optimizer="adam", loss="mse")
    x = np.random.default_rng(0).standard_normal((3000, 64), dtype=np.float32)
    layers.fit(x, x, epochs=2, batch_size=1000, verbose=False)
    assert memory.keepers
    assert memory.free_bytes() == 0
