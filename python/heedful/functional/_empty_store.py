"""The store that a cache begins with: of its kind, or of its policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heedful.functional._cached_rows import INT8, CachedRows
from heedful.functional._contiguous_store import ContiguousStore
from heedful.functional._int8_store import Int8Store
from heedful.functional._paged_store import PagedStore

if TYPE_CHECKING:
    from heedful.functional._cache_policies import CachePolicy
    from heedful.functional._cache_store import CacheStore
    from heedful.functional._dtypes import Array, DType


def empty_store(
    key: Array, value: Array, dtype: DType, *, page_size: int | None, policy: CachePolicy | None,
    capacity: int | None, exact_rows: int,
) -> CacheStore:  # fmt: skip
    """Without rows, for those of key and value; `page_size` is None if it is contiguous."""

    def none(like: Array) -> CachedRows:
        sizes = (*like.shape[:2], 0) if page_size is None else (0, like.shape[1], page_size)
        return CachedRows.zeros((*sizes, like.shape[3]), dtype)

    rows, items = (none(key), none(value)), key.shape[0]
    if policy is not None:
        return policy.store(rows, items, capacity)
    store: CacheStore = (
        ContiguousStore(rows, capacity) if page_size is None else PagedStore(rows, items, capacity)
    )
    return Int8Store(store, exact_rows) if dtype == INT8 and exact_rows else store
