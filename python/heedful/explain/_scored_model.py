"""ScoredModel: a model as a function from examples to the score of one target for each."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named, numbers, size
from heedful.base._types import Array
from heedful.explain._targets import as_targets, of_targets
from heedful.training._batches import Inputs, slices


class ScoredModel:
    """The scores of a layer, or of any function x → scores (N,) or (N, C).

    Parameters
    ----------
    inputs : array_like, or a tuple of them, or a dict of them
        As of `fit`. The first one, `explained`, is what relevance is asked for; `rows` are the
        examples of each batch.
    target
        See :func:`as_targets`; None is resolved with these inputs.
    """

    def __init__(self, model: Any, inputs: Any, target: Any, batch_size: int) -> None:
        if not callable(model):
            raise TypeError(f"model must be a layer or a function of x: got {named(model)}")
        self.model = model
        self.inputs = Inputs("inputs", inputs)
        if not self.inputs.count:
            raise ValueError("inputs must have at least one example: got none")
        first = (*self.inputs.by_position, *self.inputs.by_name.values())[0]
        self.explained = numbers("inputs", first)
        if self.explained.ndim < 2:
            raise ValueError(
                f"inputs must have shape (N, …), examples along the first axis: got {first.shape}"
            )
        self.rows = list(slices(self.inputs.count, size("batch_size", batch_size)))
        scores = np.concatenate([self.all_scores(self.explained[rows], rows) for rows in self.rows])
        self.targets = as_targets(target, scores)
        self.scores = of_targets(scores, self.targets)

    def batch(self, x: Array, rows: slice) -> tuple[tuple[Array, ...], dict[str, Any]]:
        """The inputs of these examples with x in place of the explained one."""
        by_position, by_name = self.inputs.take(rows)
        if by_position:
            return (x, *by_position[1:]), by_name
        return (), {**by_name, next(iter(by_name)): x}

    def all_scores(self, x: Array, rows: slice) -> Array:
        """x (n, …) in place of these examples → scores (n, C) in float64."""
        by_position, by_name = self.batch(x, rows)
        return as_scores(self.model(*by_position, **by_name), len(x))

    def of(self, x: Array) -> Array:
        """x (N, …) in place of the explained input → the score of each target (N,)."""
        return np.concatenate(
            [of_targets(self.all_scores(x[rows], rows), self.targets[rows]) for rows in self.rows]
        )


def as_scores(given: Any, count: int) -> Array:
    """What a model returned, as (n, C) in float64."""
    scores = numbers("the scores of model", given)
    if scores.ndim not in (1, 2) or len(scores) != count or not scores.size:
        raise ValueError(
            f"model must return scores (N,) or (N, C) of {count} examples: got {named(scores)}"
        )
    scores = scores.astype(np.float64).reshape(count, -1)
    if not np.isfinite(scores).all():
        raise ValueError("model must return finite scores: got NaN or infinite ones")
    return scores
