"""What the analyses take: a map, or arrays that make one."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful._checks import named, numbers
from heedful.explain._attention_map import AttentionMap
from heedful.explain._layer_weights import LayerWeights


def as_map(name: str, given: Any) -> AttentionMap:
    """A map, an array (layer, head, query, key), or arrays (head, query, key) of each layer."""
    if isinstance(given, AttentionMap):
        return given
    if not isinstance(given, (list, tuple)):
        return AttentionMap.from_numpy(numbers(name, given))
    layers = []
    for layer, one in enumerate(given):
        weights = numbers(name, one)
        if weights.ndim != 3:
            raise ValueError(
                f"{name} must be (head, query, key) for each layer, 3 axes: "
                f"got shape {weights.shape}"
            )
        heads, *sizes = (tuple(range(count)) for count in weights.shape)
        queries, keys = (tuple(map(str, positions)) for positions in sizes)
        layers.append(LayerWeights(str(layer), weights, heads, sizes[0], queries, keys))
    return AttentionMap(layers)


def weights_of(given: Any) -> AttentionMap:
    """A map of weights: none is negative, as in a difference of maps, and none NaN."""
    attention_map = as_map("weights", given)
    if not attention_map.layers:
        raise ValueError("weights must be those of at least one layer: got none")
    for layer in attention_map:
        if not (layer.weights >= 0).all():
            lowest = named(float(np.min(layer.weights)))
            raise ValueError(f"weights must not be negative: got {lowest} in layer {layer.name!r}")
    return attention_map


def check_whole(layer: LayerWeights) -> None:
    """Self-attention must be of all queries and all keys of its sequence."""
    _, queries, keys = layer.weights.shape
    whole = tuple(range(keys))
    all_there = layer.rows == whole and layer.key_positions == whole
    if not all_there or layer.is_self is False:
        other = " of another sequence" if layer.is_self is False else ""
        raise ValueError(
            "weights must be of all queries and keys of one sequence: "
            f"got {queries} queries and {keys} keys{other} in layer {layer.name!r}"
        )
