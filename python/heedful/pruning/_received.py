"""The attention that tokens receive: sums over the columns of the weights."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array
from heedful.functional import attention
from heedful.layers import MultiHeadAttention


@np.errstate(all="ignore")
def received_attention(
    layer: MultiHeadAttention, query: Array, key: Array, lse: Array, valid: Array
) -> Array:
    """received[j] = Σ over heads and valid queries i of weights[i, j], without dropout.

    query (B, L, H, D), key (B, L, Hkv, D), lse (B, H, L), valid (B, L) → (B, L). With

        log Σ_i weights[i, j] = log Σ_i exp(score[i, j] − lse[i])

    it is the log-sum-exp of the keys' attention to the queries, with −lse as a bias: one pass that
    stores no weights.
    """
    seen = valid[:, None] & np.isfinite(lse)
    bias = np.where(seen, -lse, -np.inf)[:, :, None, :]  # (B, H, 1, L)
    if layer.num_kv_heads != layer.num_heads:
        key = np.repeat(key, layer.num_heads // layer.num_kv_heads, axis=-2)
    _, total = attention(
        key, query, query[..., :0], bias=bias, scale=layer.scores.scale,
        softcap=layer.scores.softcap, layout="blhd", return_lse=True,
    )  # fmt: skip
    received: Array = np.exp(total).sum(1)
    return received
