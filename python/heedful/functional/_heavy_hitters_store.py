"""HeavyHittersStore: of each head the last rows, and those that received the most weight."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful.functional._cache_store import CacheStore, Lengths, Rows, into, refuse
from heedful.functional._cached_rows import CachedRows
from heedful.functional._contiguous_store import ContiguousStore
from heedful.functional._dtypes import Array, DType

_QUERIES = 256  # whose weights are in memory together


class HeavyHittersStore(CacheStore):
    """kept : rows in the order of the text, those of each head its own.

    received : (B, Hkv, capacity), the weight that each row received
    added : (B,), rows that the last append added
    """

    def __init__(self, rows: Rows, items: int, heavy: int, recent: int) -> None:
        self.heavy, self.recent = heavy, recent
        key, value = (each.resized(items, 0, 0, each.dtype) for each in rows)
        self.kept = ContiguousStore((key, value), self.largest + 1)
        self.received = np.zeros((*key.shape[:2], 0))
        self.lengths = self.added = np.zeros(items, np.int64)

    @property
    def largest(self) -> int:
        """Rows of an item above which some are dropped before others are appended."""
        return (self.heavy + self.recent) * 9 // 8

    @property
    def key(self) -> CachedRows:  # type: ignore[override]
        return self.kept.key

    @property
    def value(self) -> CachedRows:  # type: ignore[override]
        return self.kept.value

    @property
    def nbytes(self) -> int:
        return self.kept.nbytes + self.received.nbytes

    def appended(
        self, key: Array, value: Array, counts: Lengths, dtype: DType
    ) -> HeavyHittersStore:
        made = self._dropped() if self.kept.longest >= self.largest else self
        kept = made.kept.appended(key, value, counts, dtype)
        received = np.zeros((*made.received.shape[:2], kept.key.shape[2]))
        filled = made.kept.longest
        received[..., :filled] = made.received[..., :filled]
        for item, first in enumerate(made.kept.lengths):
            received[item, :, first:] = 0
        return made.changed(
            kept=kept, received=received, added=counts, lengths=self.lengths + counts
        )

    def _dropped(self) -> HeavyHittersStore:
        """With at most heavy + recent rows of each item."""
        wanted, lengths = self.heavy + self.recent, self.kept.lengths
        left = np.minimum(lengths, wanted)
        rows = np.zeros((*self.received.shape[:2], int(left.max())), np.int64)
        for item, length in enumerate(lengths):
            rows[item, :, : left[item]] = np.arange(left[item])
            if length > wanted:
                old = self.received[item, :, : length - self.recent]
                heavy = np.argpartition(-old, self.heavy - 1, axis=-1)[:, : self.heavy]
                rows[item, :, : self.heavy] = np.sort(heavy, axis=-1)
                rows[item, :, self.heavy : wanted] = np.arange(length - self.recent, length)
        items, heads, _ = np.ogrid[: rows.shape[0], : rows.shape[1], :1]
        room = max(self.largest + 1, rows.shape[2])

        def taken(old: CachedRows) -> CachedRows:
            made = old.resized(old.shape[0], room, 0, old.dtype)
            made[:, :, : rows.shape[2]] = old[items, heads, rows]
            return made

        kept = self.kept.changed(
            key=taken(self.kept.key), value=taken(self.kept.value), lengths=left
        )
        return self.changed(kept=kept, received=self.received[items, heads, rows])

    def reordered(self, items: NDArray[np.int64]) -> HeavyHittersStore:
        return self.changed(
            kept=self.kept.reordered(items), received=self.received[items],
            lengths=self.lengths[items], added=self.added[items],
        )  # fmt: skip

    def copied(self) -> HeavyHittersStore:
        return self.changed(
            kept=self.kept.copied(), received=self.received[..., : self.kept.longest].copy(),
            lengths=self.lengths.copy(), added=self.added.copy(),
        )  # fmt: skip

    def read(self) -> tuple[Array, Array]:
        return self.kept.read()

    def attend(
        self, query: Array, options: dict[str, Any], query_of_sinks: Array | None = None
    ) -> tuple[CacheStore, Any]:
        refuse(
            "HeavyHitters", options,
            "mask", "bias", "window", "exclude_self", "alibi_slopes", "q_lengths",
            "return_weights",
        )  # fmt: skip
        axis = 1 if options["layout"] == "blhd" else 2
        rows = query.shape[axis]
        first = self.first_positions(rows, options) - self.lengths + self.kept.lengths
        received, parts = self.received.copy(), []
        for begin in range(0, max(rows, 1), _QUERIES):
            block = query[(slice(None),) * axis + (slice(begin, begin + _QUERIES),)]
            given = {
                **options, "align": first + begin, "out": None, "return_lse": True,
                "return_weights": True,
            }  # fmt: skip
            _, (out, lse, weights) = self.kept.attend(block, given)
            parts.append((out, lse))
            # padding after the new rows of an item is no query
            own = begin + np.arange(weights.shape[2]) < self.added[:, None]
            total = np.einsum("bhqk,bq->bhk", weights, own.astype(weights.dtype))
            items, _, keys = total.shape
            grouped = total.reshape(items, received.shape[1], -1, keys).sum(axis=2)
            received[..., :keys] += grouped
        result = np.concatenate([out for out, _ in parts], axis=axis)
        result = into(options["out"], result)
        made = self.changed(received=received)
        if not options["return_lse"]:
            return made, result
        return made, (result, np.concatenate([lse for _, lse in parts], axis=2))
