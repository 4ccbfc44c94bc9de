"""rollback: what an inference that fails has put into caches is taken out again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from heedful.functional import KVCache


class rollback:  # read as a word: with rollback(caches):
    """Within it, an exception leaves every cache as it was at the start.

    A model fills the caches of its layers one after another: where a later one fails, those before
    would hold rows that the next try puts there again.
    """

    __slots__ = ("before",)

    def __init__(self, *given: Any) -> None:
        # rows that count are never written again, so to know which they are is enough
        self.before = [(cache, vars(cache).copy()) for cache in _caches(given)]

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for cache, state in self.before:
                vars(cache).update(state)


def _caches(given: Any) -> Iterator[KVCache]:
    """One, or lists and pairs of them."""
    if isinstance(given, KVCache):
        yield given
    elif isinstance(given, (list, tuple)):
        for inner in given:
            yield from _caches(inner)
