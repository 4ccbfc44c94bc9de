"""Weights of targets: what counts in a loss, and how much."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from heedful._checks import numbers
from heedful.base._types import Array


class Masked(NamedTuple):
    """A mask, and numbers to multiply with beside it."""

    mask: Array
    factors: Array


class Weights:
    """Those of targets of a shape: True and False say what counts, numbers multiply.

    Attributes
    ----------
    counted : array of bool, or None
        None where everything counts.
    factors : array, or None
    count : int
        What a mean is divided by: what a mask leaves; a number of 0 is divided by as well.
    """

    def __init__(self, given: Any, shape: tuple[int, ...], counted: Array | None = None) -> None:
        self.factors: Array | None = None
        for one in given if isinstance(given, Masked) else (given,):
            if one is None:
                continue
            weights = _spread(one, shape)
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
        """values (shape) or (shape, C) with 0 where nothing counts, whatever stood there."""
        if self.counted is None:
            return values
        return np.where(_beside(self.counted, values), values, values.dtype.type(0))

    def apply(self, values: Array) -> Array:
        """The same, times their factors."""
        values = self.only(values)
        if self.factors is None:
            return values
        weighed: Array = values * _beside(self.factors, values).astype(values.dtype)
        return weighed

    def wrong(self, wrong: Array) -> Array:
        """Of what is wrong, what counts."""
        return wrong if self.counted is None else wrong & self.counted


def _beside(weights: Array, values: Array) -> Array:
    """Weights with the axes of values."""
    return weights.reshape(weights.shape + (1,) * (values.ndim - weights.ndim))


def _spread(given: Any, shape: tuple[int, ...]) -> Array:
    """Weights of the first axes of the shape, or of all, as an array of the shape."""
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
