"""rollback: an inference that fails leaves its caches unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heedful.functional import KVCache, LinearState


class rollback:  # used as a statement: with rollback(caches):
    """Within it, an exception restores every cache to its state at the start.

    A model fills the caches of its layers one after another: if a later one fails, the earlier
    ones would hold rows that the next attempt appends again.
    """

    __slots__ = ("before",)

    def __init__(self, *given: Any) -> None:
        # valid rows and sums are never overwritten, so the attributes are enough
        self.before = [(cache, vars(cache).copy()) for cache in _caches(given)]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for cache, state in self.before:
                vars(cache).update(state)


def _caches(given: Any) -> Iterator[KVCache | LinearState]:
    """One, or lists and pairs of them."""
    if isinstance(given, (KVCache, LinearState)):
        yield given
    elif isinstance(given, (list, tuple)):
        for inner in given:
            yield from _caches(inner)
