"""Attention within adaptive spans by the paper's equation, and layers to compare with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful import layers as L

Array = NDArray[Any]

B, LENGTH, H, D = 2, 37, 4, 3
X = np.random.default_rng(21).standard_normal((B, LENGTH, H * D))
SPANS = np.array([0.0, 0.113, 0.47, 1.0])  # · 20 positions: none an integer but at the ends


def span_attention(**options: Any) -> L.MultiHeadAttention:
    given = {"adaptive_span": 20, "span_ramp": 3.3, "dtype": np.float64, "rng": 0, **options}
    layer = L.MultiHeadAttention(H * D, H, **given)
    if layer.adaptive_span is not None:
        layer.span[...] = SPANS
    rng = np.random.default_rng(20)
    layer.in_proj_bias[...] = rng.standard_normal(layer.in_proj_bias.shape) / 3
    return layer


def dense(
    layer: L.MultiHeadAttention, x: Array, kept: Array | bool = True, bias: Any = 0.0
) -> Array:
    """By the paper's equation: m exp(s) / Σ m exp(s), of all pairs; kept (B, 1, L, L)."""
    narrow = layer.num_kv_heads * D
    parts = np.split(x @ layer.in_proj_weight.T + layer.in_proj_bias, [H * D, H * D + narrow], -1)
    q, k, v = (part.reshape(*x.shape[:2], -1, D).swapaxes(1, 2) for part in parts)
    k, v = (np.repeat(array, H // layer.num_kv_heads, 1) for array in (k, v))
    score = q @ k.swapaxes(-1, -2) / np.sqrt(D) + bias
    distance = np.abs(np.subtract.outer(np.arange(x.shape[1]), np.arange(x.shape[1])))
    z = np.clip(layer.span, 0, 1)[:, None, None] * layer.adaptive_span
    m = np.clip((layer.span_ramp + z - distance) / layer.span_ramp, 0, 1)
    weights = np.where(kept, m * np.exp(score), 0)
    total = weights.sum(-1, keepdims=True)
    if layer.sink is not None:
        total = total + np.exp(layer.sink)[:, None, None]
    out = weights / np.where(total > 0, total, 1) @ v
    return out.swapaxes(1, 2).reshape(x.shape) @ layer.out_proj.weight.T + layer.out_proj.bias
