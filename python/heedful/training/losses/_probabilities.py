"""Whether a model gives probabilities or logits, as far as that can be seen."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from heedful.base._module import Module
from heedful.training.losses._loss import CROSS_ENTROPIES


def ends_in_probabilities(model: Module) -> bool | None:
    """Whether the last thing that a model does is to make probabilities; None: nobody can see."""
    activation = model.ends_in(None)
    if activation == "constant":
        raise ValueError(
            "the model ends in a softmax over 1 unit, which is always 1: write activation='sigmoid'"
        )
    if activation in ("sigmoid", "softmax"):
        return True
    return False if activation == "linear" else None


class Suspicion:
    """That outputs taken for logits are probabilities: all of an epoch lie in [0, 1]."""

    def __init__(self, loss: Any, probabilities: bool | None) -> None:
        entropy = isinstance(loss, CROSS_ENTROPIES)
        self.alive = entropy and loss.from_logits and probabilities is None
        self.name = type(loss).__name__

    def look(self, prediction: Any) -> None:
        # the first number outside ends it, mostly in the first batch
        if self.alive and prediction.size:
            self.alive = bool(np.min(prediction) >= 0 and np.max(prediction) <= 1)

    def tell(self) -> None:
        """Behind an epoch, once."""
        if self.alive:
            self.alive = False
            warnings.warn(
                "all outputs of the model lay in [0, 1] and were taken as logits: if they are "
                f"probabilities, compile with loss={self.name}(from_logits=False)",
                UserWarning,
                stacklevel=6,
            )
