"""History: the loss and metrics of each epoch of fit."""

from __future__ import annotations

import math


class History:
    """Loss and metrics of every epoch, by name.

    `fit` returns the one of its own epochs; that of all epochs since compile is ``model.history``.

    Attributes
    ----------
    history : dict of list
        "loss", the metrics, "penalty" if layers penalise their attention, which is part of the
        loss, and with a validation set the same but that prefixed by ``val_``. All columns
        have a row for each epoch: NaN where an epoch lacks a value, such as one without a
        validation set.
    epoch : list of int
        Numbers of the epochs, from 0 for the first since compile.
    """

    first: int = 0

    def __init__(self, first: int = 0) -> None:
        self.history: dict[str, list[float]] = {}
        self.first = first

    @property
    def epoch(self) -> list[int]:
        return list(range(self.first, self.first + self._count))

    def add(self, logs: dict[str, float]) -> None:
        before = self._count
        for name, value in logs.items():
            self.history.setdefault(name, [math.nan] * before).append(value)
        for values in self.history.values():
            if len(values) == before:
                values.append(math.nan)

    @property
    def _count(self) -> int:
        return max((len(values) for values in self.history.values()), default=0)

    def __getitem__(self, name: str) -> list[float]:
        return self.history[name]

    def __repr__(self) -> str:
        if not self.history:
            return "History(no epoch)"
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items())
        return f"History({self._count} epochs, last: {last})"
