"""compile, fit, evaluate and predict, which every layer has as methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import flag, generator, size
from heedful._core._memory import memory
from heedful.layers import Layer
from heedful.training._batches import Inputs, slices
from heedful.training._callbacks import Callback, as_callbacks, end
from heedful.training._class_weight import ClassWeight
from heedful.training._history import History
from heedful.training._progress import Progress, as_verbose
from heedful.training._run import Run
from heedful.training._stream import Data, Stream, as_data, as_validation
from heedful.training._trainer import Trainer, evaluation, trainer_of
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
    run = Run(
        trainer, data, validation, epochs=size("epochs", epochs),
        batch_size=size("batch_size", batch_size), shuffle=flag("shuffle", shuffle),
        class_weight=ClassWeight(class_weight, trainer.loss), callbacks=as_callbacks(callbacks),
        verbose=as_verbose(verbose),
    )  # fmt: skip
    if rng is not None or trainer.rng is None:
        trainer.rng = generator(rng)
    begun: list[Callback] = []
    try:
        trainer.unchecked = run.tables
        for callback in run.callbacks:
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


def evaluate(
    model: Layer, x: Any, y: Any, batch_size: int, sample_weight: Any, verbose: Any
) -> Any:
    trainer, data = trainer_of(model), as_data(x, y, sample_weight)
    lines, bar = as_verbose(verbose)
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
