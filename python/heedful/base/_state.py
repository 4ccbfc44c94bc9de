"""The state of a layer: arrays by name, saved from a model and loaded into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from heedful._checks import flag, named, numbers
from heedful._printable import printable
from heedful.base._int8_state import in_types_of
from heedful.base._parameter import Parameter, checked, owner_of
from heedful.base._tree import dotted
from heedful.base._types import Array

if TYPE_CHECKING:
    from heedful.base._node import Node


class Mismatch(NamedTuple):
    """Names that `load_state_dict` found on one side only."""

    missing: list[str]
    unexpected: list[str]


def check_built(layer: Node) -> None:
    """Reject a layer whose parameters do not exist yet."""
    for name, inner in layer.named_layers():
        if inner.awaited:
            shown = type(inner).__name__ + (f" {name!r}" if name else "")
            raise ValueError(
                f"{shown} is unbuilt, its parameters are made at the first call: "
                "call the model once first"
            )


def check_state(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(
            "state must be a mapping of names to arrays, as state_dict gives it: "
            f"got {named(given)}"
        )
    return given


def load_state(layer: Node, state: Mapping[str, Any], strict: bool) -> Mismatch:
    """Everything is checked first: after an error all parameters are unchanged."""
    strict, own = flag("strict", strict), dict(layer.named_parameters())
    state = in_types_of(layer, state)
    awaiting = [(name, inner) for name, inner in layer.named_layers() if inner.awaited]
    awaited = [dotted(name, inside) for name, inner in awaiting for inside in inner.awaited]
    # one name of a shared parameter is enough
    found = {id(parameter) for name, parameter in own.items() if name in state}
    missing = [name for name, parameter in own.items() if id(parameter) not in found]
    missing += [name for name in awaited if name not in state]
    unexpected = [name for name in state if name not in own and name not in awaited]
    if strict and (missing or unexpected):
        raise ValueError(
            "state must hold the parameters of the model and nothing else: "
            f"missing {few(missing)}, unexpected {few(unexpected)}"
        )
    arrays = {name: _taken(name, state[name], own[name].value) for name in own if name in state}
    arrays |= {name: numbers(name, state[name]) for name in awaited if name in state}
    _check_shared(own, arrays)
    for build in [_builder(name, inner, arrays) for name, inner in awaiting]:
        build()
    for name, parameter in layer.named_parameters():
        if name in arrays:
            parameter.replace(arrays[name])
    return Mismatch(missing, unexpected)


def _taken(name: str, given: Any, like: Array) -> Array:
    """A copy if it is a parameter: that may belong to this model, and be overwritten before."""
    array = checked(name, given, like)
    return array if owner_of(array) is None else array.copy()


def _builder(name: str, layer: Node, arrays: Mapping[str, Array]) -> Callable[[], object]:
    """A function that creates the parameters of a layer for these arrays, which fit it."""
    own = {inside: arrays.get(dotted(name, inside)) for inside in layer.awaited}
    given = {inside: array for inside, array in own.items() if array is not None}
    return layer.builder(name, given) if given else _nothing


def _nothing() -> None:
    pass


def _check_shared(own: Mapping[str, Parameter], arrays: Mapping[str, Array]) -> None:
    first: dict[int, str] = {}
    for name, parameter in own.items():
        if name not in arrays:
            continue
        other = first.setdefault(id(parameter), name)
        if other != name and not np.array_equal(arrays[name], arrays[other], equal_nan=True):
            raise ValueError(
                f"{other} and {name} are one parameter in the model: got two different arrays"
            )


def few(names: list[str], limit: int = 5) -> str:
    if not names:
        return "nothing"
    shown = ", ".join(map(printable, names[:limit]))  # of a file of unknown origin
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
