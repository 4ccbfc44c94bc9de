"""States whose weights are int8, for models whose weights are floats, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from heedful._checks import numbers
from heedful.base._int8_parameter import Int8Parameter, dequantised, quantised
from heedful.base._parameter import Parameter, checked
from heedful.base._tree import dotted

if TYPE_CHECKING:
    from heedful.base._node import Node

SCALE = "_scale"  # the end of the name of an int8 weight's scales


def in_types_of(layer: Node, state: Mapping[str, Any]) -> dict[str, Any]:
    """The same state with int8 weights where the model has them, and nowhere else.

    ============  ==================  ==========================================
    model         state               is loaded
    ============  ==================  ==========================================
    int8          int8 and scales     as it is
    int8          floats              quantised
    floats        int8 and scales     multiplied by the scales
    ============  ==================  ==========================================
    """
    own = dict(layer.named_parameters())
    awaited = [dotted(name, one) for name, inner in layer.named_layers() for one in inner.awaited]
    found = dict(state)
    for name, parameter in own.items():
        if isinstance(parameter, Int8Parameter):
            _to_int8(name, parameter, own, found)
    for name in [*own, *awaited]:
        if not isinstance(own.get(name), Int8Parameter):
            _to_floats(name, own, found)
    return found


def _to_int8(
    name: str, parameter: Int8Parameter, own: Mapping[str, Parameter], found: dict[str, Any]
) -> None:
    scale = name + SCALE
    if name not in found and scale not in found:
        tied = _of_original(parameter, own, found)
        if tied is None:
            return
        found[name] = tied
    if name not in found:
        raise ValueError(f"{name} must be in the state because {scale} is")
    array = checked(name, found[name], parameter.value)
    if array.dtype != np.int8:
        if scale in found:
            raise TypeError(f"{name} must be int8 because of {scale}: got {array.dtype}")
        found[name], found[scale] = quantised(name, array)
    elif scale not in found:
        raise ValueError(f"{scale} must be in the state because {name} is int8")


def _of_original(
    parameter: Int8Parameter, own: Mapping[str, Parameter], found: Mapping[str, Any]
) -> Any:
    """What a state has for the parameter of another layer that this one was tied to."""
    original = parameter.original
    names = [name for name, one in own.items() if one is original and name in found]
    return found[names[0]] if names else None


def _to_floats(name: str, own: Mapping[str, Parameter], found: dict[str, Any]) -> None:
    scale = name + SCALE
    if scale in own or scale not in found or name not in found:
        return
    value = (
        checked(name, found[name], own[name].value) if name in own else numbers(name, found[name])
    )
    if value.dtype != np.int8 or value.ndim < 2:
        return
    if _is_there_as_floats(name, own, found):
        del found[name], found[scale]
        return
    factors = numbers(scale, found.pop(scale))
    if factors.shape != value.shape[:1]:
        raise ValueError(f"{scale} must have shape {value.shape[:1]}: got {factors.shape}")
    found[name] = dequantised(value, factors)


def _is_there_as_floats(name: str, own: Mapping[str, Parameter], found: Mapping[str, Any]) -> bool:
    """Whether the same parameter has another name, such as that of a tied embedding."""
    others = [
        other for other, one in own.items()
        if one is own.get(name) and other != name and other in found
    ]  # fmt: skip
    return any(np.asarray(found[other]).dtype != np.int8 for other in others)


def own_parameter(parameters: Mapping[str, Parameter], name: str) -> Parameter | None:
    """The parameter of this name, or the scales of an int8 one."""
    own = parameters.get(name)
    if own is None and name.endswith(SCALE):
        weight = parameters.get(name.removesuffix(SCALE))
        return weight.scale if isinstance(weight, Int8Parameter) else None
    return own
