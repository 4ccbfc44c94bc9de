"""Attention with gates, and an encoder that drops or merges tokens: loops in NumPy float64.

One item at a time, without padding. Parameters are a layer's state, by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]
State = Mapping[str, Array]


class Attended(NamedTuple):
    y: Array  # (Lq, E)
    weights: Array  # (H, Lq, Lk)
    keys: Array  # (Hkv, Lk, D)


def inside(state: State, prefix: str) -> dict[str, Array]:
    """The parameters of a layer inside."""
    return {
        name.removeprefix(f"{prefix}."): np.asarray(array, np.float64)
        for name, array in state.items()
        if name.startswith(f"{prefix}.")
    }


def multi_head(
    state: State, num_heads: int, query: Array, key: Array | None = None,
    value: Array | None = None, *, num_kv_heads: int | None = None, gate: Array | None = None,
    added: Array | None = None,
) -> Attended:  # fmt: skip
    """query (Lq, E), key (Lk, kdim), value (Lk, vdim); `gate` (H,) multiplies the heads.

    added : to the scores, broadcast to (H, Lq, Lk)
    """
    key = query if key is None else key
    value = key if value is None else value
    kv_heads = num_heads if num_kv_heads is None else num_kv_heads
    gate = np.ones(num_heads) if gate is None else gate
    out = state["out_proj.weight"]
    depth = out.shape[1] // num_heads
    ends = np.cumsum([num_heads * depth, kv_heads * depth])
    if "in_proj_weight" in state:
        weights = np.split(state["in_proj_weight"], ends)
    else:
        weights = [state[f"{name}_proj_weight"] for name in "qkv"]
    total = sum(len(weight) for weight in weights)
    biases = np.split(state.get("in_proj_bias", np.zeros(total)), ends)
    q, k, v = (
        x @ weight.T + bias
        for x, weight, bias in zip((query, key, value), weights, biases, strict=True)
    )
    scores = np.empty((num_heads, len(query), len(key)))
    heads = []
    for head in range(num_heads):
        own = slice(head * depth, (head + 1) * depth)
        group = head // (num_heads // kv_heads)
        shared = slice(group * depth, (group + 1) * depth)
        scores[head] = q[:, own] @ k[:, shared].T / np.sqrt(depth)
        scores[head] += 0 if added is None else np.broadcast_to(added, scores.shape)[head]
        exponentials = np.exp(scores[head] - scores[head].max(-1, keepdims=True))
        scores[head] = exponentials / exponentials.sum(-1, keepdims=True)  # now the weights
        heads.append(gate[head] * (scores[head] @ v[:, shared]))
    y = np.concatenate(heads, axis=-1) @ out.T + state.get("out_proj.bias", 0)
    return Attended(y, scores, k.reshape(len(key), kv_heads, depth).swapaxes(0, 1))


def norm(state: State, x: Array, eps: float = 1e-5) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps)
    return scaled * state["weight"] + state["bias"]


# from the tokens after an attention, and what it computed, to those that are passed on
Shorten = Callable[[int, Array, Attended], Array]


def encoder(
    state: State, num_layers: int, num_heads: int, x: Array, shorten: Shorten, *,
    norm_first: bool = False, added: Callable[[], Array] | None = None,
) -> Array:  # fmt: skip
    """x (L, E) → y (L', E): layers with ReLU, the tokens made fewer after each attention."""
    for index in range(num_layers):
        of = {name: inside(state, f"layers.{index}.{name}")
              for name in ("self_attn", "norm1", "norm2", "linear1", "linear2")}  # fmt: skip
        given = norm(of["norm1"], x) if norm_first else x
        attended = multi_head(
            of["self_attn"], num_heads, given, added=None if added is None else added()
        )
        x = x + attended.y
        x = x if norm_first else norm(of["norm1"], x)
        x = shorten(index, x, attended)
        given = norm(of["norm2"], x) if norm_first else x
        hidden = np.maximum(given @ of["linear1"]["weight"].T + of["linear1"]["bias"], 0)
        x = x + hidden @ of["linear2"]["weight"].T + of["linear2"]["bias"]
        x = x if norm_first else norm(of["norm2"], x)
    return norm(inside(state, "norm"), x) if "norm.weight" in state else x


class Keeping:
    """The first token and those whose column of weights has the greatest sum, in their order."""

    def __init__(self, keep: list[int], length: int) -> None:
        self.keep, self.positions = keep, np.arange(length)

    def __call__(self, index: int, x: Array, attended: Attended) -> Array:
        received = attended.weights.sum((0, 1))
        received[0] = np.inf
        rows = np.sort(np.argsort(-received, kind="stable")[: self.keep[index]])
        self.positions = self.positions[rows]
        return x[rows]


class Merging:
    """Token merging with lists: each token that is left is a set of tokens of the input."""

    def __init__(self, merge: list[int], length: int) -> None:
        self.merge = merge
        self.sets = [[token] for token in range(length)]

    def sizes(self) -> Array:
        return np.log([len(tokens) for tokens in self.sets])

    def __call__(self, index: int, x: Array, attended: Attended) -> Array:
        keys = attended.keys.mean(0)
        pairs = []
        for even in range(2, len(x), 2):
            similar = [
                float(keys[even] @ keys[odd] / np.linalg.norm(keys[even])
                      / np.linalg.norm(keys[odd]))
                for odd in range(1, len(x), 2)
            ]  # fmt: skip
            best = max(range(len(similar)), key=lambda place, of=similar: of[place])
            pairs.append((-similar[best], even, 2 * best + 1))
        into = {token: [token] for token in range(len(x))}
        for _, even, odd in sorted(pairs)[: self.merge[index]]:
            into[odd] += into.pop(even)
        rows = []
        for tokens in into.values():
            weights = [len(self.sets[token]) for token in tokens]
            rows.append(np.average(x[tokens], axis=0, weights=weights))
        self.sets = [
            [one for token in tokens for one in self.sets[token]] for tokens in into.values()
        ]
        return np.array(rows)
