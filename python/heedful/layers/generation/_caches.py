"""The caches of the layers of a model: those of a call, checked, and new ones by an example."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heedful._checks import each_of, named
from heedful.functional import KVCache


def own_caches(caches: Sequence[Any] | None, layers: Sequence[Any]) -> Sequence[Any]:
    """A cache for each layer, of the kind that it reads; None for each if there are none."""
    if caches is None:
        return [None] * len(layers)
    make = getattr(layers[0], "new_cache", KVCache)  # a user's layer may lack it
    return each_of("caches", caches, len(layers), type(make()))


def one_like(cache: KVCache | None, capacity: int | None = None) -> KVCache:
    """An empty cache of the kind, type and policy of another; None is a plain one."""
    return KVCache(capacity) if cache is None else cache.like(capacity)


def check_example(cache: Any) -> KVCache | None:
    """The argument `cache` of a generation: its settings count."""
    if cache is not None and not isinstance(cache, KVCache):
        raise TypeError(f"cache must be a KVCache: got {named(cache)}")
    if cache is not None and len(cache.lengths):
        raise ValueError(f"cache must be empty, each layer gets one like it: got {cache!r}")
    return cache


def check_cached(layers: list[Any]) -> None:
    """Require layers that a KVCache serves."""
    for layer in layers:
        if hasattr(layer, "new_cache") and not isinstance(layer.new_cache(), KVCache):
            raise ValueError(
                f"cache must be None: {type(layer).__name__} has a state instead of keys and values"
            )
