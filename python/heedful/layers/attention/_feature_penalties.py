"""Penalties of weights that are at hand as an array, with the gradients of their scores."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from heedful.base._types import Array


def feature_penalty(
    scores: Array,
    weights: Array,
    penalties: Mapping[str, float | Array],
    target: Array | None = None,
) -> tuple[float, Array]:
    """Σ_kind weight · mean over rows (…) of the kind, and its gradient of the scores (…, F).

    The kinds are those of :func:`heedful.attention_penalty`, where F takes the place of the keys.
    """
    rows, count = max(scores[..., 0].size, 1), scores.shape[-1]
    highest = scores.max(-1, keepdims=True)
    lse = highest + np.log(np.exp(scores - highest).sum(-1, keepdims=True))
    log_p = scores - lse
    total, dscores = 0.0, np.zeros_like(scores)
    for kind, factor in penalties.items():
        if kind == "l2":
            of_rows = (weights * weights).sum(-1, keepdims=True)
            gradient = 2 * weights * (weights - of_rows)
        elif kind in ("entropy", "negative_entropy"):
            sign = -1 if kind == "entropy" else 1
            terms = np.where(weights == 0, weights, weights * log_p)
            of_rows = sign * terms.sum(-1, keepdims=True)
            gradient = sign * terms - weights * of_rows
        elif kind == "target":
            assert target is not None  # (F,), with the sum 1
            t = target.astype(scores.dtype)
            log_t = np.log(np.where(t > 0, t, 1))
            of_rows = np.where(t > 0, t * (log_t - log_p), 0).sum(-1, keepdims=True)
            gradient = weights - t
        elif kind == "z":
            of_rows, gradient = lse * lse, 2 * lse * weights
        elif kind == "scores_l1":
            of_rows, gradient = abs(scores).mean(-1, keepdims=True), np.sign(scores) / count
        else:
            of_rows, gradient = (scores * scores).mean(-1, keepdims=True), 2 * scores / count
        share = float(np.ravel(factor)[0]) / rows
        total += share * float(of_rows.sum(dtype=np.float64))
        dscores += scores.dtype.type(share) * gradient
    return total, dscores
