"""Step: a named function of arrays with its gradients, recorded where an argument is traced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, wraps
from inspect import Parameter, signature
from typing import Any

import numpy as np

from heedful._checks import listed, named
from heedful.base._types import Array
from heedful.base.tape._traced import STEPS, Traced, recorder_of

Gradient = Callable[[Array], Any]
# The result, and one of: a function for each array from the gradient of the result to its own; a
# function to a tuple of all of them; None where there is no gradient.
Found = tuple[Any, tuple[Gradient, ...] | Callable[..., Any] | None]


def step(
    one_type: bool = False, several: bool = False
) -> Callable[[Callable[..., Found]], Callable[..., Any]]:
    """Makes a function that returns a result and gradients a step, under its name.

    The step takes and returns arrays, or traced values, which record it.

    one_type : whether numbers and arrays that are not traced take the type of those that are
    several : whether the first argument is a list or tuple of arrays
    """

    def decorate(function: Callable[..., Found]) -> Callable[..., Any]:
        name = function.__name__.rstrip("_")

        @wraps(function)
        def call(*inputs: Any, **options: Any) -> Any:
            recorder = recorder_of(inputs, options)
            if recorder is not None:
                return recorder.apply(call, inputs, options)
            with np.errstate(all="ignore"):
                return found(call, inputs, options)[0]

        call.__name__ = call.__qualname__ = name
        vars(call).update(function=function, one_type=one_type, several=several)
        STEPS[name] = call
        return call

    return decorate


def by_place(
    call: Any, inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a step; arrays that were given by their names are among the inputs."""
    arrays = [name for name, given in options.items() if isinstance(given, (np.ndarray, Traced))]
    if not arrays:
        return inputs, options
    places = _places(call.function)
    last = max((place for place, name in enumerate(places) if name in arrays), default=-1)
    rest = dict(options)
    for name in [*places][len(inputs) : last + 1]:
        given = rest.pop(name, places[name])
        if given is Parameter.empty:
            raise TypeError(f"{call.__name__} needs {name}: it was not given")
        inputs = (*inputs, given)
    return inputs, rest


@lru_cache(256)
def _places(function: Any) -> dict[str, Any]:
    """The names of the parameters that may be given by position, and their defaults."""
    found = signature(function).parameters.values()
    return {one.name: one.default for one in found if one.kind is Parameter.POSITIONAL_OR_KEYWORD}


def found(call: Any, inputs: Sequence[Any], options: Any) -> Found:
    """What the function of a step returns; its errors name the step and the shapes."""
    try:
        result: Found = call.function(*inputs, **options)
    except (TypeError, ValueError, IndexError) as error:
        raise argument_error(call.__name__, inputs, error) from None
    return result


def argument_error(name: str, inputs: Sequence[Any], error: Exception) -> Exception:
    """The error of a step that cannot take its arguments, in one sentence."""
    kind = TypeError if isinstance(error, TypeError) else ValueError
    if isinstance(error, IndexError) and not isinstance(error, ValueError):
        kind = IndexError  # type: ignore[assignment]
    several = [x for given in inputs for x in (given if isinstance(given, list) else [given])]
    shapes = [str(x.shape) for x in several if isinstance(x, np.ndarray)]
    given = f"arrays of shapes {listed(shapes)}" if len(shapes) > 1 else f"shape {''.join(shapes)}"
    if not shapes:
        given = named(inputs[0]) if inputs else "no argument"
    return kind(f"{name} cannot take {given}: {' '.join(str(error).split())}")


def summed_to(dy: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an array that was broadcast: summed over the axes that it lacked."""
    if dy.shape == shape:
        return dy
    added = dy.ndim - len(shape)
    axes = tuple(range(added))
    axes += tuple(
        axis for axis in range(added, dy.ndim) if shape[axis - added] == 1 != dy.shape[axis]
    )
    total: Array = dy.sum(axes, keepdims=True) if axes else dy
    return total.reshape(shape)


def shape_of(given: Any) -> tuple[int, ...]:
    return given.shape if isinstance(given, np.ndarray) else np.shape(given)
