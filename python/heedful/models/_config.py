"""Config: a model's config.json, whose values are checked as they are taken."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from heedful._checks import finite, flag, is_integer, named, one_of, probability
from heedful._printable import printable

REQUIRED: Any = object()


class Config(Mapping[str, Any]):
    """The values of a config.json by key; null is as if the key were not there, but for
    `unless_null`.

    `config["key"]` and `config.get("key")` give what the file says; the methods below check its
    type, with the name of the file and the key in the message, and return `default` where the key
    is absent. Without a default the key is required.
    """

    def __init__(self, values: Mapping[str, Any], file: str = "config") -> None:
        self.file = file
        self._values = {key: value for key, value in values.items() if value is not None}
        self._nulls = values.keys() - self._values.keys()

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Config({self._values!r})"

    def integer(self, key: str, default: Any = REQUIRED, minimum: int = 1) -> Any:
        """An integer of at least `minimum`."""
        return self._taken(key, default, lambda name, given: _integer(name, given, minimum))

    def number(self, key: str, default: Any = REQUIRED) -> Any:
        """A finite number, as float."""
        return self._taken(key, default, finite)

    def rate(self, key: str, default: Any = REQUIRED) -> Any:
        """A probability, of dropout."""
        return self._taken(key, default, probability)

    def flag(self, key: str, default: Any = REQUIRED) -> Any:
        return self._taken(key, default, flag)

    def choice(self, key: str, words: Sequence[str], default: Any = REQUIRED) -> Any:
        """One of these strings."""
        return self._taken(key, default, lambda name, given: one_of(name, given, words))

    def text(self, key: str, default: Any = REQUIRED) -> Any:
        return self._taken(key, default, _text)

    def section(self, key: str, default: Any = REQUIRED) -> Any:
        """A mapping inside, such as rope_parameters, as a Config of its own."""
        return self._taken(key, default, _section)

    def unless_null(self, key: str, default: Any) -> Any:
        """The default of a key whose null turns something off: None where the file has null."""
        return None if key in self._nulls else default

    def _taken(self, key: str, default: Any, check: Any) -> Any:
        if key in self._values:
            return check(f"{key} of {self.file}", self._values[key])
        if default is REQUIRED:
            raise ValueError(f"{self.file} must have {key}: it is missing")
        return default


def _integer(name: str, given: Any, minimum: int) -> int:
    if not is_integer(given):
        raise TypeError(f"{name} must be an integer: got {named(given)}")
    if given < minimum:
        raise ValueError(f"{name} must be at least {minimum}: got {given}")
    return int(given)


def _text(name: str, given: Any) -> str:
    if isinstance(given, str):
        return given
    raise TypeError(f"{name} must be a string: got {named(given)}")


def _section(name: str, given: Any) -> Config:
    if isinstance(given, Mapping):
        return Config(given, name)
    raise TypeError(f"{name} must be a mapping: got {named(given)}")


def as_config(given: Any, file: str = "config") -> Config:
    if isinstance(given, Config):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(
            f"config must be a mapping, or the path of a config.json: got {named(given)}"
        )
    return Config(given, file)


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file, which is not trusted."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise TypeError(f"got {named(found)}")
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(
            f"{path.name} must hold a JSON object: {str(path)!r} does not, {printable(str(error))}"
        ) from None
    return found
