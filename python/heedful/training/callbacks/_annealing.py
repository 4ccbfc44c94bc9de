"""AnnealTemperature: the temperature of Gumbel attention as a function of the step."""

from __future__ import annotations

from typing import Any

from heedful._checks import named, positive
from heedful.training.callbacks._callback import Callback, Logs
from heedful.training.optimizers._schedules import Schedule


class AnnealTemperature(Callback):
    """Sets the gumbel_temperature of every attention of a model before each step.

    ::

        layer.gumbel_temperature = schedule(step)       where the layer has one

    At a high temperature gradients have little noise, at a low one the weights are nearly choices:
    trainings begin with the one and end with the other.

    Parameters
    ----------
    schedule : callable
        From the number of the optimizer's steps so far to a temperature, as
        :class:`LinearAnnealing` and :class:`ExponentialAnnealing` are; the steps of an earlier fit
        count.

    Attributes
    ----------
    temperature : float or None
        The one set last, which the model keeps after the training.

    Raises
    ------
    ValueError
        In fit: a model none of whose layers has a gumbel_temperature, or a temperature that is not
        finite and above 0.

    Notes
    -----
    Jang et al. 2017, https://arxiv.org/abs/1611.01144, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import GlobalAveragePooling, Linear, MultiHeadAttention, Sequential
    >>> from heedful.training import AnnealTemperature, LinearAnnealing
    >>> attend = MultiHeadAttention(4, 2, gumbel_temperature=1.0, rng=0)
    >>> model = Sequential(attend, GlobalAveragePooling(), Linear(4, 1, rng=0))
    >>> model.compile(optimizer="adam", loss="mse")
    >>> anneal = AnnealTemperature(LinearAnnealing(1.0, 0.2, total_steps=8))
    >>> x = np.ones((8, 3, 4), np.float32)
    >>> history = model.fit(x, x[:, 0, :1], batch_size=2, callbacks=anneal, verbose=False)
    >>> attend.gumbel_temperature  # after four steps
    0.6
    """

    def __init__(self, schedule: Schedule) -> None:
        if not callable(schedule):
            raise TypeError(
                f"schedule must be a function from a step to a temperature: got {named(schedule)}"
            )
        self.schedule = schedule
        self.temperature: float | None = None
        self._layers: list[Any] = []

    def on_begin(self, model: Any) -> None:
        self._layers = [
            layer
            for _, layer in model.named_layers()
            if getattr(layer, "gumbel_temperature", None) is not None
        ]
        if not self._layers:
            raise ValueError(
                "model must have a layer with a gumbel_temperature for AnnealTemperature: it has "
                "none"
            )
        self._set()

    def on_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._set()

    def on_end(self) -> None:
        self._layers = []

    def _set(self) -> None:
        self.temperature = positive("temperature", self.schedule(self.model.optimizer.steps))
        for layer in self._layers:
            layer.gumbel_temperature = self.temperature
