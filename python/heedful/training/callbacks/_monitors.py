"""Callbacks that monitor one value of the history."""

from __future__ import annotations

import os
import re
from typing import Any

import numpy as np

from heedful._checks import flag, named, not_negative, one_of, size
from heedful._whole_file import check_path, check_target
from heedful.base._types import Array
from heedful.training._foreign_arguments import ArgumentHints
from heedful.training._uninterrupted import uninterrupted
from heedful.training.callbacks._callback import Callback, Logs
from heedful.training.files._weights import save_weights


class Monitor(ArgumentHints, Callback):
    """Monitors one value of the logs.

    Attributes
    ----------
    best : float
        Its best value so far; initially infinite, with the sign of the worst.
    """

    def __init__(self, monitor: str, mode: str, min_delta: float) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"monitor must be a name in the history: got {named(monitor)}")
        self.monitor: str = monitor
        self.mode: str = mode
        self.sign: float = 1.0 if _direction(monitor, mode) == "min" else -1.0
        self.min_delta: float = not_negative("min_delta", min_delta)
        self.best: float = self.sign * np.inf

    def check(self, names: list[str], validated: bool) -> None:
        """Before the first epoch: whether there will be such a value."""
        if self.monitor in names:
            return
        if self.monitor.removeprefix("val_") in names and not validated:
            raise ValueError(
                f"monitor={self.monitor!r} needs a validation set: give fit validation_data or "
                f"validation_split, or monitor one of {names}"
            )
        raise ValueError(f"monitor must be one of {names}: got {self.monitor!r}")

    def improved(self, logs: Logs) -> bool:
        value = logs[self.monitor]
        if not self.sign * value < self.sign * self.best - self.min_delta:
            return False
        self.best = value
        return True


class EarlyStopping(Monitor):
    """Ends the training when a value has not improved for `patience` epochs.

    Each fit is monitored by itself, as in Keras: the best value of the previous fit, perhaps on
    other data, is reset when the next one begins.

    Parameters
    ----------
    monitor : str, default "val_loss"
        A name in the history.
    patience : int, default 1
    min_delta : float, default 0
        Minimum change that counts as an improvement.
    mode : {"auto", "min", "max"}
        Whether lower or higher is better; "auto" is "max" for accuracies, AUC, precision, recall
        and F1, "min" for losses and errors, and an error for other names.
    restore_best : bool, default True
        Whether weights and optimizer of the best epoch are restored at the end. Not if the training
        was interrupted: then all are those of the last finished batch. History and the number of
        epochs are those of all epochs.
    """

    waited: int
    best: float

    def __init__(
        self, monitor: str = "val_loss", patience: int = 1, *, min_delta: float = 0.0,
        mode: str = "auto", restore_best: bool = True,
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        self.patience: int = size("patience", patience)
        self.restore_best: bool = flag("restore_best", restore_best)
        self.waited = 0
        self.state: tuple[dict[str, Array], dict[str, Array]] | None = None

    def on_begin(self, model: Any) -> None:
        self.best, self.waited, self.state = self.sign * np.inf, 0, None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if self.improved(logs):
            self.waited = 0
            if self.restore_best:
                self.state = self.model.state_dict(), self.model.optimizer.state_dict()
            return
        self.waited += 1
        self.stop: bool = self.waited >= self.patience

    def on_end(self) -> None:
        if self.state is not None and not self.interrupted:
            weights, optimizer = self.state
            with uninterrupted():
                self.model.load_state_dict(weights)
                self.model.optimizer.load_state_dict(optimizer)
        self.state = None


class BestCheckpoint(Monitor):
    """Saves the weights of the best epoch so far, as `save_weights` does.

    Another fit with the same callback continues from this one, as in Keras: the file is replaced
    where the value improves on `best`, over all fits.

    Parameters
    ----------
    path : str or path
        Its folder must exist.
    monitor, mode, min_delta
        As of :class:`EarlyStopping`.
    """

    def __init__(
        self, path: str | os.PathLike[str], monitor: str = "val_loss", *, min_delta: float = 0.0,
        mode: str = "auto",
    ) -> None:  # fmt: skip
        super().__init__(monitor, mode, min_delta)
        check_path(path)
        self.path = path

    def on_begin(self, model: Any) -> None:
        check_target(self.path)  # before an epoch is computed for nothing

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        before = self.best
        if self.improved(logs):
            try:
                save_weights(self.model, self.path)
            except BaseException:
                self.best: float = before  # as the file is
                raise


def _direction(monitor: str, mode: str) -> str:
    mode = one_of("mode", mode, ("auto", "min", "max"))
    if mode != "auto":
        return mode
    name = monitor.removeprefix("val_")
    last = re.sub(r"_\d+$", "", name).split("_")[-1]  # a duplicate name has a number at its end
    if last in ("acc", "accuracy", "auc", "f1", "precision", "recall") or name.startswith("acc"):
        return "max"
    if last in ("loss", "mae", "mse", "error"):
        return "min"
    raise ValueError(f'mode must be "min" or "max" for monitor={monitor!r}: which way is better?')
