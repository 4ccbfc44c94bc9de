"""Run: one call of fit, epoch by epoch."""

from __future__ import annotations

import warnings

import numpy as np

from heedful.training._batches import Table
from heedful.training._callbacks import Callback
from heedful.training._class_weight import ClassWeight
from heedful.training._losses import check_takes_weights
from heedful.training._progress import Progress
from heedful.training._stream import Data, Stream
from heedful.training._totals import Totals
from heedful.training._trainer import Trainer
from heedful.training._watchers import Watcher


class Run:
    """What fit does, checked as far as it can be before the first batch."""

    def __init__(
        self, trainer: Trainer, data: Data, validation: Data | None, *, epochs: int,
        batch_size: int, shuffle: bool, class_weight: ClassWeight, callbacks: list[Callback],
        verbose: tuple[bool, bool],
    ) -> None:  # fmt: skip
        self.trainer, self.data, self.validation = trainer, data, validation
        self.batch_size, self.shuffle, self.class_weight = batch_size, shuffle, class_weight
        self.callbacks, (self.lines, self.bar) = callbacks, verbose
        self.last, self.warned = trainer.epochs + epochs, False
        self._check_iterators(epochs)
        if class_weight.by_label or any(table.weight is not None for table in self.tables):
            check_takes_weights(trainer.loss)
        self._check_watchers()

    @property
    def tables(self) -> list[Table]:
        """Data of which all is there."""
        return [data for data in (self.data, self.validation) if isinstance(data, Table)]

    def _check_iterators(self, epochs: int) -> None:
        for data in (self.data, self.validation):
            if epochs > 1 and isinstance(data, Stream) and data.once:
                raise ValueError(
                    f"epochs must be 1 for {data.name}batches of an iterator, which can be "
                    f"iterated once only: got {epochs}; give something that can be iterated again"
                )

    def _check_watchers(self) -> None:
        names = ["loss", *(name for name, _ in self.trainer.metrics)]
        if self.validation is not None:
            names += [f"val_{name}" for name in names]
        for callback in self.callbacks:
            if isinstance(callback, Watcher):
                callback.check(names, self.validation is not None)

    def train(self) -> None:
        trainer, model = self.trainer, self.trainer.model
        vars(model).pop("stop_training", None)
        while trainer.epochs < self.last:
            for callback in self.callbacks:
                callback.on_epoch_begin(trainer.epochs, {})
            logs = self._epoch()
            trainer.suspicion.tell()
            if self.validation is not None:
                logs |= self._validate(self.validation)
            trainer.history.add(logs)
            trainer.epochs += 1
            if self.lines:
                Progress.line(f"epoch {trainer.epochs}/{self.last}", logs)
            for callback in self.callbacks:
                callback.on_epoch_end(trainer.epochs - 1, logs)
            stopped = vars(model).pop("stop_training", False)  # Keras's way to say it
            if stopped or any(callback.stop for callback in self.callbacks):
                break

    def _epoch(self) -> dict[str, float]:
        trainer = self.trainer
        total = Totals(trainer.metrics)
        title = f"epoch {trainer.epochs + 1}"
        rng = trainer.rng if self.shuffle else None
        with Progress(
            self.data.steps(self.batch_size), f"{title}/{self.last}", self.bar
        ) as progress:
            for index, batch in enumerate(self.data.batches(self.batch_size, rng)):
                where = f"{title}, batch {index + 1}"
                total += trainer.train_on_batch(batch, where, self.class_weight)
                logs = total.means()
                progress.advance(logs)
                for callback in self.callbacks:
                    callback.on_train_batch_end(index, logs)
        return total.means()

    def _validate(self, validation: Data) -> dict[str, float]:
        found = self.trainer.evaluate(validation, self.batch_size)
        if not np.isfinite(found["loss"]) and not self.warned:
            self.warned = True
            warnings.warn(
                f"val_loss is {found['loss']} in epoch {self.trainer.epochs + 1}: is there NaN or "
                "infinity in validation_data?",
                UserWarning,
                stacklevel=5,
            )
        return {f"val_{name}": value for name, value in found.items()}
