"""compile, fit, evaluate and predict, which every layer has as methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import flag, generator, size
from heedful._core._memory import memory
from heedful.layers import Layer
from heedful.training._batches import Inputs, slices
from heedful.training._callbacks import as_callbacks
from heedful.training._history import History
from heedful.training._progress import Progress
from heedful.training._trainer import Totals, Trainer, check_data, evaluation, trainer_of
from heedful.training._types import Array, Rng


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
    callbacks: Any,
    shuffle: bool,
    verbose: bool,
    rng: Rng,
) -> History:
    trainer = trainer_of(model)
    inputs, targets = check_data(x, y)
    validation = None
    if validation_data is not None:
        try:
            valid_x, valid_y = validation_data
        except (TypeError, ValueError):
            raise ValueError("validation_data must be (x, y)") from None
        validation = check_data(valid_x, valid_y, "validation ")
    epochs, batch_size = size("epochs", epochs), size("batch_size", batch_size)
    watching = as_callbacks(callbacks)
    shuffle = flag("shuffle", shuffle)
    if rng is not None or trainer.rng is None:
        trainer.rng = generator(rng)
    for callback in watching:
        callback.on_begin(model)
    last = trainer.epochs + epochs
    try:
        while trainer.epochs < last:
            logs = _epoch(trainer, inputs, targets, batch_size, shuffle, verbose, last)
            if validation is not None:
                found = trainer.evaluate(*validation, batch_size)
                logs |= {f"val_{name}": value for name, value in found.items()}
            trainer.history.add(logs)
            trainer.epochs += 1
            if verbose:
                Progress.line(trainer.epochs, last, logs)
            for callback in watching:
                callback.on_epoch_end(trainer.epochs - 1, logs)
            if any(callback.stop for callback in watching):
                break
    finally:
        memory.release()
        for callback in watching:
            callback.on_end()
    return trainer.history


def _epoch(
    trainer: Trainer, inputs: Inputs, targets: Array, batch_size: int, shuffle: bool,
    verbose: bool, last: int,
) -> dict[str, float]:  # fmt: skip
    assert trainer.rng is not None
    order = trainer.rng.permutation(inputs.count) if shuffle else None
    total = Totals(trainer)
    steps = -(-inputs.count // batch_size)
    with Progress(steps, f"epoch {trainer.epochs + 1}/{last}", verbose) as progress:
        for batch, rows in enumerate(slices(inputs.count, batch_size, order), 1):
            where = f"epoch {trainer.epochs + 1}, batch {batch}"
            total += trainer.train_on_batch(inputs, targets, rows, where)
            progress.advance(total.means())
    return total.means()


def evaluate(model: Layer, x: Any, y: Any, batch_size: int) -> Any:
    inputs, targets = check_data(x, y)
    return evaluation(trainer_of(model).evaluate(inputs, targets, size("batch_size", batch_size)))


def predict(model: Layer, x: Any, batch_size: int) -> Array:
    inputs = Inputs("x", x)
    parts = []
    for rows in slices(inputs.count, size("batch_size", batch_size)):
        by_place, by_name = inputs.take(rows)
        parts.append(model(*by_place, **by_name))
    if not parts:  # no example: still of the right shape
        by_place, by_name = inputs.take(slice(0, 0))
        parts.append(model(*by_place, **by_name))
    return np.concatenate(parts)
