"""WindowedStore: what stores with a window of the last rows of each item share."""

from __future__ import annotations

from typing import Any

from heedful.functional._cache_store import CacheStore, Lengths, refuse
from heedful.functional._cached_rows import CachedRows
from heedful.functional._dtypes import Array
from heedful.functional._positions import check_window


class WindowedStore(CacheStore):
    """recent : the last rows, at least as many as `window`, which attention is limited to."""

    window: int
    recent: CacheStore

    @property
    def key(self) -> CachedRows:  # type: ignore[override]
        return self.recent.key

    @property
    def value(self) -> CachedRows:  # type: ignore[override]
        return self.recent.value

    def queries(
        self, query: Array, options: dict[str, Any]
    ) -> tuple[int, Lengths, tuple[int, int | None]]:
        """Their number, the position of each item's first one, and their window (left, right)."""
        refuse("SinksAndWindow", options, "mask", "bias", "return_weights")
        rows = query.shape[1 if options["layout"] == "blhd" else 2]
        left, right = check_window(options["window"])
        left = self.window - 1 if left is None else min(left, self.window - 1)
        return rows, self.first_positions(rows, options), (left, right)
