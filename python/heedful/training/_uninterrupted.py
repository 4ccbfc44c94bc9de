"""A step that Ctrl-C does not cut in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Lets what is inside finish; a Ctrl-C meanwhile is raised behind it.

    Signals reach the main thread only, so elsewhere there is nothing to do.
    """
    heard: list[tuple[int, Any]] = []
    handler = _replace_handler(lambda number, frame: heard.append((number, frame)))
    if handler is None:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if heard:
        handler(*heard[0])


def _replace_handler(replacement: Callable[[int, Any], None]) -> Callable[..., Any] | None:
    """Puts another one in the place of SIGINT's handler, which is returned; None if it cannot."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        return None
    try:
        signal.signal(signal.SIGINT, replacement)
    except ValueError:  # the main thread of a sub-interpreter, which no signal reaches either
        return None
    return handler
