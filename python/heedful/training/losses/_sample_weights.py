"""Sample weights: masks and factors of targets in a loss."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import numbers
from heedful.base._types import Array


class Masked(NamedTuple):
    """A mask, and factors in addition."""

    mask: Array
    factors: Array


class SampleWeights:
    """Weights of targets of a shape: booleans are a mask, numbers multiply the losses.

    Attributes
    ----------
    counted : array of bool, or None
        None where all targets count.
    factors : array, or None
    count : int
        Divisor of a mean: the number of targets that a mask leaves, also those with the factor 0.
    """

    def __init__(self, given: Any, shape: tuple[int, ...], counted: Array | None = None) -> None:
        self.factors: Array | None = None
        for one in given if isinstance(given, Masked) else (given,):
            if one is None:
                continue
            weights = _broadcast(one, shape)
            if weights.dtype != np.bool_:
                self.factors = weights
            else:
                counted = weights if counted is None else counted & weights
        self.count = math.prod(shape) if counted is None else int(counted.sum())
        if self.factors is not None and not bool(self.factors.all()):
            there = self.factors != 0
            counted = there if counted is None else counted & there
        self.counted = counted

    def only(self, values: Array) -> Array:
        """values (shape) or (shape, C), with 0 for targets that do not count, even for NaN."""
        if self.counted is None:
            return values
        return np.where(_with_axes(self.counted, values), values, values.dtype.type(0))

    def apply(self, values: Array) -> Array:
        """The same, times the factors."""
        values = self.only(values)
        if self.factors is None:
            return values
        weighted: Array = values * _with_axes(self.factors, values).astype(values.dtype)
        return weighted

    def wrong(self, wrong: Array) -> Array:
        """Which wrong targets count."""
        return wrong if self.counted is None else wrong & self.counted


def _with_axes(weights: Array, values: Array) -> Array:
    """Weights with as many axes as values."""
    return weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))


def _broadcast(given: Any, shape: tuple[int, ...]) -> Array:
    """Weights of the first axes of the shape, or of all, broadcast to the shape."""
    weights = checked_weights(given)
    if weights.ndim > 1 and weights.shape[-1] == 1 and weights.shape != shape[: weights.ndim]:
        weights = weights[..., 0]
    if weights.shape != shape[: weights.ndim]:
        raise ValueError(
            f"sample_weight must have the first axes of {shape}, such as {shape[:1]}: "
            f"got shape {weights.shape}"
        )
    more = (1,) * (len(shape) - weights.ndim)
    return np.broadcast_to(weights.reshape(weights.shape + more), shape)


def checked_weights(given: Any) -> Array:
    weights = numbers("sample_weight", given)
    if weights.ndim == 0:
        raise ValueError(f"sample_weight must be an array, a row for each target: got {given!r}")
    if weights.dtype != np.bool_ and not bool(((weights >= 0) & (weights < np.inf)).all()):
        raise ValueError("sample_weight must be finite and not negative")
    return weights
