"""Optimizers by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from heedful._checks import one_of
from heedful.base._module import Module
from heedful.training.optimizers._base import Optimizer
from heedful.training.optimizers._nadam import NAdam
from heedful.training.optimizers._rmsprop import RMSprop
from heedful.training.optimizers._rules import SGD, Adam, AdamW

_NAMES: dict[str, Callable[[Module], Optimizer]] = {
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def as_optimizer(given: Any, model: Module) -> Optimizer:
    """An optimizer by name, or the argument itself if it is one, for this model."""
    if isinstance(given, Optimizer):
        if given.model is not None and given.model is not model:
            raise ValueError("optimizer must be one of this model: it was made for another one")
        given.model = model
        return given
    if isinstance(given, type) and issubclass(given, Optimizer):
        raise TypeError(
            f"optimizer must be an optimizer, not its class: write {given.__name__}(lr=…)"
        )
    name = one_of("optimizer", given.lower() if isinstance(given, str) else given, tuple(_NAMES))
    return _NAMES[name](model)
