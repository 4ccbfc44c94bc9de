"""Decoders of today in plain NumPy float64, from their state_dict alone: the oracle of CausalLM."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from model_weights import gelu, inside, linear
from numpy.typing import NDArray

Array = NDArray[Any]
State = Mapping[str, Array]


def rms(weight: Array, x: Array, eps: float, offset: float = 0.0) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * (offset + weight)


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def gelu_tanh(x: Array) -> Array:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


ACTIVATIONS = {"silu": silu, "gelu": gelu, "gelu_tanh": gelu_tanh}


def rotated(x: Array, base: float) -> Array:
    """x (B, H, L, D): features i and i + D/2 are turned by the angle p · base^(−2i / D)."""
    half = x.shape[-1] // 2
    y = np.empty_like(x)
    for p in range(x.shape[-2]):
        for i in range(half):
            angle = p * base ** (-i / half)
            a, b = x[..., p, i], x[..., p, i + half]
            y[..., p, i] = a * np.cos(angle) - b * np.sin(angle)
            y[..., p, i + half] = b * np.cos(angle) + a * np.sin(angle)
    return y


def gated(state: State, x: Array, activation: str = "silu") -> Array:
    gate, through = np.split(linear(inside(state, "linear1"), x), 2, -1)
    return linear(inside(state, "linear2"), ACTIVATIONS[activation](gate) * through)


def attended(
    state: State, x: Array, heads: int, kv_heads: int, *, base: float | None = 10000.0,
    window: int | None = None, scale: float | None = None, softcap: float | None = None,
    eps: float = 1e-6,
) -> Array:  # fmt: skip
    """Causal attention, query by query."""
    items, length, _ = x.shape
    depth = state["out_proj.weight"].shape[1] // heads
    both = x @ state["in_proj_weight"].T + state.get("in_proj_bias", 0)
    ends = np.cumsum([heads * depth, kv_heads * depth])
    q, k, v = (
        part.reshape(items, length, -1, depth).swapaxes(1, 2) for part in np.split(both, ends, -1)
    )
    if "q_norm.weight" in state:
        q, k = rms(state["q_norm.weight"], q, eps), rms(state["k_norm.weight"], k, eps)
    if base is not None:
        q, k = rotated(q, base), rotated(k, base)
    k, v = (np.repeat(array, heads // kv_heads, 1) for array in (k, v))
    out = np.zeros_like(q)
    for i in range(length):
        first = 0 if window is None else max(0, i - window + 1)
        keys, values = k[:, :, first : i + 1], v[:, :, first : i + 1]
        scores = (keys @ q[:, :, i, :, None])[..., 0] * (depth**-0.5 if scale is None else scale)
        scores = scores if softcap is None else softcap * np.tanh(scores / softcap)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        out[:, :, i] = (weights[..., None] * values).sum(-2)
    return linear(inside(state, "out_proj"), out.swapaxes(1, 2).reshape(items, length, -1))


def causal_lm(
    state: State, tokens: Array, heads: int, kv_heads: int, *, eps: float = 1e-6,
    offset: float = 0.0, activation: str = "silu", embedding_scale: float = 1.0,
    logit_softcap: float | None = None, windows: Any = None, **attention: Any,
) -> Array:  # fmt: skip
    """Logits (B, L, vocabulary) of a model with RMS norms and gated feed-forward."""
    state = {name: np.asarray(array, np.float64) for name, array in state.items()}
    x = embedding_scale * state["embedding.weight"][tokens]
    layers = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("layers."))
    for index in range(layers):
        of = inside(state, f"layers.{index}")
        window = windows[index] if windows is not None else None
        y = attended(
            inside(of, "self_attn"), rms(of["norm1.weight"], x, eps, offset), heads, kv_heads,
            window=window, eps=eps, **attention,
        )  # fmt: skip
        if "post_norm1.weight" in of:
            y = rms(of["post_norm1.weight"], y, eps, offset)
        x = x + y
        y = gated(inside(of, "feed_forward"), rms(of["norm2.weight"], x, eps, offset), activation)
        if "post_norm2.weight" in of:
            y = rms(of["post_norm2.weight"], y, eps, offset)
        x = x + y
    logits = rms(state["norm.weight"], x, eps, offset) @ state["projection.weight"].T
    return logits if logit_softcap is None else logit_softcap * np.tanh(logits / logit_softcap)
