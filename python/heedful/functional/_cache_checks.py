"""What fits a cache: rows like those before, and queries of its heads and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from heedful.functional._cache_store import CacheStore
from heedful.functional._dtypes import Array, as_array
from heedful.functional._layout import check_layout

if TYPE_CHECKING:
    from heedful.functional._cache_policies import CachePolicy


def check_rows(store: CacheStore | None, key: Any, value: Any) -> tuple[Array, Array]:
    """Key and value (B, Hkv, L, D) as arrays, of the sizes of the rows before."""
    key, value = as_array("key", key), as_array("value", value)
    if key.ndim != 4 or value.ndim != 4 or key.shape[:3] != value.shape[:3]:
        raise ValueError(
            "key and value must be (B, Hkv, L, D) and (B, Hkv, L, Dv): "
            f"got shapes {key.shape} and {value.shape}"
        )
    if store is not None:
        items = len(store.lengths)
        for name, new, sizes in zip(
            ("key", "value"), (key, value), store.heads_and_depths, strict=True
        ):
            heads, depth = sizes
            if (*new.shape[:2], new.shape[3]) != (items, heads, depth):
                raise ValueError(
                    f"{name} must have shape ({items}, {heads}, L, {depth}) as before: "
                    f"got {new.shape}"
                )
    return key, value


def check_query(
    store: CacheStore, policy: CachePolicy | None, query: Any, query_of_sinks: Any, layout: str
) -> tuple[Array, Array | None]:
    """Both queries as arrays."""
    query = as_array("query", query)
    axis = 2 if check_layout(layout) else 1
    if query.ndim != 4 or len(query) != len(store.lengths):
        raise ValueError(
            f"query must have four axes, the first of length {len(store.lengths)}: "
            f"got shape {query.shape}"
        )
    (heads, depth), _ = store.heads_and_depths
    if query.shape[3] != depth or query.shape[axis] % heads:
        raise ValueError(
            f"query must have a multiple of the cache's {heads} heads, of depth {depth}: "
            f"got shape {query.shape}"
        )
    if query_of_sinks is None:
        return query, None
    if not getattr(policy, "sinks", 0):
        raise ValueError("query_of_sinks needs a cache with a policy that keeps sinks")
    query_of_sinks = as_array("query_of_sinks", query_of_sinks)
    if query_of_sinks.shape != query.shape:
        raise ValueError(
            f"query_of_sinks must have the shape of query, {query.shape}: "
            f"got {query_of_sinks.shape}"
        )
    return query, query_of_sinks
