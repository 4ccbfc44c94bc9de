"""Bipartite soft matching: which tokens are merged into which."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful.base._types import Array
from heedful.functional import attention_scores

_ELEMENTS = 1 << 22  # of the similarities that are in memory at a time


class Matching(NamedTuple):
    """Token source[b, r] is merged into token destination[b, r], where `merged`; all (B, R)."""

    source: Array
    destination: Array
    merged: Array


def most_merged(counts: Any) -> Any:
    """How many of `counts` tokens can be merged: those at even places but the first."""
    return np.maximum((counts + 1) // 2 - 1, 0)


@np.errstate(all="ignore")
def matching(keys: Array, valid: Array, merge: int) -> Matching:
    """The `merge` most similar pairs of a token at an even and one at an odd place.

    keys (B, L, D), valid (B, L). Every even token but the first is paired with the odd one of the
    greatest cosine similarity; the most similar pairs are merged. Of equal ones the first. Items
    with fewer tokens merge fewer.
    """
    norms = np.sqrt(np.einsum("bld,bld->bl", keys, keys, dtype=np.float64))[..., None]
    keys = (keys / np.where(norms > 0, norms, 1)).astype(keys.dtype)
    best, nearest = _nearest(keys[:, ::2], keys[:, 1::2], valid[:, 1::2])
    best[np.isnan(best)] = -2  # keys that are not finite: merged last
    best[~valid[:, ::2]] = -np.inf
    best[:, 0] = -np.inf
    merge = min(merge, int(most_merged(keys.shape[1])))
    order = np.argsort(-best, axis=1, kind="stable")[:, :merge]
    limit = np.minimum(merge, most_merged(valid.sum(1)))
    merged = (np.take_along_axis(best, order, 1) > -np.inf) & (
        np.arange(order.shape[1]) < limit[:, None]
    )
    return Matching(2 * order, 2 * np.take_along_axis(nearest, order, 1) + 1, merged)


def _nearest(even: Array, odd: Array, valid: Array) -> tuple[Array, Array]:
    """For each even token the greatest similarity, and the place of the odd one that has it."""
    best = np.empty(even.shape[:2], even.dtype)
    nearest = np.empty(even.shape[:2], np.int64)
    step = max(1, _ELEMENTS // max(1, valid.size))
    for first in range(0, even.shape[1], step):
        rows = slice(first, first + step)
        similar = attention_scores(
            even[:, None], odd[:, None], mask=valid[:, None, None], scale=1.0, rows=rows
        )[:, 0]  # (B, rows, odd)
        best[:, rows], nearest[:, rows] = similar.max(-1), similar.argmax(-1)
    return best, nearest
