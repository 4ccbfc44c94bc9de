"""How much of each token a token of the next layer is made of: attention and the residual."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import one_of, probability
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._given_map import check_whole, weights_of

_OVER_HEADS: dict[str, Any] = {"mean": np.mean, "max": np.max, "min": np.min}


def mixing(weights: Any, residual: float, heads: str) -> tuple[AttentionMap, Array]:
    """The map, and mix[l] = residual · I + (1 − residual) · W[l] with rows divided by their sums.

    W (layer, L, L) is the mean, maximum or minimum over the heads.
    """
    attention_map = weights_of(weights)
    residual = probability("residual", residual)
    over = _OVER_HEADS[one_of("heads", heads, tuple(_OVER_HEADS))]
    for layer in attention_map:
        check_whole(layer)
    combined = [over(layer.weights.astype(np.float64), axis=0) for layer in attention_map]
    if len({one.shape for one in combined}) > 1:
        raise ValueError(
            "layers must be of one sequence, choose some by select(): got "
            + ", ".join(f"{layer.name} {layer.weights.shape}" for layer in attention_map)
        )
    mix = (1 - residual) * np.stack(combined)
    mix += residual * np.eye(mix.shape[-1])
    total = mix.sum(-1, keepdims=True)
    return attention_map, mix / np.where(total > 0, total, 1)
