"""Standard output and error: of any encoding, and with a reader that may leave."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def any_text() -> Iterator[None]:
    """Letters that a terminal's encoding lacks are written as \\u4e2d meanwhile."""
    streams = [
        stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, io.TextIOWrapper)
    ]
    before = [stream.errors for stream in streams]
    for stream in streams:
        stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        for stream, errors in zip(streams, before, strict=True):
            with suppress(OSError, ValueError):  # it is closed, or cannot be flushed
                stream.reconfigure(errors=errors)


def drop_unwritten() -> None:
    """What cannot be written any more, so that nothing is said of it at the exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
