"""What all processes must agree on: an error of one is raised in all, and none waits for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")


def agreed(comm: Any, work: Callable[[], Found]) -> Found:
    """What `work` returns here; a ValueError or TypeError of any process is raised in all."""
    error: Exception | None = None
    try:
        found = work()
    except (ValueError, TypeError) as own:
        error = own
    for rank, message in enumerate(comm.allgather(error and str(error))):
        if error is not None:
            raise error
        if message is not None:
            raise ValueError(f"process {rank} was given wrong arguments: {message}")
    return found
