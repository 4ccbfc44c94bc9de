"""PagedStore: rows on pages of equal size, which items may share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.functional._cache_store import CacheStore, Lengths, Rows, attend_to_all, row_places
from heedful.functional._cached_rows import CachedRows
from heedful.functional._dtypes import Array, DType
from heedful.functional._pages import Pages, attend_to_pages

_INITIAL_PAGES = 4  # for each item


class PagedStore(CacheStore):
    """key, value : (pages, Hkv, R, D).

    table : (B, n), the pages of each item, the first ⌈(lengths − dropped) / R⌉ in use, the others 0
    holders : (pages,), how many items have the page
    dropped : (B,), rows before the first page of each item, which a policy has removed

    A page of several items is never written: who appends to it copies it first.
    """

    def __init__(self, rows: Rows, items: int, capacity: int | None) -> None:
        """`rows` have no pages yet."""
        self.key, self.value = rows
        self.table = np.zeros((items, 0), np.int64)
        self.holders = np.zeros(0, np.int64)
        self.lengths = np.zeros(items, np.int64)
        self.dropped = np.zeros(items, np.int64)
        self.capacity = capacity

    @property
    def page_rows(self) -> int:
        return self.key.shape[2]

    @property
    def held(self) -> Lengths:
        """Rows of each item that are on its pages."""
        return self.lengths - self.dropped

    @property
    def used(self) -> Lengths:
        """Pages of each item."""
        return -(-self.held // self.page_rows)

    @property
    def pages(self) -> Pages:
        return Pages(self.key, self.value, self.table)

    def appended(self, key: Array, value: Array, counts: Lengths, dtype: DType) -> PagedStore:
        rows, held = self.page_rows, self.held
        used, wanted = self.used, -(-(held + counts) // rows)
        # the last page of an item is written to: if it is another's too, it is copied
        partial = np.flatnonzero((held % rows != 0) & (counts > 0))
        last = self.table[partial, used[partial] - 1]
        copied = self.holders[last] > 1
        old, owners = last[copied], partial[copied]
        items, places, _ = row_places(used, wanted - used)
        made = self._with_room(len(items) + len(owners), wanted, dtype)
        fresh = np.flatnonzero(made.holders == 0)[: len(items) + len(owners)]
        copies, added = fresh[: len(owners)], fresh[len(owners) :]
        for pool in (made.key, made.value):
            pool[copies] = pool[old]
        np.subtract.at(made.holders, old, 1)
        made.holders[fresh] = 1
        made.table[owners, used[owners] - 1] = copies
        made.table[items, places] = added
        items, places, index = row_places(held, counts)
        pages = made.table[items, places // rows]
        for pool, new in ((made.key, key), (made.value, value)):
            pool[pages, :, places % rows] = CachedRows.of(new, dtype)[items, :, index]
        made.lengths = self.lengths + counts
        return made

    def _with_room(self, pages: int, wanted: Lengths, dtype: DType) -> PagedStore:
        """A copy of the table with room for the wanted pages of items, and enough free pages."""
        key, value, holders = self.key, self.value, self.holders.copy()
        total = len(holders) - int((holders == 0).sum()) + pages
        if total > len(holders) or dtype != key.dtype:
            if total > len(holders):
                planned = -(-(self.capacity or 0) // self.page_rows) or _INITIAL_PAGES
                total = max(total, 2 * len(holders), planned * len(wanted))
            else:
                total = len(holders)
            rows = self.page_rows
            key, value = (pool.resized(total, rows, rows, dtype) for pool in (key, value))
            holders = np.concatenate([holders, np.zeros(total - len(holders), np.int64)])
        width = self.table.shape[1]
        longest = int(wanted.max(initial=0))
        if longest > width:  # doubled: shapes that change with every call are slow to check
            width = max(longest, 2 * width)
        table = np.zeros((len(wanted), width), np.int64)
        table[:, : self.table.shape[1]] = self.table
        return self.changed(key=key, value=value, holders=holders, table=table)

    def _with_table(self, table: NDArray[np.int64], **attributes: Any) -> PagedStore:
        """With other entries: pages that no item has are free."""
        made = self.changed(**attributes)
        named = np.arange(table.shape[1]) < made.used[:, None]
        holders = np.bincount(table[named], minlength=len(self.holders))
        return made.changed(table=np.where(named, table, 0), holders=holders)

    def shortened(self, lengths: Lengths) -> PagedStore:
        return self._with_table(self.table, lengths=lengths)

    def reordered(self, items: NDArray[np.int64]) -> PagedStore:
        return self._with_table(
            self.table[items], lengths=self.lengths[items], dropped=self.dropped[items]
        )

    def without_pages(self, counts: Lengths) -> PagedStore:
        """Without the first `counts` pages of each item."""
        if not counts.any():
            return self
        places = np.arange(self.table.shape[1]) + counts[:, None]
        table = np.take_along_axis(self.table, np.minimum(places, self.table.shape[1] - 1), axis=1)
        return self._with_table(table, dropped=self.dropped + counts * self.page_rows)

    def copied(self) -> PagedStore:
        """With the pages that some item has, shared as before."""
        kept = np.flatnonzero(self.holders)
        number = np.zeros(len(self.holders), np.int64)
        number[kept] = np.arange(len(kept))
        table = number[self.table] if len(self.holders) else self.table.copy()
        return self.changed(
            key=self.key[kept], value=self.value[kept], holders=self.holders[kept], table=table,
            lengths=self.lengths.copy(), dropped=self.dropped.copy(),
        )  # fmt: skip

    def read(self) -> tuple[Array, Array]:
        longest = int(self.held.max(initial=0))
        table = self.table[:, : -(-longest // self.page_rows)]

        def joined(pool: CachedRows) -> Array:
            pages = pool[table.ravel()].read()  # (B · n, Hkv, R, D)
            items, count = table.shape
            _, heads, rows, depth = pool.shape
            pages = pages.reshape(items, count, heads, rows, depth).swapaxes(1, 2)
            found: Array = pages.reshape(items, heads, count * rows, depth)[:, :, :longest]
            return found

        return joined(self.key), joined(self.value)

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        options = {**options, "kv_lengths": self.held}
        if options["return_weights"]:
            return self, attend_to_all(self.read(), query, options)
        return self, attend_to_pages(query, self.pages, options)
