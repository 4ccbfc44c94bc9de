"""Outputs: the outputs of a model for each batch, concatenated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import as_array, named
from heedful.base._types import Array


class Outputs:
    """One array, or tuples, lists and dicts of them, nested to any depth.

    Every array has the examples as its first axis; an output that is None is None in every batch.
    """

    def __init__(self) -> None:
        self.batches: list[Any] = []

    def add(self, found: Any, count: int) -> None:
        """The outputs for a batch of `count` examples."""
        self.batches.append(_checked(found, count, "output"))

    def concatenated(self) -> Any:
        return _concatenated(self.batches, "output")


def _checked(found: Any, count: int, name: str) -> Any:
    """The same structure, with array-likes converted to arrays."""
    if found is None:
        return None
    if isinstance(found, Mapping):
        return {key: _checked(part, count, f"{name}[{key!r}]") for key, part in found.items()}
    if isinstance(found, (tuple, list)):
        parts = [_checked(part, count, f"{name}[{at}]") for at, part in enumerate(found)]
        return _like(found, parts)
    array = as_array(name, found)
    if array.dtype.kind == "O":
        raise TypeError(
            f"predict needs outputs that are arrays, or tuples, lists or dicts of arrays: {name} "
            f"is {named(found)}"
        )
    if array.ndim == 0 or len(array) != count:
        raise ValueError(
            f"predict needs outputs whose first axis is the examples: {name} has shape "
            f"{array.shape} for a batch of {count}"
        )
    return array


def _concatenated(batches: list[Any], name: str) -> Any:
    first = batches[0]
    if any(_kind(batch) != _kind(first) for batch in batches):
        raise ValueError(f"predict needs outputs that are alike in all batches: {name} is not")
    if first is None:
        return None
    if isinstance(first, dict):
        return {key: _concatenated([b[key] for b in batches], f"{name}[{key!r}]") for key in first}
    if isinstance(first, (tuple, list)):
        columns = zip(*batches, strict=True)
        parts = [_concatenated(list(column), f"{name}[{at}]") for at, column in enumerate(columns)]
        return _like(first, parts)
    shapes = sorted({batch.shape[1:] for batch in batches})
    if len(shapes) > 1:
        raise ValueError(
            "predict needs outputs of the same shape for all examples: "
            f"{name} has {' and '.join(str(shape) for shape in shapes[:3])} per example"
        )
    whole: Array = np.concatenate(batches)
    return whole


def _kind(found: Any) -> Any:
    """The structure, which must be the same in every batch."""
    if isinstance(found, dict):
        return dict, frozenset(found)
    if isinstance(found, (tuple, list)):
        return type(found), len(found)
    return type(None) if found is None else np.ndarray


def _like(found: Any, parts: list[Any]) -> Any:
    """A tuple, a list or a named tuple, as in `found`."""
    if isinstance(found, list):
        return parts
    return type(found)(*parts) if hasattr(found, "_fields") else tuple(parts)
