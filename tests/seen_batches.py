"""A model that remembers which batches it saw, and batches whose first feature is their index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from heedful.layers import Layer, Linear


class Seen(Layer):
    """Remembers the first feature of what it learns from, and of what it is evaluated on."""

    def __init__(self) -> None:
        self.inner = Linear(4, 1, rng=0)
        self.learned: list[list[float]] = []
        self.evaluated: list[list[float]] = []

    def compute(self, mode: Any, x: Any) -> Any:
        (self.learned if mode.training else self.evaluated).append(x[:, 0].tolist())
        return self.inner.compute(mode, x)


def seen() -> Seen:
    model = Seen()
    model.compile("sgd", "mse")
    return model


def numbered(count: int) -> tuple[Any, Any]:
    x = np.zeros((count, 4))
    x[:, 0] = np.arange(count)
    return x, np.zeros(count)


def batches(count: int, size: int = 2, first: int = 0) -> Iterator[Any]:
    x, y = numbered(count * size)
    x[:, 0] += first
    for at in range(count):
        yield x[at * size : (at + 1) * size], y[at * size : (at + 1) * size]


def endless(size: int = 2) -> Iterator[Any]:
    at = 0
    while True:
        yield from batches(1, size, at)
        at += size


class Loader:
    def __init__(self, count: int) -> None:
        self.count, self.times = count, 0

    def __iter__(self) -> Iterator[Any]:
        self.times += 1
        return batches(self.count)
