"""Targets: which score of each example is explained."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import integer_array
from heedful.base._types import Array


def as_targets(given: Any, scores: Array) -> Array:
    """One class for each example of scores (N, C), as (N,).

    None is the class with the highest score. A model with one output has two: 1 is its score, the
    default, and 0 its negative.
    """
    count, classes = scores.shape
    if given is None:
        return scores.argmax(1) if classes > 1 else np.ones(count, np.int64)
    targets = integer_array("target", given)
    if targets.shape not in ((), (count,)):
        raise ValueError(
            f"target must be a class, or one for each of {count} examples: "
            f"got shape {targets.shape}"
        )
    limit = max(classes, 2)
    wrong = [number for number in targets.flat if not 0 <= number < limit]
    if wrong:
        raise ValueError(f"target must lie in [0, {limit}): got {wrong[0]}")
    return np.broadcast_to(targets.astype(np.int64), (count,))


def of_targets(scores: Array, targets: Array) -> Array:
    """(n, C) → (n,)."""
    if scores.shape[1] == 1:
        return np.where(targets == 1, scores[:, 0], -scores[:, 0])
    found: Array = scores[np.arange(len(scores)), targets]
    return found


def gradient_of_targets(shape: tuple[int, ...], targets: Array) -> Array:
    """The gradient of the sum of all targets' scores, of the shape that the model returned."""
    dscores = np.zeros((len(targets), int(np.prod(shape[1:], dtype=int))))
    if dscores.shape[1] == 1:
        dscores[:, 0] = np.where(targets == 1, 1.0, -1.0)
    else:
        dscores[np.arange(len(targets)), targets] = 1.0
    return dscores.reshape(shape)
