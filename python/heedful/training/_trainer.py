"""Trainer: what compile puts together and fit works with."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from typing import Any

import numpy as np

from heedful.layers import Activation, Dense, Layer, Linear, Parameter, Sequential, Softmax
from heedful.training._batches import Inputs, check_targets, slices
from heedful.training._history import History
from heedful.training._losses import as_loss
from heedful.training._metrics import as_metric
from heedful.training._optimizers import as_optimizer
from heedful.training._regularizers import L1L2, as_regularizer
from heedful.training._types import Array
from heedful.training._uninterrupted import uninterrupted


class Trainer:
    """A model with its optimizer, loss and metrics.

    Attributes
    ----------
    optimizer : Optimizer
    history : History
    rng : numpy.random.Generator or None
        What batches are drawn and numbers dropped out with; fit makes it.
    epochs : int
        Done so far.
    """

    def __init__(self, model: Layer, optimizer: Any, loss: Any, metrics: Sequence[Any]) -> None:
        probabilities = ends_in_probabilities(model)
        self.model = model
        self.loss = as_loss(loss, probabilities)
        if isinstance(metrics, str) or callable(metrics):
            metrics = [metrics]
        self.metrics = [as_metric(metric, self.loss, probabilities) for metric in metrics]
        self.optimizer = as_optimizer(optimizer, model)
        self.history = History()
        self.rng: np.random.Generator | None = None
        self.epochs = 0

    def train_on_batch(self, inputs: Inputs, targets: Array, rows: Any, where: str) -> Totals:
        """One step; weights and optimizer change together or not at all."""
        by_place, by_name = inputs.take(rows)
        target = targets[rows]
        self.model.zero_grad()
        prediction, backward = self.model.forward(*by_place, rng=self.rng, **by_name)
        loss, gradient = self.loss(target, prediction)
        loss += self._penalty()
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"the loss is {loss} in {where}: training stopped, the weights are those before it"
            )
        backward(gradient)
        self._add_penalty_gradients()
        totals = Totals(self, len(target), loss, target, prediction)
        with uninterrupted():
            self.optimizer.step()
        return totals

    def evaluate(self, inputs: Inputs, targets: Array, batch_size: int) -> dict[str, float]:
        total = Totals(self)
        for rows in slices(inputs.count, batch_size):
            by_place, by_name = inputs.take(rows)
            prediction = self.model(*by_place, **by_name)
            loss, _ = self.loss(targets[rows], prediction)
            total += Totals(self, len(targets[rows]), loss, targets[rows], prediction)
        logs = total.means()
        logs["loss"] += self._penalty()
        return logs

    def _penalised(self) -> list[tuple[Parameter, L1L2]]:
        found = [
            (own, as_regularizer(own.regularizer))
            for own in self.model.distinct_parameters().values()
        ]
        return [(own, regularizer) for own, regularizer in found if regularizer is not None]

    def _penalty(self) -> float:
        return sum((regularizer.penalty(own.value) for own, regularizer in self._penalised()), 0.0)

    def _add_penalty_gradients(self) -> None:
        for own, regularizer in self._penalised():
            own.add(regularizer.gradient(own.value))


class Totals:
    """Sums of the loss and the metrics over examples."""

    def __init__(
        self, trainer: Trainer, count: int = 0, loss: float = 0.0, target: Any = None,
        prediction: Any = None,
    ) -> None:  # fmt: skip
        count_of = getattr(trainer.loss, "count", None)  # a loss that leaves targets out has it
        counted = count_of(target) if count and count_of is not None else count
        self.sums = {"loss": (loss * counted, float(counted))}
        for name, metric in trainer.metrics:
            self.sums[name] = metric(target, prediction) if count else (0.0, 0.0)

    def __iadd__(self, other: Totals) -> Totals:
        for name, (total, count) in other.sums.items():
            before = self.sums[name]
            self.sums[name] = before[0] + total, before[1] + count
        return self

    def means(self) -> dict[str, float]:
        return {name: total / max(count, 1) for name, (total, count) in self.sums.items()}


def ends_in_probabilities(model: Layer) -> bool:
    """The last thing that a model does is to make probabilities."""
    last = model
    while isinstance(last, Sequential) and len(last):
        last = last[-1]
    if isinstance(last, Dense):
        return last.softmax is not None or last.activation == "sigmoid"
    if isinstance(last, (Linear, Activation)):
        return last.activation == "sigmoid"
    return isinstance(last, Softmax)


def trainer_of(model: Layer) -> Trainer:
    trainer = vars(model).get("_trainer")
    if not isinstance(trainer, Trainer):
        raise RuntimeError("the model is not compiled: call compile(optimizer=…, loss=…) first")
    return trainer


def evaluation(logs: dict[str, float]) -> Any:
    """The numbers as a tuple with names, as ``loss, accuracy = model.evaluate(x, y)`` wants."""
    return namedtuple("Evaluation", logs)(**logs)


def check_data(x: Any, y: Any, name: str = "") -> tuple[Inputs, Array]:
    inputs = Inputs(f"{name}x", x)
    return inputs, check_targets(y, inputs, f"{name}y")
