"""Attention weights in bytes: what a page holds of a map."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np

from heedful._checks import named
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap

# bytes before compression: more than browsers hold in a page
_MAX_WEIGHTS = 1 << 28


def check_map(given: Any) -> AttentionMap:
    if not isinstance(given, AttentionMap):
        raise TypeError(
            "map must be an AttentionMap (AttentionMap.from_numpy makes one of an array): got "
            f"{named(given)}"
        )
    if not given.layers:
        raise ValueError("map must have a layer: got none")
    total = sum(layer.weights.size for layer in given.layers)
    if total > _MAX_WEIGHTS:
        raise ValueError(
            f"map must have at most {_MAX_WEIGHTS} weights, choose layers, heads or rows: got "
            f"{total}"
        )
    for layer in given.layers:
        if not layer.weights.size:
            raise ValueError(
                f"map must have weights: those of layer {layer.name!r} have shape "
                f"{layer.weights.shape}"
            )
        if not (np.isfinite(layer.weights).all() and (layer.weights >= 0).all()):
            raise ValueError(
                f"map must have finite weights of at least 0: those of layer {layer.name!r} are not"
            )
    return given


def described(given: AttentionMap) -> dict[str, Any]:
    """What JSON holds of a map: names, heads and tokens, each list of tokens once."""
    texts: dict[tuple[str, ...], int] = {}
    layers = [
        {
            "name": layer.name,
            "heads": [f"head {head}" for head in layer.heads] or ["mean of heads"],
            "rows": list(layer.rows),
            "queries": texts.setdefault(tuple(layer.query_tokens), len(texts)),
            "keys": texts.setdefault(tuple(layer.key_tokens), len(texts)),
        }
        for layer in given.layers
    ]
    return {"texts": [list(text) for text in texts], "layers": layers}


def weight_blobs(given: AttentionMap) -> dict[str, str]:
    """The weights of every head, by the id ``weights-<layer>-<head>``."""
    return {
        f"weights-{index}-{head}": encoded(weights)
        for index, layer in enumerate(given.layers)
        for head, weights in enumerate(layer.weights)
    }


def encoded(weights: Array) -> str:
    """Weights (Lq, Lk) as base64 of compressed bytes.

    ::

        maximum[i] = max_j w[i, j]      code[i, j] = round(255 √(w[i, j] / maximum[i]))

    The maxima come first, as float32, then the codes. By the square root weights far below the
    maximum are told apart: the error is at most √(w · maximum) / 255 + maximum / 510².
    """
    rows = np.ascontiguousarray(weights, np.float32)
    maximum = rows.max(1, keepdims=True)
    codes = np.sqrt(rows / np.where(maximum > 0, maximum, 1))
    codes = np.rint(codes * np.float32(255)).astype(np.uint8)
    data = maximum.astype("<f4").tobytes() + codes.tobytes()
    return base64.b64encode(zlib.compress(data, 1)).decode()  # 6: 5 % smaller, 2 times as long
