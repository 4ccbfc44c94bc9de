"""Trainer: what compile sets up and fit uses."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Iterable
from typing import Any

import numpy as np

from heedful.base._module import Module
from heedful.base._parameter import Parameter
from heedful.base._regularizers import L1L2, as_regularizer
from heedful.training._batches import Batch, Table
from heedful.training._history import History
from heedful.training._passes import Passes
from heedful.training._progress import Progress
from heedful.training._stream import Data
from heedful.training._uninterrupted import uninterrupted
from heedful.training.losses._class_weight import ClassWeight
from heedful.training.losses._loss import LOSSES, as_loss, call_loss, several
from heedful.training.losses._probabilities import LogitsCheck, ends_in_probabilities
from heedful.training.metrics._metrics import OfFunction, as_metrics
from heedful.training.metrics._totals import Totals
from heedful.training.optimizers._names import as_optimizer


class Trainer:
    """A model with its optimizer, loss and metrics.

    Attributes
    ----------
    optimizer : Optimizer
    history : History
    rng : numpy.random.Generator or None
        Generator of the shuffling and of dropout; set by fit.
    epochs : int
        Completed so far.
    unchecked : list of Data
        Data to be checked before the first step: all targets, and whether the model accepts the
        validation data.
    """

    def __init__(self, model: Module, optimizer: Any, loss: Any, metrics: Any) -> None:
        probabilities = ends_in_probabilities(model)
        self.model = model
        self.loss = as_loss(loss, probabilities)
        self.logits_check = LogitsCheck(self.loss, probabilities)
        self.metrics = as_metrics(metrics, self.loss)
        self.optimizer = as_optimizer(optimizer, model)
        self.history = History()
        self.rng: np.random.Generator | None = None
        self.epochs = 0
        self.unchecked: list[Data] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "suspicion" in state:  # its name in earlier pickles
            self.logits_check = vars(self).pop("suspicion")

    def train_on_batch(self, batch: Batch, where: str, class_weight: ClassWeight) -> Totals:
        """One step; weights and optimizer change together or not at all."""
        prediction, backward = self.model.forward(*batch.by_position, rng=self.rng, **batch.by_name)
        self._check_outputs(prediction)
        parameters = list(self.model.distinct_parameters().values())  # forward creates some
        penalised = _penalised(parameters)
        self._check_targets(batch, prediction, class_weight)
        weight = class_weight.apply(batch.weight, batch.target)
        loss, gradient = call_loss(self.loss, batch.target, prediction, weight)
        penalty = self.model.attention_penalty if self.penalises_attention else None
        loss += _penalty(penalised) + (penalty or 0.0)
        if not np.isfinite(loss):
            raise FloatingPointError(self._stopped(f"the loss is {loss}", where, batch))
        self.logits_check.observe(prediction)
        for own in parameters:
            own.clear()
        if isinstance(prediction, tuple):
            backward(*gradient)
        else:
            backward(gradient)
        for own, regularizer in penalised:
            own.add(regularizer.gradient(own.value))
        totals = self._totals(batch, loss, prediction, penalty)
        try:
            with uninterrupted():
                self.optimizer.step()
        except FloatingPointError as error:
            raise FloatingPointError(self._stopped(str(error), where, batch)) from None
        return totals

    def evaluate(self, passes: Passes, title: str = "", shown: bool = False) -> dict[str, float]:
        """The loss and metrics of one epoch; NaN where an iterator has no batch left."""
        total, data = Totals(self.metrics), passes.data
        with Progress(passes.count, title, shown) as progress:
            for index, batch in enumerate(passes.epoch()):
                prediction = self.model(*batch.by_position, **batch.by_name)
                self._check_outputs(prediction)
                if isinstance(data, Table) and index == 0:
                    self._check_table(data, batch, prediction)
                self._check_batch(batch, prediction)
                loss, _ = call_loss(self.loss, batch.target, prediction, batch.weight)
                total += self._totals(batch, loss, prediction)
                progress.advance(total.latest())
        logs = total.means()
        logs["loss"] += _penalty(_penalised(self.model.distinct_parameters().values()))
        return logs

    def _totals(
        self, batch: Batch, loss: float, prediction: Any, penalty: float | None = None
    ) -> Totals:
        target, weight = batch.target, batch.weight
        return Totals.of(self.metrics, self.loss, loss, target, prediction, weight, penalty)

    @property
    def penalises_attention(self) -> bool:
        """Whether some layer adds penalties to the loss in training."""
        return any(getattr(layer, "penalties", None) for _, layer in self.model.named_layers())

    def _check_outputs(self, prediction: Any) -> None:
        """heedful's own losses and metrics take one array; a custom loss gets all outputs."""
        found = several(prediction)
        if not found:
            return
        if isinstance(self.loss, LOSSES):
            raise TypeError(
                f"the loss {type(self.loss).__name__} is for a model with one output, and this one "
                f"returns {found}: write a model with that output alone, or your own loss, "
                "(loss, gradients) = f(target, outputs)"
            )
        for name, metric in self.metrics:
            if not isinstance(metric, OfFunction):
                raise TypeError(
                    f"the metric {name} is for a model with one output, and this one returns "
                    f"{found}"
                )

    def _check_targets(self, batch: Batch, prediction: Any, class_weight: ClassWeight) -> None:
        """Check all targets before the first step, as soon as the number of classes is known."""
        if self.unchecked:
            class_weight.check(prediction)
        for data in self.unchecked:
            if isinstance(data, Table):
                self._check_table(data, batch, prediction)
            if data.name:
                self._check_validation(data, batch)
        self.unchecked = []
        self._check_batch(batch, prediction)

    def _check_table(self, table: Table, batch: Batch, prediction: Any) -> None:
        """Check all targets of a table, if their shape is like that of the batch's."""
        checked = getattr(self.loss, "checked", None)
        if checked is None or several(prediction):
            return
        shape = np.shape(prediction)
        alike = table.targets.shape[1:] == batch.target.shape[1:]
        if alike and shape[:1] == (len(batch.target),):
            checked(table.targets, (table.count, *shape[1:]), table.weight, f"{table.name}y")

    def _check_validation(self, data: Data, batch: Batch) -> None:
        """Try validation data whose shapes or types differ from those of the training batch."""
        first = data.first(len(batch.target))
        if first is None or first.is_like(batch):
            return
        try:
            prediction = self.model(*first.by_position, **first.by_name)
            self._check_outputs(prediction)
            call_loss(self.loss, first.target, prediction, first.weight)
        except (LookupError, TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"validation_data must fit the model and the loss: {error}") from error

    def _check_batch(self, batch: Batch, prediction: Any) -> None:
        """Check the targets of a stream, batch by batch, under their name."""
        checked = getattr(self.loss, "checked", None)
        if checked is not None and batch.name != "y":
            checked(batch.target, np.shape(prediction), batch.weight, batch.name)

    def _stopped(self, reason: str, where: str, batch: Batch) -> str:
        found = self.model.distinct_parameters().items()
        lost = [name for name, own in found if not np.isfinite(own.value).all()]
        state = f"{lost[0]} is not finite" if lost else "the weights are those before it"
        inputs = [*batch.by_position, *batch.by_name.values()]
        known = all(np.isfinite(x).all() for x in inputs if x.dtype.kind == "f")
        hint = "model.forward(…, check=True) names the layer"
        hint = hint if known else "the inputs of this batch are not finite"
        return f"{reason} in {where}: training stopped, {state}; {hint}"


def _penalised(parameters: Iterable[Parameter]) -> list[tuple[Parameter, L1L2]]:
    found = [(own, as_regularizer(own.regularizer)) for own in parameters]
    return [(own, regularizer) for own, regularizer in found if regularizer is not None]


def _penalty(penalised: list[tuple[Parameter, L1L2]]) -> float:
    return sum((regularizer.penalty(own.value) for own, regularizer in penalised), 0.0)


def trainer_of(model: Module) -> Trainer:
    trainer = vars(model).get("_trainer")
    if not isinstance(trainer, Trainer):
        raise RuntimeError("the model is not compiled: call compile(optimizer=…, loss=…) first")
    return trainer


def evaluation(logs: dict[str, float]) -> Any:
    """The values as a named tuple, for ``loss, accuracy = model.evaluate(x, y)``."""
    return namedtuple("Evaluation", logs)(**logs)
