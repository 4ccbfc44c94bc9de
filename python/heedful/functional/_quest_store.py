"""QuestStore: pages with bounds of their keys, of which those are read that can matter most."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.functional._cache_store import CacheStore, Lengths, Rows, into
from heedful.functional._cached_rows import CachedRows
from heedful.functional._dtypes import FLOAT32, Array, DType
from heedful.functional._paged_store import PagedStore
from heedful.functional._pages import Pages, attend_to_pages

_ALL_PAGES = (
    "mask", "bias", "window", "exclude_self", "alibi_slopes", "sink", "q_lengths", "return_weights",
)  # fmt: skip


class QuestStore(PagedStore):
    """low, high : (pages, Hkv, D), minimum and maximum of the keys on each page."""

    def __init__(self, rows: Rows, items: int, capacity: int | None, pages: int) -> None:
        super().__init__(rows, items, capacity)
        self.read_pages = pages
        self.low = self.high = np.zeros((0, *self.heads_and_depths[0]), FLOAT32)

    @property
    def nbytes(self) -> int:
        return super().nbytes + self.low.nbytes + self.high.nbytes

    def appended(self, key: Array, value: Array, counts: Lengths, dtype: DType) -> QuestStore:
        made = super().appended(key, value, counts, dtype)
        assert isinstance(made, QuestStore)
        total, known = len(made.holders), len(self.holders)
        if total > known:
            for name, bound in (("low", self.low), ("high", self.high)):
                larger = np.zeros((total, *bound.shape[1:]), FLOAT32)
                larger[:known] = bound
                setattr(made, name, larger)
        first = self.held // self.page_rows
        places = np.where(counts > 0, made.used - first, 0)
        items = np.repeat(np.arange(len(counts)), places)
        index = np.arange(len(items)) - np.repeat(np.cumsum(places) - places, places)
        pages = made.table[items, first[items] + index]
        rows = made.held[items] - (first[items] + index) * self.page_rows
        valid = (np.arange(self.page_rows) < rows[:, None])[:, None, :, None]
        keys = made.key[pages].read().astype(FLOAT32)
        made.low[pages] = np.where(valid, keys, np.inf).min(axis=2, initial=np.inf)
        made.high[pages] = np.where(valid, keys, -np.inf).max(axis=2, initial=-np.inf)
        return made

    def copied(self) -> QuestStore:
        made, kept = super().copied(), np.flatnonzero(self.holders)
        assert isinstance(made, QuestStore)
        return made.changed(low=self.low[kept], high=self.high[kept])

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        by_rows = options["layout"] == "blhd"
        one = query.shape[1 if by_rows else 2] == 1
        given = any(options[name] is not None and options[name] is not False for name in _ALL_PAGES)
        last = one and (self.first_positions(1, options) >= self.lengths - 1).all()
        if given or not last or self.used.max(initial=0) <= self.read_pages:
            return super().attend(query, options)
        grouped = self._grouped(query.swapaxes(1, 2) if by_rows else query)
        pages, lengths = self._chosen(grouped)
        result = attend_to_pages(grouped, pages, {
            **options, "layout": "bhld", "causal": False, "align": None, "out": None,
            "kv_lengths": lengths,
        })  # fmt: skip
        out, lse = result if options["return_lse"] else (result, None)
        items, heads = len(self.lengths), query.shape[2 if by_rows else 1]
        out = out.reshape(items, heads, 1, -1)
        out = out.swapaxes(1, 2) if by_rows else out
        out = into(options["out"], out)
        return self, (out, lse.reshape(items, heads, 1)) if lse is not None else out

    def _grouped(self, query: Array) -> Array:
        """The queries (B, H, 1, D) that share a key head as an item: (B · Hkv, H / Hkv, 1, D)."""
        items, _, _, depth = query.shape
        return query.reshape(items * self.key.shape[1], -1, 1, depth)

    def _chosen(self, query: Array) -> tuple[Pages, Lengths]:
        """The pages with the highest bounds of each item and head, each head being an item."""
        heads, rows = self.key.shape[1], self.page_rows
        used, items = self.used, len(self.lengths)
        table = self.table[:, : int(used.max())]
        wide = query.reshape(items, heads, -1, query.shape[-1]).astype(FLOAT32)
        with np.errstate(all="ignore"):
            low, high = (bound[table].transpose(0, 2, 3, 1) for bound in (self.low, self.high))
            bounds = np.maximum(wide, 0) @ high + np.minimum(wide, 0) @ low
        bounds = bounds.max(axis=2)  # (B, Hkv, n), of the group
        bounds = np.where(np.isnan(bounds), np.inf, bounds)  # NaN reaches the output
        places = np.arange(table.shape[1])
        bounds = np.where(places == (used - 1)[:, None, None], np.inf, bounds)
        bounds = np.where(places >= used[:, None, None], -np.inf, bounds)
        chosen = np.argpartition(-bounds, self.read_pages - 1, axis=-1)[..., : self.read_pages]
        chosen = np.sort(chosen, axis=-1)  # the last page, which may be partly filled, at the end
        own = np.take_along_axis(table[:, None], chosen, axis=-1) * heads
        own += np.arange(heads)[:, None]
        partial = self.held - (used - 1) * rows
        lengths = (np.minimum(used, self.read_pages) - 1) * rows + partial
        return (
            Pages(_by_head(self.key), _by_head(self.value), own.reshape(items * heads, -1)),
            np.repeat(lengths, heads),
        )


def _by_head(pool: CachedRows) -> CachedRows:
    """Pages of one head each, without a copy."""
    pages, heads, rows, depth = pool.shape
    scales = pool.scales
    return CachedRows(
        pool.elements.reshape(pages * heads, 1, rows, depth),
        None if scales is None else scales.reshape(pages * heads, 1, rows),
    )
