"""Additive and relative attention with options, their inputs, and their scores by the equations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful import layers as L

Array = NDArray[Any]

DRAW = np.random.default_rng(5)
X, MEMORY = DRAW.standard_normal((3, 9, 8)), DRAW.standard_normal((3, 4, 8))


def additive_attention(**options: Any) -> L.AdditiveAttention:
    layer = L.AdditiveAttention(8, 5, bias=True, dtype=np.float64, rng=0, **options)
    layer.weight *= 4
    return layer


def relative_attention(**options: Any) -> L.RelativeAttention:
    layer = L.RelativeAttention(8, 2, dtype=np.float64, rng=0, **options)
    layer.query.weight *= 3
    layer.content_bias[...] = np.random.default_rng(1).standard_normal((2, 4))
    return layer


def scores_of(layer: Any) -> Array:
    """(B, H, Lq, Lk) of X and MEMORY, −inf where hidden, by the layers' equations."""
    if isinstance(layer, L.AdditiveAttention):
        tanh = np.tanh(layer.query_proj(X)[:, :, None] + layer.key_proj(MEMORY)[:, None])
        return np.asarray(tanh @ layer.weight)[:, None]
    rows = np.concatenate([MEMORY, X], 1)
    q = layer.query(X).reshape(3, 9, 2, 4)
    k = layer.key_value(rows)[..., :8].reshape(3, 13, 2, 4)
    scores = np.full((3, 2, 9, 13), -np.inf)
    for i in range(9):
        for j in range(i + 5):
            distance = i + 4 - j
            angles = distance / 10000 ** (np.arange(0, 8, 2) / 8)
            wave = np.zeros(8)
            wave[0::2], wave[1::2] = np.sin(angles), np.cos(angles)
            r = layer.distance(wave).reshape(2, 4)
            content = ((q[:, i] + layer.content_bias) * k[:, j]).sum(-1)
            place = ((q[:, i] + layer.position_bias) * r).sum(-1)
            scores[:, :, i, j] = (content + place) / 2
    return scores
