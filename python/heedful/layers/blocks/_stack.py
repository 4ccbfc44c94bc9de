"""Stack: a sequence of layers of one type, the base of Encoder and Decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from numpy.typing import DTypeLike

from heedful._checks import flag, size
from heedful.base._types import Backward
from heedful.layers._typed import Typed
from heedful.layers.blocks._norm import LayerNorm

Kind = TypeVar("Kind", bound=Typed)


class Stack(Typed, Generic[Kind]):
    """N layers of one type, and an optional final norm."""

    layers: list[Kind]
    norm: LayerNorm | None

    def __init__(
        self, num_layers: int, d_model: int, make: Callable[[], Kind], *, norm: bool | None,
        norm_first: bool, eps: float, bias: bool, dtype: DTypeLike,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        self.layers = [make() for _ in range(size("num_layers", num_layers))]
        wanted = norm_first if norm is None else flag("norm", norm)
        self.norm = LayerNorm(d_model, eps, bias, dtype=dtype) if wanted else None


def chained(closures: list[Backward]) -> Backward:
    """The composition of backward functions, from the last to the first."""

    def backward(dy: Any, dweights: Any = None) -> Any:
        if dweights is not None:  # of a last layer that returns weights too
            dy = closures.pop()(dy, dweights)
        while closures:  # each releases its arrays as soon as it has run
            dy = closures.pop()(dy)
        return dy

    return backward


def given_options(**options: Any) -> dict[str, Any]:
    """The options that the caller gave: a user's layer inside need not have the others."""
    return {name: value for name, value in options.items() if value is not None}
