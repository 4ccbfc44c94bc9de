"""Seconds within a program: of one call, and of all calls of a function of a library."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

# of the processor on one thread, in which other programs do not count
CLOCK: list[Callable[[], float]] = [time.perf_counter]


class timed_calls:
    """Within it, calls of attribute `name` of `place` add their seconds to a list of one."""

    def __init__(self, *places: tuple[Any, str]) -> None:
        self.places, self.spent = places, [0.0]

    def __enter__(self) -> list[float]:
        self.own = [_get(place, name) for place, name in self.places]
        for (place, name), own in zip(self.places, self.own, strict=True):
            _set(place, name, partial(self._timed, own))
        return self.spent

    def _timed(self, own: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        start = CLOCK[0]()
        found = own(*arguments, **options)
        self.spent[0] += CLOCK[0]() - start
        return found

    def __exit__(self, *_: object) -> None:
        for (place, name), own in zip(self.places, self.own, strict=True):
            _set(place, name, own)


def _get(place: Any, name: str) -> Any:
    return place[name] if isinstance(place, dict) else getattr(place, name)


def _set(place: Any, name: str, found: Any) -> None:
    if isinstance(place, dict):
        place[name] = found
    else:
        setattr(place, name, found)
