"""Errors in the words of the caller, where a layer hands arguments on under other names."""

from __future__ import annotations

import re
from types import TracebackType
from typing import Any


class called:  # read as a word: with called(kv_lengths="lengths"):
    """Within it, messages of ValueError and TypeError name arguments as the user knows them."""

    __slots__ = ("words",)

    def __init__(self, **words: str) -> None:
        self.words = words

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if type(error) in (TypeError, ValueError) and error is not None and error.args:
            inner = rf"\b({'|'.join(self.words)})\b"
            text = re.sub(inner, lambda found: self.words[found[0]], str(error.args[0]))
            error.args = (text, *error.args[1:])


def given_of(**options: Any) -> dict[str, Any]:
    """The options that the caller gave: a layer that a user put inside need not know the others."""
    return {name: value for name, value in options.items() if value is not None}
