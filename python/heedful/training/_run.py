"""Run: one call of fit, epoch by epoch."""

from __future__ import annotations

import warnings

import numpy as np

from heedful.training._batches import Table
from heedful.training._history import History
from heedful.training._passes import Passes
from heedful.training._progress import Progress
from heedful.training._stream import Data, Stream
from heedful.training._trainer import Trainer
from heedful.training.callbacks._callback import Callback
from heedful.training.callbacks._monitors import Monitor
from heedful.training.losses._class_weight import ClassWeight
from heedful.training.losses._loss import check_takes_weights
from heedful.training.metrics._totals import Totals


class Run:
    """One call of fit, with everything checked that can be before the first batch."""

    def __init__(
        self, trainer: Trainer, data: Passes, validation: Passes | None, *, epochs: int,
        shuffle: bool, class_weight: ClassWeight, callbacks: list[Callback],
        verbose: tuple[bool, bool],
    ) -> None:  # fmt: skip
        self.trainer, self.data, self.validation = trainer, data, validation
        self.shuffle, self.class_weight = shuffle, class_weight
        self.callbacks, (self.lines, self.bar) = callbacks, verbose
        self.last, self.warned = trainer.epochs + epochs, False
        self.history = History(trainer.epochs)
        self._check_iterators(epochs)
        if class_weight.by_label or any(
            isinstance(data, Table) and data.weight is not None for data in self.unchecked
        ):
            check_takes_weights(trainer.loss)
        self._check_monitors()

    @property
    def unchecked(self) -> list[Data]:
        """The data that can be checked before the first step."""
        data = self.data.data
        validation = None if self.validation is None else self.validation.data
        found: list[Data] = [data] if isinstance(data, Table) else []
        if validation is None or _same_iterable(data, validation):
            return found
        return [*found, validation]

    def _check_iterators(self, epochs: int) -> None:
        for passes, steps in (
            (self.data, "steps_per_epoch"),
            (self.validation, "validation_steps"),
        ):
            if epochs > 1 and passes is not None and passes.once and passes.steps is None:
                name = "validation " if passes is self.validation else ""
                raise ValueError(
                    f"epochs must be 1 for {name}batches of an iterator, which can be "
                    f"iterated once only: got {epochs}; give {steps}, or something that can be "
                    "iterated again"
                )

    def _check_monitors(self) -> None:
        names = ["loss", *(name for name, _ in self.trainer.metrics)]
        if self.validation is not None:
            names += [f"val_{name}" for name in names]
        if self.trainer.penalises_attention:
            names.append("penalty")
        for callback in self.callbacks:
            if isinstance(callback, Monitor):
                callback.check(names, self.validation is not None)

    def train(self) -> None:
        trainer, model = self.trainer, self.trainer.model
        vars(model).pop("stop_training", None)
        while trainer.epochs < self.last:
            for callback in self.callbacks:
                callback.on_epoch_begin(trainer.epochs, {})
            logs = self._epoch()
            trainer.logits_check.warn()
            if logs is None:
                self._warn_of_the_end("x", "steps_per_epoch")
                break
            if self.validation is not None:
                logs |= self._validate(self.validation)
            for history in (self.history, trainer.history):
                history.add(logs)
            trainer.epochs += 1
            if self.lines:
                Progress.line(f"epoch {trainer.epochs}/{self.last}", logs)
            for callback in self.callbacks:
                callback.on_epoch_end(trainer.epochs - 1, logs)
            if self.data.ended:
                self._warn_of_the_end("x", "steps_per_epoch")
            if self.validation is not None and self.validation.ended:
                self._warn_of_the_end("validation_data", "validation_steps")
            if self._stopped() or self._ended():
                break
        vars(model).pop("stop_training", None)

    def _epoch(self) -> dict[str, float] | None:
        """Means of the loss and the metrics; None where no batch is left."""
        trainer = self.trainer
        total, index = Totals(trainer.metrics), -1
        title = f"epoch {trainer.epochs + 1}"
        rng = trainer.rng if self.shuffle else None
        with Progress(self.data.count, f"{title}/{self.last}", self.bar) as progress:
            for index, batch in enumerate(self.data.epoch(rng)):
                where = f"{title}, batch {index + 1}"
                total += trainer.train_on_batch(batch, where, self.class_weight)
                logs = total.latest()
                progress.advance(logs)
                for callback in self.callbacks:
                    callback.on_train_batch_end(index, logs)
                if self._stopped():
                    break
        return None if index < 0 else total.means()

    def _stopped(self) -> bool:
        """Whether a callback ends the training, by `stop` or by Keras's `stop_training`."""
        keras = bool(vars(self.trainer.model).get("stop_training", False))
        return keras or any(callback.stop for callback in self.callbacks)

    def _ended(self) -> bool:
        """Whether an iterator has no more batches for the next epoch."""
        return self.data.ended or (self.validation is not None and self.validation.ended)

    def _warn_of_the_end(self, name: str, steps: str) -> None:
        warnings.warn(
            f"{name} yielded fewer batches than {steps} requires: training stopped with "
            f"{self.trainer.epochs} of {self.last} epochs",
            UserWarning,
            stacklevel=6,
        )

    def _validate(self, validation: Passes) -> dict[str, float]:
        found = self.trainer.evaluate(validation)
        if not np.isfinite(found["loss"]) and not self.warned and not validation.ended:
            self.warned = True
            warnings.warn(
                f"val_loss is {found['loss']} in epoch {self.trainer.epochs + 1}: is there NaN or "
                "infinity in validation_data?",
                UserWarning,
                stacklevel=6,
            )
        return {f"val_{name}": value for name, value in found.items()}


def _same_iterable(data: Data, validation: Data) -> bool:
    """Whether both are one loader, whose restart for validation would end the training pass."""
    if isinstance(data, Stream) and isinstance(validation, Stream):
        return data.given is validation.given
    return False
