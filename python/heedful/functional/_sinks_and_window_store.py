"""SinksAndWindowStore: the first rows of each item, and pages with the last ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.functional._cache_store import CacheStore, Lengths, Rows, into
from heedful.functional._contiguous_store import ContiguousStore
from heedful.functional._dtypes import Array, DType, as_array
from heedful.functional._merge import merge_attention
from heedful.functional._paged_store import PagedStore
from heedful.functional._windowed_store import WindowedStore


class SinksAndWindowStore(WindowedStore):
    """sinks : rows 0 … sinks − 1; recent : the others, of which old pages are removed.

    Rows leave when the next ones are appended: until then the queries of several new rows see the
    windows of all of them.
    """

    recent: PagedStore

    def __init__(self, rows: Rows, items: int, sinks: int, window: int) -> None:
        self.num_sinks, self.window = sinks, window
        key, value = (each.resized(items, sinks, 0, each.dtype) for each in rows)
        self.sinks = ContiguousStore((key, value), sinks)
        self.recent = PagedStore(rows, items, window)
        self.lengths = np.zeros(items, np.int64)

    @property
    def nbytes(self) -> int:
        return self.sinks.nbytes + self.recent.nbytes

    def appended(
        self, key: Array, value: Array, counts: Lengths, dtype: DType
    ) -> SinksAndWindowStore:
        to_sinks = np.minimum(np.maximum(self.num_sinks - self.lengths, 0), counts)
        sinks = self.sinks
        if to_sinks.any() or dtype != sinks.dtype:
            sinks = sinks.appended(key, value, to_sinks, dtype)
            key, value = _shifted(key, to_sinks), _shifted(value, to_sinks)
        recent = self.recent.appended(key, value, counts - to_sinks, dtype)
        # the first row that the first new query sees
        first = self.lengths - self.window + 1 - self.num_sinks - recent.dropped
        recent = recent.without_pages(np.maximum(first, 0) // recent.page_rows)
        return self.changed(sinks=sinks, recent=recent, lengths=self.lengths + counts)

    def reordered(self, items: NDArray[np.int64]) -> SinksAndWindowStore:
        return self.changed(
            sinks=self.sinks.reordered(items), recent=self.recent.reordered(items),
            lengths=self.lengths[items],
        )  # fmt: skip

    def copied(self) -> SinksAndWindowStore:
        return self.changed(
            sinks=self.sinks.copied(), recent=self.recent.copied(), lengths=self.lengths.copy()
        )

    def read(self) -> tuple[Array, Array]:
        """The sinks and the rows that are still there, one after another."""
        places = self.sinks.longest
        found = []
        for first, rest in zip(self.sinks.read(), self.recent.read(), strict=True):
            joined = np.concatenate([first, rest], axis=2)
            for item in np.flatnonzero(self.sinks.lengths < places):  # it has no other rows
                joined[item, :, self.sinks.lengths[item] :] = 0
            found.append(joined)
        return found[0], found[1]

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        rows, first, window = self.queries(query, options)
        layout = options["layout"]
        parts = {**options, "out": None, "return_lse": True}
        _, (result, lse) = self.recent.attend(query, {
            **parts, "window": window,
            "align": first - self.num_sinks - self.recent.dropped,
        })  # fmt: skip
        if self.num_sinks:
            parts |= {"align": first, "window": None, "alibi_slopes": None, "sink": None}
            if options["alibi_slopes"] is not None:
                parts["bias"] = self._distances(options["alibi_slopes"], first, rows)
            _, of_sinks = self.sinks.attend(
                query if query_of_sinks is None else query_of_sinks, parts
            )
            pairs = zip((result, lse), of_sinks, strict=True)
            result, lse = merge_attention(*pairs, layout=layout)
        result = into(options["out"], result)
        return self, (result, lse) if options["return_lse"] else result

    def _distances(self, given: Any, positions: Lengths, rows: int) -> Array:
        """ALiBi of the sinks (B, H, Lq, sinks), at the distances within the cache."""
        slopes = as_array("alibi_slopes", given).astype(np.float64)
        places = positions[:, None] + np.arange(rows)
        places = np.minimum(places, self.num_sinks + self.window - 1)
        distances = places[:, :, None] - np.arange(self.sinks.longest)  # (B, Lq, sinks)
        bias: Array = -slopes[..., None, None] * np.abs(distances)[:, None]
        return bias


def _shifted(rows: Array, counts: Lengths) -> Array:
    """Rows (B, Hkv, L, D) without the first `counts` of each item; as many, the last repeated."""
    if (counts == counts[0]).all():
        return rows[:, :, counts[0] :]
    places = np.minimum(np.arange(rows.shape[2]) + counts[:, None], rows.shape[2] - 1)
    return np.take_along_axis(rows, places[:, None, :, None], axis=2)
