"""Int8Store: rows of int8, except the last ones of each item, which most weight goes to."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.functional._cache_store import CacheStore, Lengths, attend_to_all, into
from heedful.functional._cached_rows import INT8, CachedRows
from heedful.functional._contiguous_store import ContiguousStore
from heedful.functional._dtypes import FLOAT32, Array, DType, accepted_type, rounded
from heedful.functional._merge import merge_attention


class Int8Store(CacheStore):
    """old : the first rows of each item, of int8; recent : the others, of float32.

    From `exact` to 2 · exact − 1 rows are recent, if there are as many.
    """

    def __init__(self, old: CacheStore, exact: int) -> None:
        """`old` has no rows yet."""
        items = len(old.lengths)
        key, value = (
            CachedRows.zeros((items, heads, 0, depth), FLOAT32)
            for heads, depth in old.heads_and_depths
        )
        self.old, self.exact = old, exact
        self.recent = ContiguousStore((key, value), 2 * exact)
        self.lengths = np.zeros(items, np.int64)

    @property
    def key(self) -> CachedRows:  # type: ignore[override]
        return self.old.key

    @property
    def value(self) -> CachedRows:  # type: ignore[override]
        return self.old.value

    @property
    def nbytes(self) -> int:
        return self.old.nbytes + self.recent.nbytes

    def appended(self, key: Array, value: Array, counts: Lengths, dtype: DType) -> Int8Store:
        recent, old = self.recent.appended(key, value, counts, FLOAT32), self.old
        there = recent.lengths
        moved = np.where(there < 2 * self.exact, 0, there // self.exact * self.exact - self.exact)
        if moved.any():
            first = np.s_[:, :, : moved.max()]
            old = old.appended(
                recent.key.elements[first], recent.value.elements[first], moved, INT8
            )
            recent = recent.without_first(moved)
        return self.changed(old=old, recent=recent, lengths=self.lengths + counts)

    def shortened(self, lengths: Lengths) -> Int8Store:
        old = np.minimum(self.old.lengths, lengths)
        return self.changed(
            old=self.old.shortened(old), recent=self.recent.shortened(lengths - old),
            lengths=lengths,
        )  # fmt: skip

    def reordered(self, items: NDArray[np.int64]) -> Int8Store:
        return self.changed(
            old=self.old.reordered(items), recent=self.recent.reordered(items),
            lengths=self.lengths[items],
        )  # fmt: skip

    def copied(self) -> Int8Store:
        return self.changed(
            old=self.old.copied(), recent=self.recent.copied(), lengths=self.lengths.copy()
        )

    def read(self) -> tuple[Array, Array]:
        joined = []
        for old, recent in zip(self.old.read(), self.recent.read(), strict=True):
            items, heads, _, depth = recent.shape
            rows = np.zeros((items, heads, self.longest, depth), recent.dtype)
            for item, (first, last) in enumerate(zip(self.old.lengths, self.lengths, strict=True)):
                rows[item, :, :first] = old[item, :, :first]
                rows[item, :, first:last] = recent[item, :, : last - first]
            joined.append(rows)
        return joined[0], joined[1]

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        whole = any(options[name] is not None for name in ("mask", "bias"))
        if whole or options["return_weights"]:
            options = {**options, "kv_lengths": self.lengths}
            return self, attend_to_all(self.read(), query, options)
        # the result is of the query's type, whatever the rows are
        dtype, out = accepted_type("query", query), options["out"]
        if dtype.itemsize < FLOAT32.itemsize:
            query = rounded(query, FLOAT32)
        layout = options["layout"]
        first = self.first_positions(query.shape[1 if layout == "blhd" else 2], options)
        parts = {**options, "out": None, "return_lse": True}
        parts["align"] = _shared(first - self.old.lengths)
        result, lse = self.recent.attend(query, parts)[1]
        if self.old.longest:
            parts |= {"align": _shared(first), "sink": None}
            of_old = self.old.attend(query, parts)[1]
            pairs = zip(of_old, (result, lse), strict=True)
            result, lse = merge_attention(*pairs, layout=layout)
        result = into(out, rounded(result, dtype))
        return self, (result, lse) if options["return_lse"] else result


def _shared(offsets: Lengths) -> int | Lengths:
    """One number where all items have the same: attention checks it in a fraction of the time."""
    first = int(offsets[0]) if len(offsets) else 0
    return first if (offsets == first).all() else offsets
