"""Sample weights, as every estimator here takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import _check_sample_weight

from heedful.base._types import Array


def check_weights(given: Any, x: Array) -> Array:
    """(N,) in float64, none negative and some positive; None is 1 for each row of x."""
    weights: Array = _check_sample_weight(given, x, dtype=np.float64)
    if (weights < 0).any():
        raise ValueError(f"sample_weight must not be negative: got {weights.min()}")
    if not weights.any():
        raise ValueError("sample_weight must be positive for some example: got zeros")
    return weights
