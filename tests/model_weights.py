"""The attention weights of whole models in plain NumPy float64, from their state_dict alone.

Every function returns its result and adds the weights (B, H, Lq, Lk) of each attention to a list.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import linear_attention_reference
import numpy as np
from numpy.typing import NDArray

import reference

Array = NDArray[Any]
State = Mapping[str, Array]
Weights = list[Array]


def inside(state: State, prefix: str) -> dict[str, Array]:
    start = f"{prefix}."
    return {
        name[len(start) :]: np.asarray(array, np.float64)
        for name, array in state.items()
        if name.startswith(start)
    }


def linear(state: State, x: Array) -> Array:
    return x @ state["weight"].T + state.get("bias", 0)


def norm(state: State, x: Array, eps: float = 1e-5) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return scaled * state["weight"] + state["bias"]


def gelu(x: Array) -> Array:
    return x * (1 + np.vectorize(math.erf)(x / np.sqrt(2))) / 2


def relu(x: Array) -> Array:
    return np.maximum(x, 0)


def sinusoids(positions: Array, width: int) -> Array:
    angles = positions[:, None] / 10000 ** (np.arange(0, width, 2) / width)
    return np.stack([np.sin(angles), np.cos(angles)], -1).reshape(len(positions), width)


def rotated(x: Array, base: float = 10000.0) -> Array:
    """x (B, H, L, D): features i and i + D/2 as one complex number."""
    half = x.shape[-1] // 2
    angles = np.arange(x.shape[-2])[:, None] * base ** (-np.arange(half) / half)
    pairs = (x[..., :half] + 1j * x[..., half:]) * np.exp(1j * angles)
    return np.concatenate([pairs.real, pairs.imag], -1)


def multi_head(
    state: State, heads: int, query: Array, key: Array, into: Weights, *, kv_heads: int = 0,
    rotary: bool = False, qk_norm: str | None = None, span: int | None = None,
    ramp: float = 32.0, linear_scores: bool = False, **options: Any,
) -> Array:  # fmt: skip
    """query (B, Lq, E), key (B, Lk, E); options are those of the oracle of attention."""
    kv_heads = kv_heads or heads
    weight, bias = state["in_proj_weight"], state["in_proj_bias"]
    depth = state["out_proj.weight"].shape[1] // heads
    ends = np.cumsum([heads * depth, kv_heads * depth])
    q, k, v = (
        (x @ part.T + add).reshape(*x.shape[:2], -1, depth).swapaxes(1, 2)
        for x, part, add in zip(
            (query, key, key), np.split(weight, ends), np.split(bias, ends), strict=True
        )
    )
    if qk_norm == "rms":
        q, k = (
            x / np.sqrt((x**2).mean(-1, keepdims=True)) * state[f"{name}.weight"]
            for x, name in ((q, "q_norm"), (k, "k_norm"))
        )
    if qk_norm == "l2":
        q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
        options["scale"] = 1.0
    if "logit_scale" in state:
        q = q * state["logit_scale"][:, None, None]
    if rotary:
        q, k = rotated(q), rotated(k)
    if "sink" in state:
        options["sink"] = state["sink"]
    if "alpha_logits" in state:
        options["normalizer"] = 1 + 1 / (1 + np.exp(-state["alpha_logits"]))
    if span is not None:
        distance = np.abs(np.arange(q.shape[-2])[:, None] - np.arange(k.shape[-2]))
        reach = (np.clip(state["span"], 0, 1) * span)[:, None, None]
        with np.errstate(divide="ignore"):
            options["bias"] = np.log(np.clip((ramp + reach - distance) / ramp, 0, 1))
    if linear_scores:
        seen = np.tril(np.ones((q.shape[-2], k.shape[-2]), np.bool_)) if options["causal"] else None
        weights = linear_attention_reference.weights_of(q, k, seen)
        out = weights @ np.repeat(v, heads // kv_heads, 1)
    else:
        found = reference.attention(q, k, v, **options)
        out, weights = found.out, found.weights
    into.append(weights)
    joined = out.swapaxes(1, 2).reshape(*query.shape[:2], -1)
    return joined @ state["out_proj.weight"].T + state["out_proj.bias"]


def encoder(
    state: State, layers: int, heads: int, x: Array, into: Weights, *, first: bool = False,
    act: Any = relu, eps: float = 1e-5, **options: Any,
) -> Array:  # fmt: skip
    for index in range(layers):
        of = inside(state, f"layers.{index}")
        n1, n2 = inside(of, "norm1"), inside(of, "norm2")
        given = norm(n1, x, eps) if first else x
        x = x + multi_head(inside(of, "self_attn"), heads, given, given, into, **options)
        x = x if first else norm(n1, x, eps)
        given = norm(n2, x, eps) if first else x
        x = x + linear(inside(of, "linear2"), act(linear(inside(of, "linear1"), given)))
        x = x if first else norm(n2, x, eps)
    return norm(inside(state, "norm"), x, eps) if "norm.weight" in state else x


def decoder(
    state: State, layers: int, heads: int, x: Array, memory: Array, into: Weights, *,
    first: bool = False, causal: bool = True, lengths: Any = None, memory_lengths: Any = None,
    act: Any = relu,
) -> Array:  # fmt: skip
    for index in range(layers):
        of = inside(state, f"layers.{index}")
        n1, n2, n3 = (inside(of, f"norm{number}") for number in (1, 2, 3))
        own = {"causal": causal, "kv_lengths": lengths}
        given = norm(n1, x) if first else x
        x = x + multi_head(inside(of, "self_attn"), heads, given, given, into, **own)
        x = x if first else norm(n1, x)
        given = norm(n2, x) if first else x
        x = x + multi_head(
            inside(of, "multihead_attn"), heads, given, memory, into, kv_lengths=memory_lengths
        )
        x = x if first else norm(n2, x)
        given = norm(n3, x) if first else x
        x = x + linear(inside(of, "linear2"), act(linear(inside(of, "linear1"), given)))
        x = x if first else norm(n3, x)
    return norm(inside(state, "norm"), x) if "norm.weight" in state else x


def bert(
    state: State, layers: int, heads: int, tokens: Array, lengths: Any, **options: Any
) -> Weights:
    into: Weights = []
    x = state["token_embedding.weight"][tokens] + state["positions.weight"][: tokens.shape[1]]
    x = norm(inside(state, "norm"), x + state["segment_embedding.weight"][0], 1e-12)
    encoder(
        inside(state, "encoder"), layers, heads, x, into, act=gelu, eps=1e-12, kv_lengths=lengths,
        **options,
    )  # fmt: skip
    return into


def language_model(
    state: State, layers: int, heads: int, tokens: Array, *, added: str = "learned", **options: Any
) -> Weights:
    into: Weights = []
    x = state["embedding.weight"][tokens]
    if added == "learned":
        x = x + state["positions.weight"][: tokens.shape[1]]
    if added == "sinusoidal":
        x = x + sinusoids(np.arange(tokens.shape[1]), x.shape[-1])
    encoder(
        inside(state, "encoder"), layers, heads, x, into, first=True, act=gelu, causal=True,
        **options,
    )  # fmt: skip
    return into


def transformer(
    state: State, layers: int, heads: int, source: Array, target: Array, lengths: Any
) -> Weights:
    into: Weights = []
    width = state["source_embedding.weight"].shape[1]
    x, y = (
        state[f"{name}_embedding.weight"][tokens] * np.sqrt(width)
        + sinusoids(np.arange(tokens.shape[1]), width)
        for name, tokens in (("source", source), ("target", target))
    )
    memory = encoder(inside(state, "encoder"), layers, heads, x, into, kv_lengths=lengths)
    decoder(inside(state, "decoder"), layers, heads, y, memory, into, memory_lengths=lengths)
    return into


def autoencoder(state: State, layers: int, heads: int, x: Array, lengths: Any) -> Weights:
    into: Weights = []
    length = x.shape[1]
    rows = linear(inside(state, "linear_in"), x) + state["positions.weight"][:length]
    rows = encoder(
        inside(state, "encoder"), layers, heads, rows, into, first=True, kv_lengths=lengths
    )
    pooled = pooling(inside(state, "pooling"), rows, into, kv_lengths=lengths)
    code = linear(inside(state, "narrow"), pooled.reshape(len(x), -1))
    memory = linear(inside(state, "wide"), code).reshape(len(x), -1, rows.shape[-1])
    start = np.broadcast_to(state["target_positions.weight"][:length], rows.shape)
    decoder(
        inside(state, "decoder"), layers, heads, start, memory, into, first=True, causal=False,
        lengths=lengths,
    )  # fmt: skip
    return into


def pooling(state: State, x: Array, into: Weights, **options: Any) -> Array:
    key, scale = x, None
    if "linear.weight" in state:
        key, scale = np.tanh(linear(inside(state, "linear"), x)), 1.0
    found = reference.attention(
        state["query"][None], key[:, None], x[:, None], scale=scale, **options
    )
    into.append(found.weights)
    return found.out[:, 0]


def additive(state: State, x: Array, **options: Any) -> Weights:
    q = x @ state["query_proj.weight"].T + state.get("query_proj.bias", 0)
    k = x @ state["key_proj.weight"].T
    scores = np.tanh(q[:, :, None] + k[:, None]) @ state["weight"]
    if "sink" in state:
        options["sink"] = state["sink"]
    none = np.zeros((len(x), 1, x.shape[1], 1))  # products that are 0: the scores are a bias
    return [reference.attention(none, none, none, bias=scores[:, None], **options).weights]


def feature(state: State, x: Array) -> Weights:
    scores = np.exp(linear(inside(state, "scores"), x))
    return [(scores / scores.sum(-1, keepdims=True))[:, None, None]]


def segment_recurrent(state: State, layers: int, heads: int, segments: list[Array]) -> Weights:
    """Of the last segment; the memory holds all rows before it."""
    into: Weights = []
    memory: list[Array] = []
    for tokens in segments:
        into.clear()
        x, seen = state["embedding.weight"][tokens], []
        for index in range(layers):
            of = inside(state, f"layers.{index}")
            seen.append(np.concatenate([memory[index], x], 1) if memory else x)
            rows = norm(inside(of, "norm1"), seen[-1])
            x = x + relative(inside(of, "self_attn"), heads, rows, x.shape[1], into)
            given = norm(inside(of, "norm2"), x)
            x = x + linear(inside(of, "linear2"), gelu(linear(inside(of, "linear1"), given)))
        memory = seen
    return into


def relative(state: State, heads: int, rows: Array, length: int, into: Weights) -> Array:
    """Score of query i and key j: (q + u) · k[j] + (q + v) · r[distance], over √D."""
    items, keys, width = rows.shape
    depth = width // heads
    q = (rows[:, keys - length :] @ state["query.weight"].T).reshape(items, length, heads, depth)
    k, value = np.split(rows @ state["key_value.weight"].T, 2, -1)
    k, value = (x.reshape(items, keys, heads, depth) for x in (k, value))
    r = (sinusoids(np.arange(keys), width) @ state["distance.weight"].T).reshape(keys, heads, depth)
    weights = np.zeros((items, heads, length, keys))
    for i in range(length):
        last = keys - length + i
        for j in range(last + 1):
            of_content = ((q[:, i] + state["content_bias"]) * k[:, j]).sum(-1)
            of_place = ((q[:, i] + state["position_bias"]) * r[last - j]).sum(-1)
            weights[:, :, i, j] = np.exp((of_content + of_place) / np.sqrt(depth))
    weights /= weights.sum(-1, keepdims=True)
    into.append(weights)
    out = np.einsum("bhij,bjhd->bihd", weights, value).reshape(items, length, width)
    return out @ state["out_proj.weight"].T
