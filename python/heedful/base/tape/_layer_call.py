"""Calls of layers on a tape: their arguments by position, their gradients, and their errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heedful.base._shared_bias import SharedBias
from heedful.base.tape._traced import Traced


def by_position(
    owner: Any, layer: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Values that were given by name, by position: backward functions return gradients so."""
    options, inputs = dict(options), tuple(inputs)
    taken = list(layer.call_signature().parameters.values())
    for one in taken[len(inputs) :]:
        if one.kind is not one.POSITIONAL_OR_KEYWORD or one.name not in options:
            break
        inputs = (*inputs, options.pop(one.name))
    for name, given in options.items():
        if isinstance(given, Traced):
            raise named_in(owner, layer, no_gradient(type(layer).__name__, name))
    return inputs, options


def with_shared(
    layer: Any, options: Mapping[str, Any], value_of: Callable[[Any], Any]
) -> tuple[dict[str, Any], tuple[tuple[SharedBias, int], ...]]:
    """Values in options whose gradient the layer adds to a SharedBias: that, and their slots."""
    given, shared = dict(options), []
    for name in layer.gradient_options:
        taped = given.get(name)
        if isinstance(taped, Traced):
            given[name] = SharedBias(value_of(taped))
            shared.append((given[name], taped.slot))
    return given, tuple(shared)


def no_gradient(what: str, name: str) -> TypeError:
    return TypeError(
        f"{what} has no gradient of {name}: write {name}=steps.stop_gradient(…) for a constant"
    )


def named_in(owner: Any, layer: Any, error: Exception) -> Exception:
    """The error of a layer inside, whose message then begins with the layer's dotted name."""
    if type(error) not in (TypeError, ValueError) or not error.args:
        return error
    # of layers within each other the innermost one, which the others would name in part only
    inner, shown = vars(error).get("_layer", (layer, ""))
    names = {id(one): name for name, one in reversed(list(owner.named_layers()))}
    name = names.get(id(inner)) or names.get(id(layer)) or shown or type(layer).__name__
    text = str(error.args[0]).removeprefix(f"{shown}: ")
    error.args = (f"{name}: {text}", *error.args[1:])
    vars(error)["_layer"] = inner, name
    return error
