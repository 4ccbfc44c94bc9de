"""Argument names in errors as the caller used them, where they are forwarded under other names."""

from __future__ import annotations

import re
from types import TracebackType


class argument_names:  # used as a statement: with argument_names(kv_lengths="lengths"):
    """Within it, messages of ValueError and TypeError use the caller's argument names.

    For checks further inside: in a function, or in a layer that a user may have written.
    """

    __slots__ = ("names",)

    def __init__(self, **names: str) -> None:
        self.names = names

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if type(error) in (TypeError, ValueError) and error is not None and error.args:
            inner = rf"\b({'|'.join(self.names)})\b"
            text = re.sub(inner, lambda found: self.names[found[0]], str(error.args[0]))
            error.args = (text, *error.args[1:])
