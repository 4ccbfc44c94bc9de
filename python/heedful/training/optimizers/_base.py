"""Optimizer: the base class of optimizers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import named, numbers, positive, real
from heedful._core._memory import Keeper
from heedful.base._module import Module
from heedful.base._parameter import Parameter
from heedful.base._shown import Shown
from heedful.base._types import Array
from heedful.training._foreign_arguments import ArgumentHints
from heedful.training.optimizers._gradient_norm import gradient_norm, not_finite
from heedful.training.optimizers._schedules import Constant, Schedule, as_schedule, described
from heedful.training.optimizers._settings import Groups, groups_of, setting


class Optimizer(ArgumentHints, Shown, ABC):
    """The base class of optimizers: groups, clipping, state.

    Parameters
    ----------
    model : Layer, optional
        Its parameters are updated; set by `compile` where it is left out.
    lr : float or function
        Learning rate, or a function from the number of the step to it, such as
        :class:`WarmupCosine`.
    groups : mapping, optional
        Other settings for parameters whose dotted names match a pattern; the first match applies:
        ``{"*.bias": {"weight_decay": 0}, "embedding.*": {"lr_factor": 0.1}}``. A pattern that no
        name matches is an error at the first step.
    clip_norm : float, optional
        Gradients are scaled down together if their norm, over all parameters, is larger.

    Notes
    -----
    A parameter without a gradient, such as one that the computation did not use, is unchanged, with
    its state, as in PyTorch: neither momentum nor decay changes it. Schedules count the steps of
    the optimizer, Adam's bias correction those of each parameter.

    From its first step on, as long as the optimizer exists, memory that layers no longer need is
    kept for the next step, never more than a step took; at the end of `fit` it is released.
    """

    steps: int
    always_shown: ClassVar[tuple[str, ...]] = ("lr",)
    settings: dict[str, float]
    slots: tuple[str, ...] = ()  # arrays kept for each parameter
    # called with the model before each step: data-parallel processes average their gradients
    exchange: Callable[[Any], None] | None = None
    _keeper: Keeper | None = None

    def __init__(
        self, model: Module | None, lr: Any, groups: Mapping[str, Mapping[str, float]] | None,
        clip_norm: float | None, **settings: float,
    ) -> None:  # fmt: skip
        if model is not None and not isinstance(model, Module):
            raise TypeError(f"model must be a layer, and a rate be given as lr: got {named(model)}")
        self.model = model
        self.schedule: Schedule = as_schedule(lr)
        self.settings = {"lr_factor": 1.0}
        self.settings.update({name: setting(name, value) for name, value in settings.items()})
        self.groups: Groups = groups_of(groups, self.settings)
        self.clip_norm: float | None = (
            None if clip_norm is None else positive("clip_norm", clip_norm)
        )
        self.steps = 0
        self.state: dict[str, dict[str, Array]] = {}  # slot → name → array
        self.counts: dict[str, int] = {}  # name → steps in which the parameter had a gradient

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        if "counts" not in state:  # pickled when the optimizer alone counted its steps
            moved = {name for arrays in self.state.values() for name in arrays}
            self.counts = dict.fromkeys(moved, self.steps)

    def shown_argument(self, name: str) -> Any:
        if name == "lr":
            return self.schedule.lr if isinstance(self.schedule, Constant) else self.schedule
        if name == "groups":
            return self.groups or None
        if name == "model":  # it is trained by more than one line can show
            raise KeyError(name)
        return self.settings[name] if name in self.settings else vars(self)[name]

    @property
    def lr(self) -> float:
        """The learning rate of the next step; a number or a function may be assigned."""
        rate = real("lr", self.schedule(self.steps))
        if not 0 <= rate < math.inf:
            raise ValueError(
                f"lr must be finite and not negative: the schedule gave {rate} at step {self.steps}"
            )
        return rate

    @lr.setter
    def lr(self, given: Any) -> None:
        self.schedule = as_schedule(given)

    def step(self) -> None:
        """One update by the present gradients, which are kept: call ``model.zero_grad()``.

        Raises
        ------
        FloatingPointError
            A gradient is not finite, or so large that the step would not be. Nothing is changed.
        """
        if self.model is None:
            raise ValueError("the optimizer has no model: give it one, or compile one with it")
        if self.exchange is not None:
            self.exchange(self.model)
        distinct = self.model.distinct_parameters()
        if self.steps == 0:
            self._check_groups(distinct)
        found = [
            (name, own) for name, own in distinct.items() if own.trainable and own.grad is not None
        ]
        rate = self.lr
        factor = self._clipping(found, rate)
        for name, own in found:
            assert own.grad is not None
            settings = self._settings_of(name)
            slots = [self._slot(slot, name, own) for slot in self.slots]
            grad = own.grad if factor == 1 else _clipped(own.grad, factor)
            count = self.counts.get(name, 0) + 1
            self.update(own.value, grad, slots, rate * settings["lr_factor"], settings, count)
            self.counts[name] = count
        self.steps += 1
        self._keeper = self._keeper or Keeper()

    @abstractmethod
    def update(
        self, value: Array, grad: Array, slots: list[Array], rate: float,
        settings: Mapping[str, float], count: int,
    ) -> None:  # fmt: skip
        """Updates one parameter and its slots in place; this is its step number `count`, from 1."""

    def _clipping(self, found: list[tuple[str, Parameter]], rate: float) -> float:
        """The factor of the gradients; an error for those that would make weights infinite."""
        norm = gradient_norm([own.grad for _, own in found if own.grad is not None])
        factor = 1.0
        if self.clip_norm is not None and math.isfinite(norm):
            # with PyTorch's epsilon, for the same steps
            factor = min(1.0, self.clip_norm / (norm + 1e-6))
        types = {own.value.dtype for _, own in found}
        limit = min((float(np.finfo(dtype).max) for dtype in types), default=math.inf)
        # some optimizers keep squares, and the step is added to the weights
        if not max(norm * factor, 1.0) * max(rate, 1.0) < math.sqrt(limit):
            raise FloatingPointError(not_finite(found, norm))
        return factor

    def _check_groups(self, names: Mapping[str, Any]) -> None:
        for pattern in self.groups:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ValueError(
                    f"groups[{pattern!r}] must match a parameter: there are {_few(list(names))}"
                )

    def _settings_of(self, name: str) -> dict[str, float]:
        for pattern, group in self.groups.items():
            if fnmatchcase(name, pattern):
                return {**self.settings, **group}
        return self.settings

    def _slot(self, slot: str, name: str, own: Parameter) -> Array:
        arrays = self.state.setdefault(slot, {})
        if name not in arrays:
            arrays[name] = np.zeros_like(own.value)
        return arrays[name]

    def description(self) -> dict[str, Any]:
        """Kind and settings, as stored in the file of a training."""
        return {
            "optimizer": type(self).__name__, "lr": described(self.schedule), **self.settings,
            "groups": self.groups, "clip_norm": self.clip_norm,
        }  # fmt: skip

    def state_dict(self) -> dict[str, Array]:
        """A copy of the complete state that later steps depend on, by dotted names."""
        state = {
            f"{slot}.{name}": array.copy()
            for slot, arrays in self.state.items()
            for name, array in arrays.items()
        }
        state |= {f"steps.{name}": np.array(count) for name, count in self.counts.items()}
        state["steps"] = np.array(self.steps)
        return state

    def load_state_dict(self, state: Mapping[str, ArrayLike]) -> None:
        """Resumes from `state`. Everything is checked first.

        In a state without a number of steps for each parameter, as in early files, parameters with
        slots are assumed to have had a gradient in every step.
        """
        if self.model is None:
            raise ValueError("the optimizer has no model: give it one, or compile one with it")
        parameters = self.model.distinct_parameters()
        loaded: dict[str, dict[str, Array]] = {}
        counts: dict[str, int] = {}
        steps = _count("steps", state.get("steps"))
        for key, given in state.items():
            slot, _, name = key.partition(".")
            if key == "steps":
                continue
            if slot not in (*self.slots, "steps") or name not in parameters:
                raise ValueError(f"state must be of this optimizer and model: got {key!r}")
            if slot == "steps":
                counts[name] = _count(key, given)
                continue
            array, own = numbers(key, given), parameters[name].value
            if array.shape != own.shape:
                raise ValueError(f"{key} must have shape {own.shape}: got {array.shape}")
            loaded.setdefault(slot, {})[name] = np.array(array, own.dtype, order="C")
        moved = set(counts) or set(parameters if steps else ())
        if self.slots:
            moved = set(loaded.get(self.slots[0], {}))
        if any(set(loaded.get(slot, {})) != moved for slot in self.slots):
            raise ValueError(f"state must have {' and '.join(self.slots)} of each parameter")
        if not counts:
            counts = {name: steps for name in parameters if name in moved}
        if set(counts) != moved:
            raise ValueError("state must have 'steps' of each parameter, or of none")
        self.steps, self.state, self.counts = steps, loaded, counts


def _count(key: str, given: Any) -> int:
    array = np.asarray(given)
    if array.dtype.kind not in "iu" or array.shape != () or array < 0:
        raise ValueError(f"state must have {key!r}, an integer that is not negative")
    return int(array)


@np.errstate(all="ignore")
def _clipped(grad: Array, factor: float) -> Array:
    # asarray: products of arrays without axes are scalars
    scaled: Array = np.asarray(grad * grad.dtype.type(factor))
    return scaled


def _few(names: list[str], limit: int = 8) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
