"""compile, fit, evaluate and predict, which every layer has as methods."""

from __future__ import annotations

from typing import Any

from heedful._checks import flag, generator, size
from heedful._core._memory import memory
from heedful.base._module import Module
from heedful.base._types import Rng
from heedful.training._history import History
from heedful.training._input_batches import InputBatches
from heedful.training._outputs import Outputs
from heedful.training._passes import Passes
from heedful.training._progress import Progress, as_verbose
from heedful.training._run import Run
from heedful.training._stream import Data, Stream, as_data, as_validation
from heedful.training._trainer import Trainer, evaluation, trainer_of
from heedful.training.callbacks._callback import Callback, as_callbacks, end
from heedful.training.losses._class_weight import ClassWeight


def compile_model(model: Module, optimizer: Any, loss: Any, metrics: Any) -> None:
    object.__setattr__(model, "_trainer", Trainer(model, optimizer, loss, metrics))


def fit(
    model: Module,
    x: Any,
    y: Any,
    *,
    epochs: int,
    batch_size: int,
    steps_per_epoch: int | None,
    validation_data: Any,
    validation_split: float,
    validation_steps: int | None,
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
    if validation is None and validation_steps is not None:
        raise ValueError("validation_steps needs validation_data or validation_split")
    batch_size = size("batch_size", batch_size)
    run = Run(
        trainer, Passes(data, batch_size, _steps("steps_per_epoch", steps_per_epoch), True),
        None if validation is None
        else Passes(validation, batch_size, _steps("validation_steps", validation_steps), False),
        epochs=size("epochs", epochs), shuffle=flag("shuffle", shuffle),
        class_weight=ClassWeight(class_weight, trainer.loss), callbacks=as_callbacks(callbacks),
        verbose=as_verbose(verbose),
    )  # fmt: skip
    if rng is not None or trainer.rng is None:
        trainer.rng = generator(rng)
    started: list[Callback] = []
    try:
        trainer.unchecked = run.unchecked
        for callback in run.callbacks:
            callback.model, callback.stop = model, False
            started.append(callback)
            callback.on_begin(model)
        run.train()
    except BaseException:
        end(started, interrupted=True)
        raise
    finally:
        memory.release()
        trainer.unchecked = []
    end(started, interrupted=False)
    return run.history


def _with_validation(data: Data, validation: Data | None, split: Any) -> tuple[Data, Data | None]:
    if not split:
        return data, validation
    if validation is not None:
        raise ValueError("validation_split must be left out where validation_data is given")
    if isinstance(data, Stream):
        raise ValueError("validation_split needs arrays: give validation_data beside batches")
    return data.split(split)


def _steps(name: str, given: Any) -> int | None:
    return None if given is None else size(name, given)


def evaluate(
    model: Module, x: Any, y: Any, batch_size: int, steps: int | None, sample_weight: Any,
    verbose: Any,
) -> Any:  # fmt: skip
    trainer, data = trainer_of(model), as_data(x, y, sample_weight)
    lines, bar = as_verbose(verbose)
    passes = Passes(data, size("batch_size", batch_size), _steps("steps", steps), False)
    logs = trainer.evaluate(passes, "evaluate", bar)
    if lines:
        Progress.line("evaluate", logs)
    return evaluation(logs)


def predict(model: Module, x: Any, batch_size: int, steps: int | None, verbose: Any) -> Any:
    batches = InputBatches(x, size("batch_size", batch_size), _steps("steps", steps))
    _, bar = as_verbose(verbose)
    outputs = Outputs()
    with Progress(batches.count, "predict", bar) as progress:
        for by_position, by_name, count in batches:
            outputs.add(model(*by_position, **by_name), count)
            progress.advance({})
    return outputs.concatenated()
