"""WindowStore: the last rows of each item, one after another, and none that a window has passed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.functional._cache_store import CacheStore, Lengths, Rows
from heedful.functional._contiguous_store import ContiguousStore
from heedful.functional._dtypes import Array, DType
from heedful.functional._windowed_store import WindowedStore

_INITIAL_ROWS = 64  # of capacity


class WindowStore(WindowedStore):
    """recent : the last rows, in room for twice the window; dropped : (B,), rows before them.

    Rows that the window has passed leave all at once, when the room is full: a row is copied once
    in `window` steps. A prompt is attended to as a whole, before its first rows leave.
    """

    recent: ContiguousStore

    def __init__(self, rows: Rows, items: int, window: int) -> None:
        """`rows` are none yet."""
        self.window = window
        self.recent = ContiguousStore(rows, min(_INITIAL_ROWS, 2 * window))
        self.lengths = np.zeros(items, np.int64)
        self.dropped = np.zeros(items, np.int64)

    def appended(self, key: Array, value: Array, counts: Lengths, dtype: DType) -> WindowStore:
        longest = self.recent.longest + int(counts.max(initial=0))
        kept = self if longest <= self.key.shape[2] else self._without_passed()
        return kept.changed(
            recent=kept.recent.appended(key, value, counts, dtype), lengths=self.lengths + counts
        )

    def _without_passed(self) -> WindowStore:
        """Without the rows that the last query, which may come again, does not see."""
        passed = np.maximum(self.recent.lengths - self.window, 0)
        if not passed.any():
            return self
        recent = self.recent.changed(capacity=2 * self.window).without_first(passed)
        return self.changed(recent=recent, dropped=self.dropped + passed)

    def reordered(self, items: NDArray[np.int64]) -> WindowStore:
        return self.changed(
            recent=self.recent.reordered(items), lengths=self.lengths[items],
            dropped=self.dropped[items],
        )  # fmt: skip

    def copied(self) -> WindowStore:
        return self.changed(
            recent=self.recent.copied(), lengths=self.lengths.copy(), dropped=self.dropped.copy()
        )

    def read(self) -> tuple[Array, Array]:
        """The rows that are still there."""
        return self.recent.read()

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        _, first, window = self.queries(query, options)
        if (np.maximum(first - window[0], 0) < self.dropped).any():
            raise ValueError(
                "align must be that of the rows appended last: rows that earlier queries see have "
                f"been removed: got {first.tolist()}, rows before {self.dropped.tolist()} are not "
                "there"
            )
        align: Any = first - self.dropped
        if len(align) and (align == align[0]).all():  # an array would be checked anew every time
            align = int(align[0])
        _, result = self.recent.attend(query, {**options, "align": align, "window": window})
        if self.key.shape[2] <= 2 * self.window:
            return self, result
        return self._without_passed(), result  # after a prompt of more
