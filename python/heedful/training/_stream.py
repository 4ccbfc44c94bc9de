"""Stream: examples from an iterable of batches."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, TypeAlias

import numpy as np

from heedful._checks import named
from heedful.training._batches import Batch, Table


class Stream:
    """An iterable of batches (x, y) or (x, y, sample_weight).

    One that can be iterated repeatedly, such as a PyTorch DataLoader, is iterated once per epoch; a
    generator lasts for one epoch.
    """

    def __init__(self, given: Iterable[Any], name: str = "") -> None:
        self.given, self.name = given, name
        self._started: Iterator[Any] | None = None

    @property
    def once(self) -> bool:
        return isinstance(self.given, Iterator)

    def steps(self, batch_size: int) -> int | None:
        try:
            return len(self.given)  # type: ignore[arg-type]
        except TypeError:
            return None

    def first(self, count: int) -> Batch | None:
        """The first batch; the next pass still begins with it."""
        iterator = iter(self.given)
        given = list(islice(iterator, 1))
        self._started = chain(given, iterator)
        return _batch(given[0], f"{self.name}batch 1, ") if given else None

    def batches(self, batch_size: int, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """In the order of the iterable, with its own sizes."""
        started, self._started, number = self._started, None, 0
        for number, given in enumerate(started or self.given, 1):
            yield _batch(given, f"{self.name}batch {number}, ")
        if not number:
            raise ValueError(f"{self.name}x must yield at least one batch: got none")


Data: TypeAlias = Table | Stream


def as_data(x: Any, y: Any, weight: Any, name: str = "") -> Data:
    """Arrays with their targets, or batches that have both."""
    if y is not None:
        return Table(x, y, weight, name)
    iterable = hasattr(x, "__iter__") and not hasattr(x, "__array__")
    if not iterable or isinstance(x, (str, bytes, dict, tuple)) or _is_plain_list(x):
        raise ValueError(
            f"{name}y must be given, unless {name}x yields batches (x, y): got {named(x)}"
        )
    if weight is not None:
        raise ValueError("sample_weight must be part of the batches: (x, y, sample_weight)")
    return Stream(x, name)


def as_validation(given: Any) -> Data | None:
    """(x, y), (x, y, sample_weight), or an iterable of such batches."""
    if given is None:
        return None
    # a tuple of two or three is one (x, y), and so is a list unless it holds such tuples
    if (holds_batches(given) and (isinstance(given, list) or len(given) not in (2, 3))) or (
        _is_list_of_pairs(given)
    ):
        return Stream(given, "validation ")
    if isinstance(given, (tuple, list)):
        if len(given) in (2, 3) and given[1] is not None:
            return as_data(given[0], given[1], given[2] if len(given) == 3 else None, "validation ")
    elif yields_batches(given):
        return Stream(given, "validation ")
    raise ValueError(
        "validation_data must be (x, y) or (x, y, sample_weight), or an iterable of such batches: "
        f"got {named(given)}"
    )


def yields_batches(given: Any) -> bool:
    """Whether this is an iterable of batches: no array, and nothing that NumPy converts to one."""
    if isinstance(given, (Sequence, Mapping, array)):
        return holds_batches(given)
    arrays = hasattr(given, "__array__") or hasattr(given, "__array_interface__")
    return hasattr(given, "__iter__") and not arrays


def holds_batches(given: Any) -> bool:
    """A sequence of tuples, lists or dicts with arrays in them; plain numbers are one array."""
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes, memoryview)) or not given:
        return False
    return all(isinstance(item, dict) or _holds_an_array(item) for item in given)


def _is_list_of_pairs(given: Any) -> bool:
    return (
        isinstance(given, list)
        and bool(given)
        and all(
            isinstance(item, tuple) and len(item) in (2, 3) and np.ndim(_first(item)) > 0
            for item in given
        )
    )


def _holds_an_array(item: Any) -> bool:
    if not isinstance(item, (tuple, list)) or not item or np.ndim(_first(item)) == 0:
        return False
    return any(
        isinstance(part, dict) or hasattr(part, "__array__") or _holds_an_array(part)
        for part in item
    )


def _first(item: Any) -> Any:
    """The first item, or a list in its place if it is a container: either has an axis."""
    first = item[0]
    return [first] if isinstance(first, (dict, tuple, list)) else first


def _is_plain_list(given: Any) -> bool:
    """A list of numbers or of arrays; one of batches has pairs in it."""
    return isinstance(given, list) and not (given and isinstance(given[0], (tuple, list)))


def _batch(given: Any, name: str) -> Batch:
    if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
        raise ValueError(
            f"{name.rstrip(', ')} must be (x, y) or (x, y, sample_weight): got {named(given)}"
        )
    table = Table(given[0], given[1], given[2] if len(given) == 3 else None, name)
    return table.take(slice(None), f"{name}y")
