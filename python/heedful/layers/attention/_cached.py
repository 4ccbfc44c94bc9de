"""Attention to a cache: what a layer appends to it, and how its queries read it."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._mode import INFERENCE, Mode
from heedful.base._types import Array
from heedful.functional import HeavyHitters, KVCache, SinksAndWindow, attention
from heedful.layers.attention._adaptive_span import with_span
from heedful.layers.attention._input_projections import Projections
from heedful.layers.attention._query_key import normalized_key, normalized_query, rotated


def check_cache(cache: Any, mode: Mode) -> None:
    if not isinstance(cache, KVCache):
        raise TypeError(f"cache must be a KVCache: got {named(cache)}")
    if mode.training:
        raise ValueError("cache is for inference: it has no gradients")


def refuse_without_keys(cache: KVCache, **options: Any) -> None:
    """Options that need every key, with a policy that removes some."""
    for name, given in options.items():
        if given is not None and isinstance(cache.policy, (SinksAndWindow, HeavyHitters)):
            raise ValueError(
                f"{name} cannot be combined with {type(cache.policy).__name__}, which removes "
                "keys: use a cache without a policy, or with QuestPages"
            )


def append(layer: Any, cache: KVCache, projections: Projections, options: dict[str, Any]) -> Array:
    """Queries for the updated cache, and their options."""
    shape, lengths = projections.inputs[0].shape, cache.lengths
    empty = not len(lengths)
    if len(shape) != 3 or (not empty and shape[0] != len(lengths)):
        items = "B" if empty else len(lengths)
        raise ValueError(
            f"query must have shape ({items}, L, {layer.d_model}) with this cache: got {shape}"
        )
    if not projections.is_self:  # the same keys at every step: computed at the first
        if layer.rotary:
            raise ValueError("cache of another sequence needs a layer without rotary")
        if empty:
            q, k, v = projections.project()
            k, _ = normalized_key(layer, INFERENCE, k)
            cache.append(k.swapaxes(-2, -3), v.swapaxes(-2, -3), options["kv_lengths"])
        else:
            q = projections.project_query()
        del options["kv_lengths"]
        return normalized_query(layer, INFERENCE, q)[0]
    first = 0 if empty else _common(cache.lengths)
    q, k, v = projections.project()
    (q, _), (k, _) = normalized_query(layer, INFERENCE, q), normalized_key(layer, INFERENCE, k)
    k = rotated(layer, k, first)
    before = cache.append(k.swapaxes(1, 2), v.swapaxes(1, 2), options.pop("kv_lengths"))
    options["align"] = _common(before)
    if layer.rotary and isinstance(cache.policy, SinksAndWindow) and cache.policy.sinks:
        places = cache.policy.positions(before[:, None] + np.arange(q.shape[1]))
        options["query_of_sinks"] = rotated(layer, q, places)
    return rotated(layer, q, first)


def _common(lengths: Array) -> Any:
    """One number where all are equal: what is given as an array is checked anew at every call."""
    if not len(lengths):
        return lengths
    first = int(lengths[0])
    return first if len(lengths) == 1 or bool((lengths == first).all()) else lengths


def read(layer: Any, cache: KVCache, query: Array, options: dict[str, Any]) -> Any:
    """Attention of queries (B, L, H, D) to all keys of the cache."""
    of_all = not options.keys().isdisjoint(("top_k", "normalizer", "block_mask"))
    if not of_all and layer.adaptive_span is None:
        return cache.attend(query, **options)
    key, value = (array.swapaxes(-2, -3) for array in (cache.key, cache.value))
    if options["align"] is None:  # as in KVCache.attend
        options["align"] = "lower_right"
    options = {**options, "kv_lengths": cache.lengths}
    if layer.adaptive_span is not None:
        return with_span(layer, attention, query, key, value, options)[0]
    return attention(query, key, value, **options)
