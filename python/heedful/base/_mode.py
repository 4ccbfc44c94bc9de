"""Whether a layer is used or trained, which is what every layer of a model is told."""

from typing import NamedTuple

import numpy as np


class Mode(NamedTuple):
    """How a pass through a model is made.

    training : a backward pass may follow, so what it needs is kept; dropout is active
    rng : where dropout and noise draw from; unused otherwise
    """

    training: bool
    rng: np.random.Generator | None

    def seed(self) -> int:
        """A seed for one call of a function that draws from counters."""
        assert self.rng is not None
        return int(self.rng.integers(0, 2**64, dtype=np.uint64))


INFERENCE = Mode(False, None)
