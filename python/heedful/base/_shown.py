"""Shown: a representation on one line that its constructor evaluates, where it can."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

WIDTH = 100


class Shown:
    """Shows the arguments of the constructor that differ from their defaults.

    Those in `always_shown` are shown in any case. They are read from attributes of the same names;
    subclasses whose attributes have others override `shown_argument`. An argument without an
    attribute is left out.
    """

    always_shown: ClassVar[tuple[str, ...]] = ()

    def shown_argument(self, name: str) -> Any:
        """The value of an argument of the constructor; raises a KeyError where it is not kept."""
        return vars(self)[name]

    def __repr__(self) -> str:
        from inspect import signature  # only now: slow, and needed by people alone

        kind, parts = type(self), []
        for one in list(signature(kind.__init__).parameters.values())[1:]:
            if one.kind in (one.VAR_POSITIONAL, one.VAR_KEYWORD):
                continue
            try:
                value = self.shown_argument(one.name)
            except KeyError:
                continue
            if one.name in self.always_shown or not _same(value, one.default):
                parts.append(f"{one.name}={shown(value)}")
        text = f"{kind.__name__}({', '.join(parts)})"
        return text if len(text) <= WIDTH else text[: WIDTH - 2] + "…)"


def shown(value: Any) -> str:
    """A value on one line: of arrays shape and type, of functions and layers their names."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}"
    if isinstance(value, (list, tuple)) and any(isinstance(one, np.ndarray) for one in value):
        inner = ", ".join(map(shown, value))
        comma = "," * (len(value) == 1)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{comma})"
    if hasattr(value, "named_parameters"):
        return type(value).__name__
    name = getattr(value, "__qualname__", None)
    return str(name) if name is not None else " ".join(repr(value).split())


def _same(value: Any, default: Any) -> bool:
    if value is default:
        return True
    try:
        return bool(type(value) is type(default) and value == default)
    except ValueError:  # arrays have no truth value
        return False
