"""Callbacks: what fit calls between epochs and batches."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import Any

from heedful._checks import named
from heedful.base._shown import Shown

Logs = dict[str, float]


class Callback(Shown):
    """Base class of callbacks of fit. Set ``stop = True`` to end the training.

    It ends after the epoch; after the batch, if it was set there, as in on_batch_end: then the
    epoch consists of the batches so far, with its validation and its row in the history.

    A plain function ``f(epoch, logs)`` is accepted in its place, and called after each epoch.
    Keras's names work, too: on_train_begin and on_train_end beside on_begin and on_end,
    on_train_batch_end beside on_batch_end, and ``self.model.stop_training = True``.

    Attributes
    ----------
    model : Layer
        The one that is trained; fit sets it.
    stop : bool
        False at the beginning of each fit.
    interrupted : bool
        In on_end: whether the training was ended by Ctrl-C or an error.
    """

    model: Any  # a Layer, which training does not import
    stop = False
    interrupted = False

    def on_begin(self, model: Any) -> None:
        """Before the first epoch."""
        self.on_train_begin({})

    def on_train_begin(self, logs: Logs | None = None) -> None:
        """The same, by Keras's name."""

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        """Before an epoch; the first is 0."""

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """After a step, with the means of the epoch so far; the first batch of an epoch is 0."""

    def on_train_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        """The same, by Keras's name."""
        self.on_batch_end(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        """After an epoch, with the values that are added to the history."""

    def on_end(self) -> None:
        """After the last epoch; also when fit was interrupted."""
        self.on_train_end({})

    def on_train_end(self, logs: Logs | None = None) -> None:
        """The same, by Keras's name."""


class _Function(Callback):
    def __init__(self, function: Callable[[int, Logs], Any]) -> None:
        self.function = function

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
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
            hint = f"; write {item.__name__}(…)" if isinstance(item, type) else ""
            raise TypeError(f"callbacks must be callbacks or functions: got {named(item)}{hint}")
    return found


def end(callbacks: Iterable[Callback], interrupted: bool) -> None:
    """Calls on_end of all, also where one of them fails."""
    first: Exception | None = None
    for callback in callbacks:
        callback.interrupted = interrupted
        try:
            callback.on_end()
        except Exception as error:
            first = first or error
    if first is not None and interrupted:  # the error that ended the training takes precedence
        warnings.warn(f"a callback failed in on_end: {first!r}", RuntimeWarning, stacklevel=2)
    elif first is not None:
        raise first
