"""Mode: training or inference, as passed to every layer of a model."""

from typing import NamedTuple

import numpy as np


class Mode(NamedTuple):
    """The mode of a forward pass.

    training : a backward pass may follow, so what it needs is kept; dropout is active
    rng : the generator of dropout and noise; unused otherwise
    """

    training: bool
    rng: np.random.Generator | None

    def seed(self) -> int:
        """A seed for one call of a function with a counter-based generator."""
        assert self.rng is not None
        return int(self.rng.integers(0, 2**64, dtype=np.uint64))


INFERENCE = Mode(False, None)
