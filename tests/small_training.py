"""A small model, and data that it learns quickly, shared by tests of training."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.layers import Dropout, Linear, Sequential


def points(rng: np.random.Generator, count: int = 120) -> tuple[Any, Any]:
    x = rng.standard_normal((count, 4)).astype(np.float32)
    return x, (x[:, 0] + x[:, 1] > 0).astype(int)


def network(rate: float = 0.0, **options: Any) -> Sequential:
    model = Sequential(Linear(4, 8, activation="tanh", rng=0), Dropout(rate), Linear(8, 1, rng=1))
    model.compile(**{"loss": "binary_crossentropy", "metrics": ["accuracy"], **options})
    return model
