"""Mode: training or inference, as passed to every layer of a model."""

from typing import NamedTuple

import numpy as np


class Mode(NamedTuple):
    """The mode of a forward pass.

    training : a backward pass may follow, so what it needs is kept; dropout is active
    rng : the generator of dropout and noise; unused otherwise
    penalties : those of the layers' outputs, which they add in training; None: they are not wanted
    """

    training: bool
    rng: np.random.Generator | None
    penalties: list[float] | None = None

    def seed(self) -> int:
        """A seed for one call of a function with a counter-based generator."""
        assert self.rng is not None
        return int(self.rng.integers(0, 2**64, dtype=np.uint64))

    def add_penalty(self, value: float) -> None:
        """Adds to what the model's loss grows by."""
        if self.penalties is not None:
            self.penalties.append(value)


INFERENCE = Mode(False, None)
