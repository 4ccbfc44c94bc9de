"""Attention of one row at a time, as policies of caches are defined, and what it is drawn from."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
B, H, HKV, D = 2, 4, 2, 8


def draw(rng: np.random.Generator, length: int) -> tuple[Array, Array, Array]:
    query, key, value = (
        rng.standard_normal((B, heads, length, D)) * factor
        for heads, factor in ((H, 2.0), (HKV, 1.0), (HKV, 1.0))
    )
    return query, key, value


def softmax(scores: Array) -> Array:
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    weights: Array = scores / scores.sum(-1, keepdims=True)
    return weights


def one_row(query: Array, keys: Array, values: Array, bias: Any = 0.0) -> Array:
    out: Array = softmax(keys @ query / np.sqrt(D) + bias) @ values
    return out
