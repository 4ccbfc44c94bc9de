"""Predictions as losses take them: logits, or probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import numbers
from heedful.base._types import Array

# lower bound of probabilities before the logarithm; its inverse is finite in float32, too
FLOOR = 1e-30


def floating(prediction: Any) -> Array:
    """Predictions in the type of their gradient: integers and bools become float64."""
    array = numbers("prediction", prediction)
    if array.dtype.kind in "iub":
        return array.astype(np.float64)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def as_rows(prediction: Array) -> Array:
    """(…, C) as (rows, C) in a floating type that compiled functions support."""
    dtype = prediction.dtype if prediction.dtype in (np.float32, np.float64) else np.float64
    return np.require(prediction.reshape(-1, prediction.shape[-1]), dtype, ["C", "ALIGNED"])


def check_probabilities(prediction: Array) -> None:
    """Reject logits: those outside [0, 1] would silently be clipped."""
    wrong = (prediction < -1e-5) | (prediction > 1 + 1e-5)  # sums are rounded
    if wrong.any():
        raise ValueError(
            f"prediction must lie in [0, 1] where from_logits is False: got "
            f"{prediction[wrong][0]:g}; scores of any size need from_logits=True"
        )


@np.errstate(all="ignore")
def log_probabilities(rows: Array, from_logits: bool) -> tuple[Array, Array]:
    """log p and p, row by row."""
    if not from_logits:
        check_probabilities(rows)
        p = np.clip(rows, rows.dtype.type(FLOOR), 1)
        return np.log(p), p
    shifted = rows - rows.max(-1, keepdims=True)
    p = np.exp(shifted)
    sums = p.sum(-1, keepdims=True)
    shifted -= np.log(sums)
    p /= sums
    return shifted, p


@np.errstate(all="ignore")
def sigmoid(x: Array) -> Array:
    e = np.exp(-np.abs(x))
    p: Array = np.where(x >= 0, 1, e) / (1 + e)
    return p
