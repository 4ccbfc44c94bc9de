"""What a model ends in, as far as that can be seen: probabilities or scores of any size."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from heedful.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    Layer,
    Linear,
    Sequential,
    Softmax,
)
from heedful.training.losses._loss import CROSS_ENTROPIES

# what comes out of these is of the kind that goes in
_TRANSPARENT = (Dropout, Flatten, GlobalAveragePooling)


def ends_in_probabilities(model: Layer) -> bool | None:
    """Whether the last thing that a model does is to make probabilities; None: nobody can see."""
    last = _last(model)
    if isinstance(last, Dense):
        if last.softmax is not None and last.units == 1:
            raise ValueError(
                "the model ends in a softmax over 1 unit, which is always 1: write "
                "activation='sigmoid'"
            )
        return True if last.softmax is not None else _of_activation(last.activation)
    if isinstance(last, (Linear, Activation)):
        return _of_activation(last.activation)
    return True if isinstance(last, Softmax) else None


def _last(model: Layer) -> Layer | None:
    if not isinstance(model, Sequential):
        return None if isinstance(model, _TRANSPARENT) else model
    for index in range(len(model) - 1, -1, -1):
        found = _last(model[index])
        if found is not None:
            return found
    return None


def _of_activation(name: str | None) -> bool | None:
    return True if name == "sigmoid" else (False if name is None else None)


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
