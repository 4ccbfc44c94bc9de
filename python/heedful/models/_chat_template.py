"""Chat templates: jinja2 in a sandbox, since a template comes from a file of unknown origin."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from heedful._checks import named
from heedful._printable import printable

_MIN_JINJA = (3, 1, 6)  # earlier ones have known ways out of the sandbox


def render(template: str, variables: Mapping[str, Any]) -> str:
    """The text that a template makes of messages, tools and other variables."""
    environment = _environment()
    given = {name: _plain(value) for name, value in variables.items()}
    try:
        found: str = environment.from_string(template).render(given)
    except MemoryError:
        raise
    except Exception as error:  # a template may raise anything, and itself
        raise ValueError(f"the chat template refuses this: {printable(str(error))}") from None
    return found


def _environment() -> Any:
    try:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError:
        raise ImportError(
            "chat templates need the package jinja2: pip install 'jinja2>=3.1.6'"
        ) from None
    if tuple(map(int, re.findall(r"\d+", jinja2.__version__)[:3])) < _MIN_JINJA:
        raise ImportError(f"chat templates need jinja2 3.1.6 or newer: got {jinja2.__version__}")

    def refuse(message: str) -> None:
        raise jinja2.TemplateError(message)

    found = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True,
        extensions=[_generation_blocks(), "jinja2.ext.loopcontrols"],
    )  # fmt: skip
    found.filters["tojson"] = _to_json
    found.globals["raise_exception"] = refuse
    found.globals["strftime_now"] = lambda given: datetime.now().strftime(given)
    found.globals["dict"] = _Dict()
    found.globals["namespace"] = _namespace()
    return found


def _generation_blocks() -> Any:
    """{% generation %} … {% endgeneration %}, which marks what a model wrote: its text alone."""
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}  # noqa: RUF012, jinja2's own declaration

        def parse(self, parser: Any) -> Any:
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    return Generation


def _namespace() -> Any:
    """jinja2's namespace without names that begin with an underscore."""
    from jinja2.exceptions import SecurityError
    from jinja2.utils import Namespace

    def check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace must have no name with an underscore: got {name!r}")

    class SafeNamespace(Namespace):
        def __init__(*given: Any, **attributes: Any) -> None:  # self may be a name
            own, *rest = given
            found = dict(*rest, **attributes)
            for name in found:
                check(name)
            Namespace.__init__(own, found)

        def __setitem__(self, name: str, value: Any) -> None:
            check(name)
            super().__setitem__(name, value)

    return SafeNamespace


class _Dict:
    """dict without its attributes, through which a template could reach more."""

    def __call__(self, *given: Any, **named: Any) -> dict[Any, Any]:
        return dict(*given, **named)

    def fromkeys(self, *given: Any) -> dict[Any, Any]:
        return dict.fromkeys(*given)


def _to_json(
    given: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None,
    sort_keys: bool = False,
) -> str:  # fmt: skip
    """jinja2's own filter escapes for HTML."""
    return json.dumps(
        given, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _plain(value: Any) -> Any:
    """The same of plain types alone: methods of others are nothing for a template."""
    if value is None or type(value) in (str, int, float, bool):
        return value
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, str):  # of a subclass, which may have other methods
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    if isinstance(value, float):
        return float.__float__(value)
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return f"<{type(value).__name__}>"


def checked_messages(given: Any) -> list[dict[str, Any]]:
    """Messages without keys that are None, which templates take as text."""
    if isinstance(given, (str, Mapping)) or not isinstance(given, Sequence) or not given:
        raise TypeError(
            "messages must be a list of mappings such as "
            f'{{"role": "user", "content": "…"}}: got {named(given)}'
        )
    for message in given:
        if not isinstance(message, Mapping):
            raise TypeError(f"messages must be mappings: got {named(message)}")
    return [{key: value for key, value in message.items() if value is not None}
            for message in given]  # fmt: skip
