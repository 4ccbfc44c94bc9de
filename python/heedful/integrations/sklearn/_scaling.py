"""Scaling: features or targets with weighted mean 0 and standard deviation 1."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful.base._types import Array


class Scaling(NamedTuple):
    mean: Array
    deviation: Array  # 1 where it is 0

    @classmethod
    def of(cls, x: Array, weights: Array) -> Scaling:
        """x (N, columns), weights (N,)."""
        share = weights / weights.sum()
        wide = x.astype(np.float64)
        mean = share @ wide
        deviation = np.sqrt(share @ (wide - mean) ** 2)
        # what rounding leaves of a constant column is no variation
        constant = deviation <= 1e-12 * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, deviation))

    def scaled(self, x: Array) -> Array:
        found: Array = ((x - self.mean) / self.deviation).astype(x.dtype)
        return found

    def restored(self, x: Array) -> Array:
        found: Array = (x * self.deviation + self.mean).astype(x.dtype)
        return found
