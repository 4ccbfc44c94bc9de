"""A line on the terminal that says what a command is doing; nothing where stderr is no terminal."""

from __future__ import annotations

import sys
from types import TracebackType

_WIDTH = 60  # of the line: on any terminal spaces clear it


class Progress:
    """Shows one line at a time, and clears it at the end, after Ctrl-C, too."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def say(self, text: str) -> None:
        self._write(f"\r{text:<{_WIDTH}}")

    def clear(self) -> None:
        """Before other lines are printed."""
        self._write(f"\r{'':<{_WIDTH}}\r")

    def _write(self, text: str) -> None:
        if self._shown:
            print(text, end="", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        self.clear()
