"""Backward functions that are called once."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import numbers
from heedful.base._types import Backward


def single_use(y: Any, backward: Backward) -> Backward:
    """Calls `backward` at its first call and releases it, with all arrays that it keeps.

    If y is an array, its gradient must be numbers of its shape: nothing is broadcast silently.
    A wrong gradient is rejected before the call, so the closure can still be called with a right
    one.
    """
    kept: list[Backward] = [backward]
    shapes = [
        part.shape if isinstance(part, np.ndarray) else None
        for part in (y if isinstance(y, tuple) else (y,))
    ]
    del y, backward

    def call(*gradients: Any, **named: Any) -> Any:
        names = ["dy"]
        if named or len(gradients) != 1:
            if not kept:
                raise called_before()
            names = _names(kept[0], len(shapes))
            gradients = _in_order(kept[0], names, gradients, named)[: len(shapes)]
        for index, (gradient, shape) in enumerate(zip(gradients, shapes, strict=False)):
            if shape is None or (index and gradient is None):
                continue
            name = names[index] if index < len(names) else f"gradient {index + 1}"
            found = numbers(name, gradient).shape
            if found != shape:
                raise ValueError(f"{name} must have shape {shape}: got {found}")
        try:
            function = kept.pop()
        except IndexError:
            raise called_before() from None
        return function(*gradients)

    return call


def called_before() -> RuntimeError:
    return RuntimeError(
        "this backward function was called before: call forward again for another one"
    )


def _in_order(
    backward: Backward, names: list[str], gradients: tuple[Any, ...], named: dict[str, Any]
) -> tuple[Any, ...]:
    """The gradients of the outputs of these names, by position and by name, in their order."""
    from inspect import signature  # only now: most calls have one gradient

    if not gradients and "dy" in named:  # whatever the first is called inside
        named = dict(named)
        gradients = (named.pop("dy"),)
    try:
        for name in named:
            if name not in names:
                raise TypeError(f"got an unexpected keyword argument {name!r}")
        bound = signature(backward).bind(*gradients, **named)
    except TypeError as error:
        reason = str(error)
        raise TypeError(f"backward must be given {', '.join(names)}: {reason}") from None
    bound.apply_defaults()
    return bound.args


def _names(backward: Backward, count: int) -> list[str]:
    """What the gradients of `count` outputs are called."""
    from inspect import signature  # only now: most calls have one gradient

    found = signature(backward).parameters.values()
    taken = [one.name for one in found if one.kind is one.POSITIONAL_OR_KEYWORD]
    return ["dy", *taken[1:]][:count]
