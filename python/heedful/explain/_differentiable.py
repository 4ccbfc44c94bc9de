"""Differentiable: the gradient of targets' scores by what a model computes with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.explain._baseline import as_baseline
from heedful.explain._embedding_tap import EmbeddingTap
from heedful.explain._scored_model import ScoredModel, as_scores
from heedful.explain._targets import gradient_of_targets, of_targets
from heedful.layers import Layer
from heedful.layers.attention._feature_importance import without_dropout

Gradient = Callable[[Array, Array], Any]


class Differentiable:
    """A model's scores and their gradient by the explained input, or by its tokens' vectors.

    A layer is copied without dropout, so that neither the model nor its gradients change.
    """

    def __init__(self, scored: ScoredModel, gradient: Gradient | None) -> None:
        self.scored, self.gradient = scored, gradient
        self.tap: EmbeddingTap | None = None
        if gradient is not None:
            if not callable(gradient):
                raise TypeError(
                    f"gradient must be a function (x, dscores) → dx or None: got {named(gradient)}"
                )
        elif isinstance(scored.model, Layer):
            self.model = without_dropout(scored.model)
            if scored.explained.dtype.kind in "iu":
                self.tap = EmbeddingTap(self.model)
        else:
            raise TypeError(
                "model must be a layer, or gradient a function (x, dscores) → dx: "
                f"got {named(scored.model)} and None"
            )

    def ends(self, rows: slice, baseline: Any) -> tuple[Array, Array]:
        """What is differentiated, (n, …) in float64, and the baseline, of the same shape."""
        x = self.scored.explained[rows]
        base = as_baseline(baseline, self.scored.explained)[rows]
        if self.tap is None:
            return x.astype(np.float64), base.astype(np.float64)
        self.tap.start(x)
        self._forward(x, rows)
        if self.tap.embedding is None:
            raise TypeError(
                "inputs must be floating: integers are tokens, but no Embedding gets them"
            )
        vectors = self.tap.of(x).astype(np.float64)
        if baseline is None:
            return vectors, np.zeros_like(vectors)
        return vectors, self.tap.of(base).astype(np.float64)

    def at(self, point: Array, rows: slice) -> tuple[Array, Array]:
        """The score of each target (n,) at a point, and its gradient, of the point's shape."""
        x, targets = self.scored.explained[rows], self.scored.targets[rows]
        if self.gradient is not None:
            by_position, by_name = self.scored.batch(point, rows)
            y = np.asarray(self.scored.model(*by_position, **by_name))
            scores = as_scores(y, len(x))
            dx: Any = np.asarray(self.gradient(point, gradient_of_targets(y.shape, targets)))
        elif self.tap is not None:
            self.tap.vectors, self.tap.dvectors = point, None
            y, backward = self._forward(x, rows)
            scores = as_scores(y, len(x))
            backward(gradient_of_targets(y.shape, targets).astype(y.dtype))
            dx = self.tap.dvectors
        else:
            y, backward = self._forward(point, rows)
            scores = as_scores(y, len(x))
            dx = backward(gradient_of_targets(y.shape, targets).astype(y.dtype))
            dx = dx[0] if isinstance(dx, tuple) else dx
        if not isinstance(dx, np.ndarray) or dx.shape != point.shape:
            source = "model" if self.gradient is None else "gradient"
            raise TypeError(
                f"{source} must return a gradient of the input, of shape {point.shape}: "
                f"got {named(dx)}"
            )
        return of_targets(scores, targets), dx.astype(np.float64)

    def _forward(self, x: Array, rows: slice) -> tuple[Any, Any]:
        by_position, by_name = self.scored.batch(x, rows)
        return self.model.forward(*by_position, rng=0, **by_name)

    def reduced(self, relevance: Array) -> Array:
        """Of the shape of the explained input: summed over the elements of a token's vector."""
        return relevance if self.tap is None else relevance.sum(-1)
