"""Examples of a data set, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.training._types import Array


class Inputs:
    """The inputs of a model: one array, a tuple of them, or a dict of them by name.

    All have the examples as their first axis.
    """

    def __init__(self, name: str, given: Any) -> None:
        self.by_name: dict[str, Array] = {}
        self.by_place: tuple[Array, ...] = ()
        if isinstance(given, dict):
            self.by_name = {key: np.asarray(array) for key, array in given.items()}
        elif isinstance(given, tuple):
            self.by_place = tuple(np.asarray(array) for array in given)
        else:
            self.by_place = (np.asarray(given),)
        arrays = [*self.by_place, *self.by_name.values()]
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise ValueError(f"{name} must be arrays of examples: got {named(given)}")
        counts = {len(array) for array in arrays}
        if len(counts) > 1:
            raise ValueError(f"{name} must have the same number of examples: got {sorted(counts)}")
        (self.count,) = counts

    def take(self, rows: Any) -> tuple[tuple[Array, ...], dict[str, Array]]:
        by_place = tuple(array[rows] for array in self.by_place)
        return by_place, {name: array[rows] for name, array in self.by_name.items()}


def slices(count: int, batch_size: int, order: Array | None = None) -> Iterator[Any]:
    """The rows of each batch, the last one may be smaller."""
    for first in range(0, count, batch_size):
        last = min(first + batch_size, count)
        yield slice(first, last) if order is None else order[first:last]


def check_targets(y: Any, inputs: Inputs, name: str = "y") -> Array:
    targets = np.asarray(y)
    if targets.ndim == 0 or len(targets) != inputs.count:
        raise ValueError(
            f"{name} must have one target for each of {inputs.count} examples: got {named(targets)}"
        )
    return targets
