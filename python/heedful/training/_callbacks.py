"""Callbacks: what fit calls between epochs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from heedful._checks import finite, named, one_of, size
from heedful.layers import Layer
from heedful.training._checkpoint import save_weights
from heedful.training._types import Array


class Callback:
    """What fit calls. Set ``stop = True`` to end the training behind the epoch.

    A plain function ``f(epoch, logs)`` is accepted in its place, and called behind each epoch.
    """

    stop = False

    def on_begin(self, model: Layer) -> None:
        """Before the first epoch."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        """Behind an epoch, with what history gets."""

    def on_end(self) -> None:
        """Behind the last epoch; also when fit was interrupted."""


class _Watcher(Callback):
    """Follows one number of the logs."""

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        mode = one_of("mode", mode, ("auto", "min", "max"))
        if mode == "auto":
            mode = "max" if "acc" in monitor else "min"
        self.monitor, self.sign = monitor, 1.0 if mode == "min" else -1.0
        self.min_delta = finite("min_delta", min_delta)
        self.best, self.model = np.inf, Layer()

    def on_begin(self, model: Layer) -> None:
        self.best, self.model, self.stop = np.inf, model, False

    def improved(self, logs: dict[str, float]) -> bool:
        if self.monitor not in logs:
            raise ValueError(f"monitor must be one of {list(logs)}: got {self.monitor!r}")
        value = self.sign * logs[self.monitor]
        if not value < self.best - self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(_Watcher):
    """Ends the training when a number has not become better for `patience` epochs.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name in the history.
    patience : int, default 1
    min_delta : float, default 0
        What counts as better.
    mode : {"auto", "min", "max"}
        Which way is better; "auto" is up for accuracies and down for the rest.
    restore_best : bool, default True
        Whether the weights of the best epoch are put back at the end.
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 1, *, min_delta: float = 0.0,
        mode: str = "auto", restore_best: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience, self.restore_best = size("patience", patience), restore_best
        self.waited = 0
        self.state: dict[str, Array] | None = None

    def on_begin(self, model: Layer) -> None:
        super().on_begin(model)
        self.waited, self.state = 0, None

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.improved(logs):
            self.waited = 0
            if self.restore_best:
                self.state = self.model.state_dict()
            return
        self.waited += 1
        self.stop = self.waited >= self.patience

    def on_end(self) -> None:
        if self.state is not None:
            self.model.load_state_dict(self.state)


class BestCheckpoint(_Watcher):
    """Saves the weights of the best epoch so far, as safetensors.

    Parameters
    ----------
    path : str or path
    monitor, mode, min_delta
        As of :class:`EarlyStopping`.
    """

    def __init__(
        self, path: str | os.PathLike[str], monitor: str = "val_loss", *, min_delta: float = 0.0,
        mode: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        if self.improved(logs):
            save_weights(self.model, self.path)


class _Function(Callback):
    def __init__(self, function: Callable[[int, dict[str, float]], Any]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, logs: dict[str, float]) -> None:
        self.function(epoch, logs)


def as_callbacks(given: Any) -> list[Callback]:
    """One callback or several, or functions in their place."""
    items: Iterable[Any] = given if isinstance(given, (list, tuple)) else (given,)
    found: list[Callback] = []
    for item in items:
        if isinstance(item, Callback):
            found.append(item)
        elif callable(item) and not isinstance(item, type):
            found.append(_Function(item))
        elif item is not None:
            raise TypeError(f"callbacks must be callbacks or functions: got {named(item)}")
    return found
