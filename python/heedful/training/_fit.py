"""compile, fit, evaluate and predict, which every layer has as methods."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from heedful._checks import flag, generator, size
from heedful._core._memory import memory
from heedful.layers import Layer
from heedful.training._batches import Inputs, Table, slices
from heedful.training._callbacks import Callback, as_callbacks, end
from heedful.training._history import History
from heedful.training._losses import check_takes_weights
from heedful.training._progress import Progress, as_verbose
from heedful.training._stream import Data, Stream, as_data, as_validation
from heedful.training._totals import Totals
from heedful.training._trainer import Trainer, check_class_weight_loss, evaluation, trainer_of
from heedful.training._types import Array, Rng
from heedful.training._watchers import Watcher
from heedful.training._weights import checked_class_weight


def compile_model(model: Layer, optimizer: Any, loss: Any, metrics: Any) -> None:
    object.__setattr__(model, "_trainer", Trainer(model, optimizer, loss, metrics))


def fit(
    model: Layer,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int,
    validation_data: Any,
    validation_split: float,
    sample_weight: Any,
    class_weight: Any,
    callbacks: Any,
    shuffle: bool,
    verbose: Any,
    rng: Rng,
) -> History:
    trainer = trainer_of(model)
    data = as_data(x, y, sample_weight)
    data, validation = _with_validation(data, as_validation(validation_data), validation_split)
    run = _Run(trainer, data, validation, size("batch_size", batch_size))
    run.epochs(size("epochs", epochs))
    run.class_weight = checked_class_weight(class_weight)
    check_class_weight_loss(run.class_weight, trainer.loss)
    run.shuffle, (run.lines, run.bar) = flag("shuffle", shuffle), as_verbose(verbose)
    run.watching = as_callbacks(callbacks)
    run.check()
    if rng is not None or trainer.rng is None:
        trainer.rng = generator(rng)
    begun: list[Callback] = []
    try:
        for callback in run.watching:
            callback.model, callback.stop = model, False
            begun.append(callback)
            callback.on_begin(model)
        run.train()
    except BaseException:
        end(begun, interrupted=True)
        raise
    finally:
        memory.release()
        trainer.unchecked = []
    end(begun, interrupted=False)
    return trainer.history


def _with_validation(data: Data, validation: Data | None, split: Any) -> tuple[Data, Data | None]:
    if not split:
        return data, validation
    if validation is not None:
        raise ValueError("validation_split must be left out where validation_data is given")
    if isinstance(data, Stream):
        raise ValueError("validation_split needs arrays: give validation_data beside batches")
    return data.split(split)


class _Run:
    """One call of fit."""

    class_weight: dict[int, float] | None
    shuffle: bool
    lines: bool
    bar: bool
    watching: list[Callback]

    def __init__(
        self, trainer: Trainer, data: Data, validation: Data | None, batch_size: int
    ) -> None:
        self.trainer, self.data, self.validation = trainer, data, validation
        self.batch_size, self.last, self.warned = batch_size, trainer.epochs, False

    def epochs(self, count: int) -> None:
        for data in (self.data, self.validation):
            if count > 1 and isinstance(data, Stream) and data.once:
                raise ValueError(
                    f"epochs must be 1 for {data.name}batches of an iterator, which can be "
                    f"iterated once only: got {count}; give something that can be iterated again"
                )
        self.last += count

    def check(self) -> None:
        trainer = self.trainer
        tables = [data for data in (self.data, self.validation) if isinstance(data, Table)]
        if self.class_weight or any(table.weight is not None for table in tables):
            check_takes_weights(trainer.loss)
        trainer.unchecked = tables
        names = ["loss", *(name for name, _ in trainer.metrics)]
        if self.validation is not None:
            names += [f"val_{name}" for name in names]
        for callback in self.watching:
            if isinstance(callback, Watcher):
                callback.check(names, self.validation is not None)

    def train(self) -> None:
        trainer, model = self.trainer, self.trainer.model
        vars(model).pop("stop_training", None)
        while trainer.epochs < self.last:
            for callback in self.watching:
                callback.on_epoch_begin(trainer.epochs, {})
            logs = self._epoch()
            trainer.suspicion.tell()
            if self.validation is not None:
                logs |= self._validate(self.validation)
            trainer.history.add(logs)
            trainer.epochs += 1
            if self.lines:
                Progress.line(f"epoch {trainer.epochs}/{self.last}", logs)
            for callback in self.watching:
                callback.on_epoch_end(trainer.epochs - 1, logs)
            stopped = vars(model).pop("stop_training", False)  # Keras's way to say it
            if stopped or any(callback.stop for callback in self.watching):
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
                for callback in self.watching:
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


def evaluate(
    model: Layer, x: Any, y: Any, batch_size: int, sample_weight: Any, verbose: Any
) -> Any:
    trainer, data = trainer_of(model), as_data(x, y, sample_weight)
    lines, bar = as_verbose(verbose)
    if sample_weight is not None:
        check_takes_weights(trainer.loss)
    logs = trainer.evaluate(data, size("batch_size", batch_size), "evaluate", bar)
    if lines:
        Progress.line("evaluate", logs)
    return evaluation(logs)


def predict(model: Layer, x: Any, batch_size: int, verbose: Any) -> Array:
    inputs, (_, bar) = Inputs("x", x), as_verbose(verbose)
    batch_size = size("batch_size", batch_size)
    parts = []
    with Progress(-(-inputs.count // batch_size), "predict", bar) as progress:
        for rows in slices(inputs.count, batch_size):
            by_place, by_name = inputs.take(rows)
            parts.append(model(*by_place, **by_name))
            progress.advance({})
    if not parts:  # no example: still of the right shape
        by_place, by_name = inputs.take(slice(0, 0))
        parts.append(model(*by_place, **by_name))
    return np.concatenate(parts)
