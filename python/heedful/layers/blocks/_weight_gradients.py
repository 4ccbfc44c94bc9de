"""add_gradients: of the weight and the bias of a dense product."""

from __future__ import annotations

from heedful._core import native
from heedful.base._sums import add_sum_of_rows
from heedful.base._types import Array


def add_gradients(dy: Array, x: Array, dweight: Array | None, dbias: Array | None) -> None:
    """dW += dyᵀ x, db += Σ dy, over rows; None is the gradient of what is frozen, or not there."""
    if dweight is not None:
        native.linear_gradient_weight(dy, x, dweight, dbias)
    elif dbias is not None:
        add_sum_of_rows(dy, dbias)
