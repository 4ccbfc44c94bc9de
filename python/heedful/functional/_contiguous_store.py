"""ContiguousStore: the rows of each item one after another, in capacity that doubles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.functional._cache_store import CacheStore, Lengths, Rows, attend_to_all, common
from heedful.functional._cached_rows import INT8, CachedRows
from heedful.functional._dtypes import Array, DType
from heedful.functional._pages import Pages, attend_to_pages

_INITIAL_ROWS = 64  # of capacity


class ContiguousStore(CacheStore):
    """key, value : (B, Hkv, capacity, D)."""

    def __init__(self, rows: Rows, capacity: int | None) -> None:
        """`rows` are none yet."""
        self.key, self.value = rows
        self.lengths = np.zeros(self.key.shape[0], np.int64)
        self.capacity = capacity

    def appended(self, key: Array, value: Array, counts: Lengths, dtype: DType) -> ContiguousStore:
        made: ContiguousStore = self.changed(lengths=self.lengths + counts)
        longest = made.longest
        # no valid row is written before everything has succeeded
        made.key = self._room(self.key, longest, dtype)
        made.value = self._room(self.value, longest, dtype)
        first = common(self.lengths)
        whole = first is not None and common(counts) == key.shape[2]
        for room, new in ((made.key, key), (made.value, value)):
            rows = CachedRows.of(new, dtype)
            if whole:  # the same place in all items
                room[:, :, first:longest] = rows
            else:
                _put(room, rows, self.lengths, made.lengths)
        return made

    def _room(self, old: CachedRows, rows: int, dtype: DType) -> CachedRows:
        """The rows themselves if type and capacity suffice, otherwise in larger memory."""
        items, _, room, _ = old.shape
        if old.dtype == dtype and rows <= room:
            return old
        if rows > room:
            room = max(rows, 2 * room, self.capacity or _INITIAL_ROWS)
        return old.resized(items, room, self.longest, dtype)

    def shortened(self, lengths: Lengths) -> ContiguousStore:
        return self.changed(lengths=lengths)

    def without_first(self, counts: Lengths) -> ContiguousStore:
        """Without the first `counts` rows of each item, in memory as small as the others need."""
        left = self.lengths - counts
        longest = int(left.max(initial=0))
        places = np.minimum(np.arange(longest) + counts[:, None], self.key.shape[2] - 1)
        items = np.arange(len(counts))[:, None, None]
        rooms = []
        for old in (self.key, self.value):
            room = max(longest, self.capacity or _INITIAL_ROWS)
            made = CachedRows.zeros((*old.shape[:2], room, old.shape[3]), old.dtype)
            made[:, :, :longest] = old[items, np.arange(old.shape[1])[:, None], places[:, None]]
            rooms.append(made)
        return self.changed(key=rooms[0], value=rooms[1], lengths=left)

    def reordered(self, items: NDArray[np.int64]) -> ContiguousStore:
        filled, rooms = self.longest, []
        for old in (self.key, self.value):
            room = CachedRows.zeros((len(items), *old.shape[1:]), old.dtype)
            room[:, :, :filled] = old[items, :, :filled]
            rooms.append(room)
        return self.changed(key=rooms[0], value=rooms[1], lengths=self.lengths[items])

    def copied(self) -> ContiguousStore:
        filled = np.s_[:, :, : self.longest]
        return self.changed(
            key=self.key[filled].copy(), value=self.value[filled].copy(),
            lengths=self.lengths.copy(),
        )  # fmt: skip

    def read(self) -> tuple[Array, Array]:
        filled = np.s_[:, :, : self.longest]
        return self.key[filled].read(), self.value[filled].read()

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        # lengths that are all equal need not be checked: the rows that are read end there
        ragged = common(self.lengths) is None
        lengths = self.lengths if ragged or self.dtype == INT8 else None
        options = {**options, "kv_lengths": lengths}
        if self.dtype != INT8 or options["return_weights"]:
            return self, attend_to_all(self.read(), query, options)
        # each item is one page
        table = np.arange(len(self.lengths))[:, None]
        return self, attend_to_pages(query, Pages(self.key, self.value, table), options)


def _put(room: CachedRows, new: CachedRows, first: Lengths, last: Lengths) -> None:
    """The rows [first, last) of each item from the first ones of `new`."""
    for item, (begin, end) in enumerate(zip(first, last, strict=True)):
        room[item, :, begin:end] = new[item, :, : end - begin]
