"""Node: the interface of a module to code that traverses it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from heedful.base._parameter import Parameter
from heedful.base._types import Array


class Node(Protocol):
    """See :class:`heedful.base._module.Module`, which implements it."""

    awaited: Mapping[str, bool]

    @property
    def parameter_count(self) -> int: ...

    def layers_inside(self) -> Iterator[tuple[str, Node]]: ...
    def named_layers(self) -> Iterator[tuple[str, Node]]: ...
    def parameters_here(self) -> Iterator[tuple[str, Parameter]]: ...
    def named_parameters(self) -> Iterator[tuple[str, Parameter]]: ...
    def builder(self, name: str, arrays: Mapping[str, Array]) -> Callable[[], object]: ...
    def extra_repr(self) -> str: ...
