"""Errors of calls that do not match a layer: users wrote layer(x), Python's error says compute."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from heedful.base._foreign_arguments import layer_hint

if TYPE_CHECKING:
    from inspect import Signature


def call_mismatch(
    taken: Signature, training: bool, inputs: tuple[Any, ...], options: Mapping[str, Any]
) -> str | None:
    """Why ``layer(*inputs, **options)`` does not match what it takes; None where it does."""
    from inspect import Parameter  # only now: needed for errors alone

    try:
        taken.bind(*inputs, **options)
    except TypeError as error:
        reason = str(error)
    else:
        return None
    parameters = taken.parameters.values()
    names = [one.name for one in parameters if one.kind is not Parameter.VAR_KEYWORD]
    shown = ", ".join([*names, "rng"] if training else names)
    hint = layer_hint(options, names)
    return f"takes {shown or 'nothing'}: {reason}" + (f"; {hint}" if hint else "")
