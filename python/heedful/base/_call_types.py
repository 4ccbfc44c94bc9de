"""The types of a layer's calls, which follow from those of its `compute`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from heedful.base._mode import Mode
from heedful.base._types import Backward

P = ParamSpec("P")
Result = TypeVar("Result", covariant=True)
Weights = TypeVar("Weights", covariant=True)


class Computes(Protocol[P, Result]):
    """A layer whose call takes `P` and returns a `Result`.

    A result is typed as an array where the layer is called on a recorded value, too, which has an
    array's operators.
    """

    @property
    def compute(self) -> Callable[Concatenate[Mode, P], tuple[Result, Backward]]: ...


class Attends(Protocol[Result, Weights]):
    """A layer that returns a `Result`, and with ``return_weights=True`` (result, weights).

    Its `compute` is typed by the result alone, whether it takes `return_weights` itself or not.
    """

    @property
    def compute(self) -> Callable[..., tuple[Result, Backward]]: ...

    @property
    def _weights_type(self) -> Weights: ...
