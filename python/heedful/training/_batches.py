"""Examples of a data set, batch by batch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import as_array, named, real
from heedful.base._types import Array
from heedful.training.losses._sample_weights import checked_weights


class Batch(NamedTuple):
    """The examples of one training step.

    inputs : by position and by name
    name : name of the targets in messages
    """

    by_position: tuple[Array, ...]
    by_name: dict[str, Any]  # of arrays
    target: Array
    weight: Array | None
    name: str

    def is_like(self, other: Batch) -> bool:
        """Whether both have the same shapes of an example and kinds of dtype."""
        return bool(_kinds(self) == _kinds(other))


def _kinds(batch: Batch) -> Any:
    arrays = dict(enumerate(batch.by_position)) | batch.by_name | {"": batch.target}
    return {name: (array.shape[1:], array.dtype.kind) for name, array in arrays.items()}


class Inputs:
    """The inputs of a model: one array, a tuple of them, or a dict of them by name.

    All have the examples as their first axis.
    """

    def __init__(self, name: str, given: Any) -> None:
        self.by_name: dict[str, Array] = {}
        self.by_position: tuple[Array, ...] = ()
        if isinstance(given, dict):
            self.by_name = {key: as_array(name, array) for key, array in given.items()}
        elif isinstance(given, tuple):
            self.by_position = tuple(as_array(name, array) for array in given)
        else:
            self.by_position = (_as_one(name, given),)
        arrays = [*self.by_position, *self.by_name.values()]
        if not arrays or any(array.ndim == 0 for array in arrays):
            raise ValueError(f"{name} must be arrays of examples: got {named(given)}")
        counts = {len(array) for array in arrays}
        if len(counts) > 1:
            raise ValueError(f"{name} must have the same number of examples: got {sorted(counts)}")
        (self.count,) = counts

    def take(self, rows: Any) -> tuple[tuple[Array, ...], dict[str, Array]]:
        by_position = tuple(array[rows] for array in self.by_position)
        return by_position, {name: array[rows] for name, array in self.by_name.items()}


def _as_one(name: str, given: Any) -> Array:
    """A list is one array, as in NumPy; the error hints at a tuple for several inputs."""
    several = isinstance(given, list) and bool(given)
    several = several and all(isinstance(item, np.ndarray) and item.ndim for item in given)
    if several and len({item.shape for item in given}) > 1:
        shapes = ", ".join(str(item.shape) for item in given[:3]) + ", …" * (len(given) > 3)
        raise ValueError(
            f"{name} must be one array, or a tuple of arrays for a model of several inputs: "
            f"got a list of arrays of shapes {shapes}"
        )
    return as_array(name, given)


class Table:
    """Inputs, targets and weights of all examples."""

    def __init__(self, x: Any, y: Any, weight: Any = None, name: str = "") -> None:
        self.name, self.inputs = name, Inputs(f"{name}x", x)
        self.count = self.inputs.count
        self.targets = as_array(f"{name}y", y)
        if self.targets.ndim == 0 or len(self.targets) != self.count:
            raise ValueError(
                f"{name}y must have one target for each of {self.count} examples: "
                f"got {named(self.targets)}"
                f"{'; several inputs are a tuple, a list is one array' * isinstance(x, list)}"
            )
        if not self.count:
            raise ValueError(f"{name}x must have at least one example: got none")
        self.weight = None if weight is None else checked_weights(weight)
        if self.weight is not None and len(self.weight) != self.count:
            raise ValueError(
                f"{name}sample_weight must have one row for each of {self.count} examples: "
                f"got {len(self.weight)}"
            )
        if self.weight is not None and not self.weight.any():
            raise ValueError(f"{name}sample_weight must let something count: all is 0")

    def steps(self, batch_size: int) -> int:
        return -(-self.count // batch_size)

    def take(self, rows: Any, name: str = "y") -> Batch:
        by_position, by_name = self.inputs.take(rows)
        weight = None if self.weight is None else self.weight[rows]
        return Batch(by_position, by_name, self.targets[rows], weight, name)

    def first(self, count: int) -> Batch:
        return self.take(slice(0, count), f"{self.name}y")

    def batches(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """In order, or shuffled if there is a generator."""
        order = None if rng is None else rng.permutation(self.count)
        for rows in slices(self.count, batch_size, order):
            yield self.take(rows)

    def split(self, fraction: Any) -> tuple[Table, Table]:
        """The first examples, and this fraction of them at the end."""
        fraction = real("validation_split", fraction)
        first = math.floor(self.count * (1 - fraction)) if 0 < fraction < 1 else 0
        if not 0 < first < self.count:
            raise ValueError(
                "validation_split must lie between 0 and 1 and leave examples on both sides: "
                f"got {fraction} of {self.count}"
            )
        return self._rows(slice(0, first), ""), self._rows(slice(first, None), "validation ")

    def _rows(self, rows: slice, name: str) -> Table:
        by_position, by_name, targets, weight, _ = self.take(rows)
        return Table(by_name or by_position, targets, weight, name)


def slices(count: int, batch_size: int, order: Array | None = None) -> Iterator[Any]:
    """The rows of each batch; the last one may be smaller."""
    for first in range(0, count, batch_size):
        last = min(first + batch_size, count)
        yield slice(first, last) if order is None else order[first:last]
