"""Arguments of other libraries that have different names here."""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

# arguments of Keras's and PyTorch's optimizers and callbacks
_ARGUMENTS = {
    "learning_rate": "lr",
    "params": "model, the layer itself",
    "beta_1": "betas=(beta_1, beta_2)",
    "beta_2": "betas=(beta_1, beta_2)",
    "epsilon": "eps",
    "rho": "alpha",
    "clipnorm": "clip_norm, the norm over all parameters",
    "global_clipnorm": "clip_norm",
    "restore_best_weights": "restore_best",
    "filepath": "path",
    "save_best_only": "path and monitor alone: only the best is saved",
    "save_weights_only": "path and monitor alone: only weights are saved",
}


class ArgumentHints:
    """A class whose errors suggest heedful's name for an argument of other libraries."""

    def __new__(cls, *_: Any, **options: Any) -> Self:
        _check(cls, options.keys())
        return super().__new__(cls)


def _check(kind: type[Any], arguments: Set[str]) -> None:
    if not _ARGUMENTS.keys() & arguments:
        return
    from inspect import signature  # only now: rarely needed

    taken = signature(kind.__init__).parameters
    for name in arguments:
        if name in _ARGUMENTS and name not in taken:
            raise TypeError(f"{kind.__name__} has no argument {name}: write {_ARGUMENTS[name]}")
