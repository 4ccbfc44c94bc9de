"""Whether a model returns probabilities or logits, where that is known."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from heedful.base._module import Module
from heedful.training.losses._loss import CROSS_ENTROPIES


def ends_in_probabilities(model: Module) -> bool | None:
    """Whether the output activation of a model is a sigmoid or softmax; None if unknown."""
    activation = model.ends_in(None)
    if activation == "constant":
        raise ValueError(
            "the model ends in a softmax over 1 unit, which is always 1: write activation='sigmoid'"
        )
    if activation in ("sigmoid", "softmax"):
        return True
    return False if activation == "linear" else None


class LogitsCheck:
    """Warns where outputs taken as logits may be probabilities: all of an epoch are in [0, 1]."""

    def __init__(self, loss: Any, probabilities: bool | None) -> None:
        entropy = isinstance(loss, CROSS_ENTROPIES)
        self.alive = entropy and loss.from_logits and probabilities is None
        self.name = type(loss).__name__

    def observe(self, prediction: Any) -> None:
        # the first value outside [0, 1] ends the check, usually in the first batch
        if self.alive and prediction.size:
            self.alive = bool(np.min(prediction) >= 0 and np.max(prediction) <= 1)

    def warn(self) -> None:
        """After an epoch, once."""
        if self.alive:
            self.alive = False
            warnings.warn(
                "all outputs of the model lay in [0, 1] and were taken as logits: if they are "
                f"probabilities, compile with loss={self.name}(from_logits=False)",
                UserWarning,
                stacklevel=6,
            )


Suspicion = LogitsCheck  # its name in earlier pickles
