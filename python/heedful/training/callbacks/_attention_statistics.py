"""Statistics of attention weights by head, from pieces of the query rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.functional import attention_scores, attention_weights

_PIECE = 1 << 20  # weights at a time
# what no score depends on: noise, and what is returned
_LEFT_OUT = (
    "dropout_p", "key_dropout_p", "gumbel_temperature", "rng", "return_lse", "return_weights",
    "log_mask",
)  # fmt: skip


class AttentionStatistics(NamedTuple):
    """Of each head, (H,), over the queries that see a key.

    entropy : mean of −Σ_j w log w, in nats
    evenness : that divided by its mean for equal weights of the same keys
    largest_score : the maximum
    largest_weight : mean over the queries
    first_token, itself : mean weight of key 0, and of the key at the query's own position
    """

    entropy: Array
    evenness: Array
    largest_score: Array
    largest_weight: Array
    first_token: Array
    itself: Array


class _Sums:
    def __init__(self, heads: int) -> None:
        self.queries, self.entropy, self.even, self.weight, self.first, self.itself = np.zeros(
            (6, heads)
        )
        self.score = np.full(heads, -np.inf)


@np.errstate(all="ignore")
def attention_statistics(
    calls: Iterable[tuple[Array, Array, dict[str, Any], bool]], max_queries: int
) -> AttentionStatistics:
    """Over calls of one layer: queries (…, Lq, H, D), keys (…, Lk, Hkv, D) and options.

    Of at most about `max_queries` queries of each call, evenly spaced.
    """
    sums: _Sums | None = None
    within = True
    for query, key, options, is_self in calls:
        sums = sums or _Sums(query.shape[-2])
        within = within and is_self
        _add(sums, query, key, options, max_queries)
    assert sums is not None
    count = np.where(sums.queries > 0, sums.queries, np.nan)
    return AttentionStatistics(
        sums.entropy / count, sums.entropy / np.where(sums.even > 0, sums.even, np.nan),
        np.where(np.isnan(count), np.nan, sums.score), sums.weight / count, sums.first / count,
        sums.itself / count if within else np.full(len(count), np.nan),
    )  # fmt: skip


def _add(sums: _Sums, query: Array, key: Array, options: dict[str, Any], max_queries: int) -> None:
    length, heads = query.shape[-3:-1]
    items, keys = int(np.prod(query.shape[:-3])), key.shape[-3]
    if not (items and length and keys):
        return
    kept = min(length, max(1, max_queries // items))
    rows = np.unique(np.linspace(0, length - 1, kept).round().astype(np.int64))
    offset, log_mask = _offset(options, query, key), options.get("log_mask")
    options = {name: value for name, value in options.items() if name not in _LEFT_OUT}
    step = max(1, _PIECE // (items * heads * keys))
    for begin in range(0, len(rows), step):
        piece = rows[begin : begin + step]
        without = {name: value for name, value in options.items() if name != "top_k"}
        score = attention_scores(query, key, **without, rows=piece)  # (…, H, rows, Lk)
        if log_mask is None:
            weight = attention_weights(query, key, **options, rows=piece)
        else:
            score = score + log_mask(piece, keys).astype(score.dtype)
            weight = _weights_of(score, options)
        seen = np.isfinite(score).sum(-1)
        sums.queries += _by_head(seen > 0)
        sums.even += _by_head(np.log(np.maximum(seen, 1)))
        sums.score = np.fmax(sums.score, _by_head(score.max(-1), np.fmax))
        sums.weight += _by_head(weight.max(-1))
        sums.first += _by_head(weight[..., 0])
        own = np.broadcast_to((piece + offset)[..., None, :, None], (*seen.shape, 1))
        inside = (own >= 0) & (own < keys)
        itself = np.take_along_axis(weight, np.where(inside, own, 0), -1)
        sums.itself += _by_head(np.where(inside, itself, 0)[..., 0])
        tiny = np.finfo(weight.dtype).tiny
        sums.entropy -= _by_head((weight * np.log(np.clip(weight, tiny, 1))).sum(-1))


def _weights_of(score: Array, options: dict[str, Any]) -> Array:
    """Of scores (…, H, rows, Lk) with top_k and sink of a call: the weights of a bias alone."""
    *batch, _, _, keys = score.shape
    given = {name: options[name] for name in ("top_k", "sink") if options.get(name) is not None}
    query = np.zeros((*score.shape[:-1], 1), score.dtype)
    key = np.zeros((*batch, 1, keys, 1), score.dtype)
    weights: Array = attention_weights(query, key, bias=score, **given)
    return weights


def _by_head(of_rows: Array, combine: Any = np.add) -> Array:
    """(…, H, rows) → (H,)."""
    flat = np.moveaxis(of_rows, -2, 0).reshape(of_rows.shape[-2], -1)
    total: Array = combine.reduce(flat, -1, dtype=np.float64)
    return total


def _offset(options: dict[str, Any], query: Array, key: Array) -> Array:
    """The position of the first query, (…, 1) where items differ, see heedful.attention."""
    align = options.get("align")
    if align is None or (isinstance(align, str) and align == "upper_left"):
        return np.zeros(1, np.int64)
    if isinstance(align, str):
        ends = [
            np.asarray(array.shape[-3] if given is None else given)
            for array, given in (
                (key, options.get("kv_lengths")),
                (query, options.get("q_lengths")),
            )
        ]
        align = ends[0] - ends[1]
    return np.asarray(align, np.int64)[..., None]
