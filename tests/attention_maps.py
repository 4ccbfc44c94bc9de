"""Weights of attention that tests of pages show."""

from __future__ import annotations

import numpy as np

WORDS = ["[CLS]", "the", "cat", "sat", "down", "[SEP]"]


def looks_at(target: list[int], keys: int, share: float = 0.9) -> np.ndarray:
    """Weights (Lq, Lk): query i gives `share` to key target[i], the rest evenly to the others."""
    weights = np.full((len(target), keys), (1 - share) / (keys - 1))
    weights[np.arange(len(target)), target] = share
    return weights
