"""The types of parameters as attributes of a layer: a Parameter is assigned, an array is read."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import ArrayLike

from heedful.base._parameter import Parameter
from heedful.base._types import Array


class Own(Protocol):
    """Of a layer that always has the parameter."""

    def __get__(self, layer: Any, kind: Any) -> Array: ...
    def __set__(self, layer: Any, value: Parameter | ArrayLike) -> None: ...


class OptionalOwn(Protocol):
    """Of a layer that may be without it."""

    def __get__(self, layer: Any, kind: Any) -> Array | None: ...
    def __set__(self, layer: Any, value: Parameter | ArrayLike | None) -> None: ...
