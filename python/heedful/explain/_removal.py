"""Removal: the scores of examples without some of their features."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np

from heedful._checks import named, numbers
from heedful.base._types import Array
from heedful.explain._baseline import as_baseline
from heedful.explain._scored_model import ScoredModel


class Removal:
    """Examples in which features are replaced by a baseline.

    Parameters
    ----------
    shape : tuple of int
        (N, …), the features of each example: the first axes of the inputs.
    mask : array_like of bool, optional
        Of this shape, False for features that always stay, such as padding.
    """

    def __init__(
        self, scored: ScoredModel, shape: tuple[int, ...], baseline: Any, mask: Any
    ) -> None:
        self.scored = scored
        x = scored.explained
        self.x = x.reshape(len(x), int(np.prod(shape[1:])), -1)  # (N, F, elements of a feature)
        self.base = as_baseline(baseline, x).reshape(self.x.shape)
        self.mask = _as_mask(mask, shape).reshape(self.x.shape[:2])
        self.counts = self.mask.sum(1)  # (N,)

    def ranks(self, relevance: Array, rng: np.random.Generator) -> Array:
        """(N, F) → the rank of each feature, 0 for the most relevant; equal ones in any order."""
        chance = rng.random(relevance.shape)
        order = np.lexsort((chance, np.where(self.mask, -relevance, np.inf)))
        ranks = np.empty(order.shape, np.int64)
        np.put_along_axis(ranks, order, np.arange(order.shape[1])[None], 1)
        return ranks

    def deletion(self, ranks: Array, fraction: float) -> Array:
        """Scores (N,) without the first features of a ranking."""
        if fraction == 0:
            return self.scored.scores
        return self.empty if fraction == 1 else self._score(~self._first(ranks, fraction))

    def insertion(self, ranks: Array, fraction: float) -> Array:
        """Scores (N,) with the first features of a ranking alone."""
        if fraction == 0:
            return self.empty
        if fraction == 1:
            return self.scored.scores
        return self._score(self._first(ranks, fraction) | ~self.mask)

    @cached_property
    def empty(self) -> Array:
        """Scores (N,) without all features that can be removed."""
        return self._score(~self.mask)

    def _first(self, ranks: Array, fraction: float) -> Array:
        # at least one feature from the first fraction on; 1e-9: 0.1 · 30 is above 3
        first = np.ceil(fraction * self.counts - 1e-9)
        found: Array = (ranks < first[:, None]) & self.mask
        return found

    def _score(self, stays: Array) -> Array:
        x = np.where(stays[..., None], self.x, self.base)
        return self.scored.of(x.reshape(self.scored.explained.shape))


def _as_mask(given: Any, shape: tuple[int, ...]) -> Array:
    if given is None:
        return np.ones(shape, np.bool_)
    mask = numbers("mask", given)
    if mask.dtype.kind != "b":
        raise TypeError(f"mask must be boolean, True for features that count: got {named(mask)}")
    if mask.shape != shape:
        raise ValueError(f"mask must have the relevance's shape {shape}: got {mask.shape}")
    if not mask.reshape(len(mask), -1).any(1).all():
        raise ValueError("mask must leave every example a feature: all of one are False")
    return mask


def as_relevance(name: str, given: Any, shape: tuple[int, ...]) -> Array:
    """Relevance (N, …) of inputs of this shape: of their first axes, in float64."""
    if callable(given):
        called = getattr(given, "__name__", "function")
        raise TypeError(f"{name} must be an array, {called}(model, inputs): got the function")
    relevance = numbers(name, given).astype(np.float64)
    if relevance.ndim < 2 or relevance.shape != shape[: relevance.ndim]:
        raise ValueError(
            f"{name} must have the shape of the inputs {shape}, or of their first axes: "
            f"got {relevance.shape}"
        )
    if not np.isfinite(relevance).all():
        raise ValueError(f"{name} must be finite: got NaN or infinite elements")
    return relevance
