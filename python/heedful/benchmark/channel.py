"""The worker's end of a process: reads commands and writes answers as lines of JSON."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

Answer = dict[str, Any]


class Worker(Protocol):
    """Its methods are the commands: they take the command's fields and return the answer's."""

    version: str  # of the library


def serve(start: Callable[[], Worker]) -> None:
    """Answer the commands of standard input on standard output, until the end of the input."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # output of a library must not mix with the answers
    for answer in _answers(start, iter(sys.stdin.readline, "")):
        channel.write(json.dumps(answer) + "\n")
        channel.flush()


def _answers(start: Callable[[], Worker], lines: Iterator[str]) -> Iterator[Answer]:
    try:
        worker = start()
    except Exception as error:
        yield _failed(error)
        return
    yield {"version": worker.version}
    for line in lines:
        command = json.loads(line)
        try:
            yield getattr(worker, command.pop("do"))(**command)
        except Exception as error:  # the other end reports it and continues
            yield _failed(error)


def _failed(error: Exception) -> Answer:
    return {"failed": f"{type(error).__name__}: {str(error)[:300]}"}


def rest(longest: float = 0.6) -> None:
    """Wait until no thread of this process spins: some pools do for 200 ms after their work."""
    end = time.monotonic() + longest
    while time.monotonic() < end:
        before = time.process_time()
        time.sleep(0.02)
        if time.process_time() - before < 0.002:
            return
