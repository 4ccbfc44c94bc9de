"""The norm over all gradients, also where their squares overflow."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from heedful._checks import named
from heedful.base._parameter import Parameter
from heedful.base._types import Array


@np.errstate(all="ignore")
def gradient_norm(gradients: Iterable[Array | None]) -> float:
    """√Σ g² over all of them; NaN or inf if one of them holds such. None is skipped."""
    if not isinstance(gradients, Iterable):
        raise TypeError(f"gradients must be a sequence of arrays: got {named(gradients)}")
    there = [gradient for gradient in gradients if gradient is not None]
    squares = [np.vdot(gradient, gradient) for gradient in there]
    total = float(np.sum(squares, dtype=np.float64))
    if math.isfinite(total):
        return math.sqrt(total)
    # squares of float32 overflow above 2e19: again, relative to the largest
    maxima = [float(np.abs(gradient).max()) for gradient in there if gradient.size]
    largest = float(np.max(maxima))
    if not math.isfinite(largest):
        return largest
    parts = [np.square(gradient / largest, dtype=np.float64).sum() for gradient in there]
    return largest * math.sqrt(float(np.sum(parts)))


def not_finite(found: list[tuple[str, Parameter]], norm: float) -> str:
    """The message about the gradient that prevents a step."""
    for name, own in found:
        if own.grad is not None and not np.isfinite(own.grad).all():
            kind = "nan" if np.isnan(own.grad).any() else "inf"
            return f"the gradient of {name} is {kind}"
    return f"the gradient has a norm of {norm:.3g}, too large for a step"
