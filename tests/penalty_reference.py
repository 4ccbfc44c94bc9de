"""Penalties of attention and their gradients in plain NumPy, from whole arrays of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import reference

Array = NDArray[Any]
KINDS = ("l2", "entropy", "negative_entropy", "scores_l1", "scores_l2", "z", "target")


def value(kind: str, query: Array, key: Array, target: Any = None, **options: Any) -> float:
    rows = reference.steps(query, key, key, **options)
    return float(_of_rows(kind, rows, target)[0])


def gradients(
    kind: str, query: Array, key: Array, target: Any = None, bias: Any = None, **options: Any
) -> tuple[float, list[Array]]:
    """The penalty, and the gradients of query, key and bias, by the chain rule through softmax."""
    rows = reference.steps(query, key, key, bias=bias, **options)
    penalty, dscores = _of_rows(kind, rows, target)
    dlogits = dscores * rows.slope
    dproducts = np.where(rows.allowed, dlogits * rows.cap_derivative, 0) * np.asarray(
        rows.scale, dlogits.dtype
    )
    dquery = reference.product_over_allowed(dproducts, rows.allowed, rows.key)
    flipped = dproducts.swapaxes(-1, -2), rows.allowed.swapaxes(-1, -2)
    dkey = reference.sum_groups(reference.product_over_allowed(*flipped, rows.query), key.shape)
    found = [
        reference.sum_to(dquery, query.shape), reference.sum_to(dkey, key.shape),
    ]  # fmt: skip
    return penalty, [*found, *([] if bias is None else [reference.sum_to(dlogits, bias.shape)])]


def _of_rows(kind: str, rows: reference.Steps, target: Any) -> tuple[Any, Array]:
    """The mean over rows that see a key, and its gradient to the scores."""
    p, allowed, lse = rows.probability, rows.allowed, rows.result.lse
    attends, keys = allowed.any(axis=-1), np.maximum(allowed.sum(axis=-1), 1)
    scores = np.where(allowed, rows.logits, 0)
    lse = np.where(attends, lse, 0)
    log_p = np.where(allowed, scores - lse[..., None], 0)
    dweights: Array | None = None
    if kind == "l2":
        of_row, dweights = (p**2).sum(axis=-1), 2 * p
    elif kind in ("entropy", "negative_entropy"):
        sign = -1 if kind == "entropy" else 1
        of_row, dweights = sign * (p * log_p).sum(axis=-1), sign * (log_p + 1)
    elif kind == "scores_l1":
        of_row, dscores = abs(scores).sum(axis=-1) / keys, np.sign(scores) / keys[..., None]
    elif kind == "scores_l2":
        of_row, dscores = (scores**2).sum(axis=-1) / keys, 2 * scores / keys[..., None]
    elif kind == "z":
        of_row, dscores = lse**2, 2 * lse[..., None] * p
    else:
        t = np.where(allowed, np.asarray(target, p.dtype), 0)
        log_t = np.log(np.where(t > 0, t, 1))
        of_row, dscores = (t * (log_t - log_p)).sum(axis=-1), p * t.sum(-1, keepdims=True) - t
    if dweights is not None:
        dscores = p * (dweights - (p * dweights).sum(axis=-1, keepdims=True))
    count = max(int(attends.sum()), 1)
    dscores = np.where(allowed, dscores, 0) / np.asarray(count, p.dtype)
    return np.where(attends, of_row, 0).sum(dtype=np.float64) / count, dscores
