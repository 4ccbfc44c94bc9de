"""The baseline: what stands where a feature is absent."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import as_array, named, numbers
from heedful.base._types import Array


def as_baseline(given: Any, x: Array) -> Array:
    """The baseline of x (N, …), of its shape; None is 0."""
    if given is None:
        return np.zeros_like(x)
    array = numbers("baseline", as_array("baseline", given))
    if x.dtype.kind in "iu" and array.dtype.kind not in "iu":
        raise TypeError(f"baseline must be integers as the inputs are: got {named(given)}")
    try:
        found = np.broadcast_to(array, x.shape)
    except ValueError:
        raise ValueError(
            f"baseline must be a number or broadcast to the inputs {x.shape}: got {array.shape}"
        ) from None
    return found
