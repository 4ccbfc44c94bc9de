"""What a folder says of generation: the tokens that end a text."""

from __future__ import annotations

from pathlib import Path

from heedful._checks import is_integer, named
from heedful.models._config import Config, read_object
from heedful.models._files import file_in

_FILE = "generation_config.json"


def stop_of(config: Config, default: int | None = None) -> tuple[int, ...]:
    """The tokens of eos_token_id in a config: one, several or none; `default` if it is absent."""
    given = config.get("eos_token_id", config.unless_null("eos_token_id", default))
    given = () if given is None else given
    tokens = given if isinstance(given, (list, tuple)) else (given,)
    for token in tokens:
        if not is_integer(token) or token < 0:
            raise TypeError(
                f"eos_token_id of {config.file} must be tokens, integers: got {named(given)}"
            )
    return tuple(int(token) for token in tokens)


def stop_in(folder: Path) -> tuple[int, ...] | None:
    """That of generation_config.json, which overrides config.json's; None where it has none."""
    path = file_in(folder, _FILE)
    if path is None:
        return None
    found = Config(read_object(path), _FILE)
    return stop_of(found) if "eos_token_id" in found else None
