"""A model whose attention is monitored, and a training of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful import layers as L
from heedful.training import SGD


def classifier(**options: Any) -> L.Sequential:
    model = L.Sequential(
        L.MultiHeadAttention(8, 2, rng=0, **options),
        L.GlobalAveragePooling(),
        L.Linear(8, 1, rng=1),
    )
    model.compile(optimizer=SGD(lr=0.1), loss="mse")
    return model


def train(model: L.Sequential, monitor: Any, batches: int = 7) -> Any:
    x = np.random.default_rng(8).standard_normal((2 * batches, 5, 8)).astype(np.float32)
    return model.fit(x, x[:, 0, :1], batch_size=2, shuffle=False, callbacks=monitor, verbose=False)
