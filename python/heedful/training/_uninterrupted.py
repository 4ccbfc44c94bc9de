"""A step that Ctrl-C does not interrupt halfway."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Lets the block finish; a Ctrl-C meanwhile is raised after it.

    Signals reach the main thread only, so in other threads there is nothing to do.
    """
    received: list[tuple[int, Any]] = []
    handler = _replace_handler(lambda number, frame: received.append((number, frame)))
    if handler is None:
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received:
        handler(*received[0])


def _replace_handler(replacement: Callable[[int, Any], None]) -> Callable[..., Any] | None:
    """Replaces SIGINT's handler and returns the old one; None where that is impossible."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        return None
    try:
        signal.signal(signal.SIGINT, replacement)
    except ValueError:  # the main thread of a sub-interpreter, which no signal reaches either
        return None
    return handler
