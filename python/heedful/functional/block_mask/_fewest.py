"""The fewest blocks of each row that hold a given share of its weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import named, real


def check_mass(mass: Any) -> float:
    share = real("mass", mass)
    if not 0.0 < share <= 1.0:
        raise ValueError(f"mass must be above 0 and at most 1: got {named(mass)}")
    return share


def fewest(weights: NDArray[np.float64], mass: float) -> NDArray[np.bool_]:
    """Which blocks (…, nq, nk) to keep; of equal ones the first. A row without weight keeps none.

    All of a row that holds NaN are kept.
    """
    order = np.argsort(-weights, axis=-1, kind="stable")
    ordered = np.take_along_axis(weights, order, axis=-1)
    total = np.cumsum(ordered, axis=-1)
    before = np.concatenate([np.zeros_like(total[..., :1]), total[..., :-1]], axis=-1)
    kept = np.empty(weights.shape, bool)
    np.put_along_axis(kept, order, ~(before >= mass * total[..., -1:]), axis=-1)
    return kept
