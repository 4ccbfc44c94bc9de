"""Errors of calls that do not match a layer: users wrote layer(x), Python's error says compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heedful.base._foreign_arguments import hint_for


def call_mismatch(
    compute: Callable[..., Any], training: bool, inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> str | None:
    """Why ``layer(*inputs, **options)`` does not match its `compute`; None where it does."""
    from inspect import Parameter, signature  # only now: needed for errors alone

    found = signature(compute)
    own, *others = found.parameters.values()  # mode is passed by the layer
    try:
        found.bind(None, *inputs, **options)
    except TypeError as error:
        reason = str(error)
    else:
        return None
    if own.name in options:
        reason = f"got an unexpected keyword argument {own.name!r}"
    names = [one.name for one in others if one.kind is not Parameter.VAR_KEYWORD]
    taken = ", ".join([*names, "rng"] if training else names)
    hint = hint_for(options, names)
    return f"takes {taken or 'nothing'}: {reason}" + (f"; {hint}" if hint else "")
