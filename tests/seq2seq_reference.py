"""T5 in plain NumPy float64, from a state_dict alone: the oracle of Seq2SeqLM."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from causal_reference import gated, rms
from model_weights import inside, linear
from numpy.typing import NDArray

Array = NDArray[Any]
State = Mapping[str, Array]


def bucket(distance: int, buckets: int, max_distance: int, bidirectional: bool) -> int:
    """Of a key that is `distance` after the query, as section 2.1 of the paper describes them."""
    first = 0
    if bidirectional:
        buckets //= 2
        first = buckets if distance > 0 else 0
        distance = abs(distance)
    else:
        distance = max(-distance, 0)
    own = buckets // 2
    if distance < own:
        return first + distance
    # the largest k with own · (max_distance / own)^(k / shared) ≤ distance, in integers
    shared = buckets - own
    past = [
        k for k in range(shared)
        if max_distance**k * own ** (shared - k) <= distance**shared
    ]  # fmt: skip
    return first + own + max(past)


def position_bias(weight: Array, rows: int, keys: int, first: int = 0, **kind: Any) -> Array:
    """(H, Lq, Lk)."""
    bias = np.empty((weight.shape[1], rows, keys), weight.dtype)
    for i in range(rows):
        for j in range(keys):
            bias[:, i, j] = weight[bucket(j - i - first, len(weight), **kind)]
    return bias


def attended(
    state: State, x: Array, memory: Array, heads: int, bias: Array | float, seen: Array
) -> Array:
    """Attention of x to memory, where `seen` (…, Lq, Lk) is True."""
    weights = np.split(state["in_proj_weight"], 3)
    q, k, v = (
        (rows @ weight.T).reshape(*rows.shape[:2], heads, -1).swapaxes(1, 2)
        for rows, weight in zip((x, memory, memory), weights, strict=True)
    )
    scores = np.where(seen, q @ k.swapaxes(-1, -2) + bias, -math.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    out = (scores / scores.sum(-1, keepdims=True)) @ v
    return linear(inside(state, "out_proj"), out.swapaxes(1, 2).reshape(*x.shape[:2], -1))


def stack(
    state: State, tokens: Array, heads: int, mask: Array, max_distance: int,
    memory: Array | None = None, memory_mask: Array | None = None,
) -> Array:  # fmt: skip
    """mask (B, L): which tokens are valid."""
    x, length = state["embedding.weight"][tokens], tokens.shape[1]
    bias = position_bias(
        state["position_bias.weight"], length, length, max_distance=max_distance,
        bidirectional=memory is None,
    )  # fmt: skip
    seen = mask[:, None, None, :]
    if memory is not None:
        seen = seen & np.tri(length, dtype=bool)
    for index in range(sum(name.endswith("norm1.weight") for name in state)):
        layer = inside(state, f"layers.{index}")
        h = rms(layer["norm1.weight"], x, 1e-6)
        x = x + attended(inside(layer, "self_attn"), h, h, heads, bias, seen)
        if memory is not None and memory_mask is not None:
            h = rms(layer["norm2.weight"], x, 1e-6)
            across = memory_mask[:, None, None, :]
            x = x + attended(inside(layer, "multihead_attn"), h, memory, heads, 0.0, across)
        h, feed = rms(layer["norm3.weight"], x, 1e-6), inside(layer, "feed_forward")
        if len(feed["linear1.weight"]) == 2 * feed["linear2.weight"].shape[1]:
            x = x + gated(feed, h, "gelu_tanh")
        else:
            hidden = np.maximum(linear(inside(feed, "linear1"), h), 0)
            x = x + linear(inside(feed, "linear2"), hidden)
    return rms(state["norm.weight"], x, 1e-6)


def seq2seq_lm(
    state: State, tokens: Array, target: Array, heads: int, *, mask: Array, target_mask: Array,
    max_distance: int, logit_scale: float = 1.0,
) -> Array:  # fmt: skip
    memory = stack(inside(state, "encoder"), tokens, heads, mask, max_distance)
    y = stack(inside(state, "decoder"), target, heads, target_mask, max_distance, memory, mask)
    return (y * logit_scale) @ state["projection.weight"].T
