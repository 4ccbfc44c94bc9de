"""Schedules: learning rates and temperatures as functions of the step."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from heedful._checks import is_integer, named, not_negative, positive, size
from heedful.base._shown import Shown

# from the number of the step, 0 for the first, to its learning rate or temperature
Schedule: TypeAlias = Callable[[int], float]


class WarmupCosine(Shown):
    """Rises linearly to lr, then falls along half a cosine.

    Parameters
    ----------
    lr : float
        Highest rate.
    warmup_steps, total_steps : int
    final : float, default 0
        The rate at the end and after it.

    Notes
    -----
    Loshchilov and Hutter 2016, https://arxiv.org/abs/1608.03983.

    Examples
    --------
    >>> from heedful.training import WarmupCosine
    >>> schedule = WarmupCosine(0.1, warmup_steps=2, total_steps=6)
    >>> [round(schedule(step), 3) for step in range(7)]
    [0.05, 0.1, 0.1, 0.085, 0.05, 0.015, 0.0]
    """

    lr: float
    final: float

    def __init__(self, lr: float, warmup_steps: int, total_steps: int, final: float = 0.0) -> None:
        self.lr, self.final = not_negative("lr", lr), not_negative("final", final)
        self.total_steps: int = size("total_steps", total_steps)
        self.warmup_steps: int = (
            0
            if is_integer(warmup_steps) and warmup_steps == 0
            else size("warmup_steps", warmup_steps)
        )

    def __call__(self, step: int) -> float:
        if step < self.warmup_steps:
            return self.lr * (step + 1) / self.warmup_steps
        progress = (step - self.warmup_steps) / max(self.total_steps - self.warmup_steps, 1)
        return self.final + (self.lr - self.final) * (1 + math.cos(math.pi * min(progress, 1))) / 2


class InverseSquareRoot(Shown):
    """Rises linearly to lr, then falls as 1/√step.

    Parameters
    ----------
    lr : float
        Highest rate, at step `warmup_steps`. That of Vaswani et al. is
        1/√(d_model · warmup_steps).
    warmup_steps : int, default 4000

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762, section 5.3.

    Examples
    --------
    >>> from heedful.training import InverseSquareRoot
    >>> schedule = InverseSquareRoot(0.1, warmup_steps=4)
    >>> [round(schedule(step), 3) for step in (0, 1, 3, 15)]
    [0.025, 0.05, 0.1, 0.05]
    """

    lr: float
    warmup_steps: int

    def __init__(self, lr: float, warmup_steps: int = 4000) -> None:
        self.lr, self.warmup_steps = not_negative("lr", lr), size("warmup_steps", warmup_steps)

    def __call__(self, step: int) -> float:
        count = step + 1
        return self.lr * min(count / self.warmup_steps, math.sqrt(self.warmup_steps / count))


class LinearAnnealing(Shown):
    """From `first` to `final` along a line.

    Parameters
    ----------
    first, final : float
        At step 0, and from step `total_steps` on.
    total_steps : int

    Notes
    -----
    For the temperature of Gumbel attention, see :class:`AnnealTemperature`, or a learning rate.

    Examples
    --------
    >>> from heedful.training import LinearAnnealing
    >>> schedule = LinearAnnealing(1.0, 0.2, total_steps=4)
    >>> [round(schedule(step), 3) for step in range(6)]
    [1.0, 0.8, 0.6, 0.4, 0.2, 0.2]
    """

    first: float
    final: float

    def __init__(self, first: float, final: float, total_steps: int) -> None:
        self.first, self.final = not_negative("first", first), not_negative("final", final)
        self.total_steps: int = size("total_steps", total_steps)

    def __call__(self, step: int) -> float:
        progress = min(step / self.total_steps, 1)
        return self.first + (self.final - self.first) * progress


class ExponentialAnnealing(Shown):
    """From `first` to `final` by the same factor at every step.

    Parameters
    ----------
    first, final : float
        Above 0: at step 0, and from step `total_steps` on.
    total_steps : int

    Notes
    -----
    As :class:`LinearAnnealing`; Jang et al. 2017, https://arxiv.org/abs/1611.01144, anneal so.

    Examples
    --------
    >>> from heedful.training import ExponentialAnnealing
    >>> schedule = ExponentialAnnealing(1.0, 0.0625, total_steps=4)
    >>> [schedule(step) for step in range(6)]
    [1.0, 0.5, 0.25, 0.125, 0.0625, 0.0625]
    """

    first: float
    final: float

    def __init__(self, first: float, final: float, total_steps: int) -> None:
        self.first, self.final = positive("first", first), positive("final", final)
        self.total_steps: int = size("total_steps", total_steps)

    def __call__(self, step: int) -> float:
        progress = min(step / self.total_steps, 1)
        return float(self.first * (self.final / self.first) ** progress)


class Constant:
    """The same rate at every step."""

    def __init__(self, lr: float) -> None:
        self.lr = lr

    def __call__(self, step: int) -> float:
        return self.lr


NAMED = WarmupCosine, InverseSquareRoot, LinearAnnealing, ExponentialAnnealing


def as_schedule(given: Any) -> Schedule:
    if callable(given):
        schedule: Schedule = given
        return schedule
    try:
        rate = not_negative("lr", given)
    except TypeError:
        raise TypeError(
            f"lr must be a number, or a function from a step to one: got {named(given)}"
        ) from None
    return Constant(rate)


def described(schedule: Schedule) -> float | str:
    """The description of a schedule in the file of a training: of a function its name alone."""
    if isinstance(schedule, Constant):
        return schedule.lr
    if isinstance(schedule, NAMED):
        settings = ", ".join(f"{name}={value}" for name, value in vars(schedule).items())
        return f"{type(schedule).__name__}({settings})"
    return str(getattr(schedule, "__qualname__", type(schedule).__qualname__))
