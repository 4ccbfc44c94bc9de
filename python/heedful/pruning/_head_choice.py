"""Which heads are pruned: those that are named, or the least important ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from heedful._checks import integers, named, numbers, real
from heedful.base._types import Array
from heedful.layers import MultiHeadAttention

Layers = Mapping[str, MultiHeadAttention]


def named_heads(layers: Layers, given: Any) -> dict[str, list[int]]:
    """The numbers of heads of each layer, ascending and checked."""
    found: dict[str, list[int]] = {}
    for name, heads in _of_layers(layers, given).items():
        argument, count = f"heads[{name!r}]", layers[name].num_heads
        found[name] = sorted(integers(argument, heads))
        for index, head in enumerate(found[name]):
            if not 0 <= head < count:
                raise ValueError(f"{argument} must lie in [0, {count}): got {head}")
            if index and head == found[name][index - 1]:
                raise ValueError(f"{argument} must name a head once: got {head} twice")
        if len(found[name]) == count:
            raise ValueError(f"{argument} must leave at least one of {count} heads: got all")
    return found


def least_important(layers: Layers, given: Any, fraction: Any) -> dict[str, list[int]]:
    """This fraction of the heads, rounded down: those of least importance, over all layers.

    Of equally important ones the first. A layer keeps at least one head, and heads that share keys
    and values are pruned together, by their mean; if all share the same ones, alone.
    """
    share = real("fraction", fraction)
    if not 0 <= share < 1:
        raise ValueError(f"fraction must be at least 0 and below 1: got {named(fraction)}")
    groups: list[tuple[float, str, list[int]]] = []
    total = left = 0
    for name, importance in _of_layers(layers, given).items():
        layer = layers[name]
        size = layer.num_heads // layer.num_kv_heads if layer.num_kv_heads > 1 else 1
        means = _importance(name, layer, importance).reshape(-1, size).mean(1)
        groups += [
            (mean, name, list(range(group * size, (group + 1) * size)))
            for group, mean in enumerate(means)
        ]
        total, left = total + layer.num_heads, left + size
    count = int(share * total + 1e-9)  # 0.29 · 100 is below 29
    if count > total - left:
        raise ValueError(
            f"fraction must leave every layer a head, {left} of {total}: got {named(fraction)}"
        )
    chosen: dict[str, list[int]] = {}
    for _, name, heads in sorted(groups, key=lambda group: group[0]):
        before = chosen.get(name, [])
        if len(heads) <= count and len(before) + len(heads) < layers[name].num_heads:
            chosen[name], count = before + heads, count - len(heads)
    return {name: sorted(heads) for name, heads in chosen.items()}


def _of_layers(layers: Layers, given: Any) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise TypeError(f"heads must be a mapping from names of layers: got {named(given)}")
    for name in given:
        if name not in layers:
            raise ValueError(
                f"heads must name attention layers of the model, {named(list(layers))}: "
                f"got {named(name)}"
            )
    return given


def _importance(name: str, layer: MultiHeadAttention, given: Any) -> Array:
    argument = f"heads[{name!r}]"
    found = numbers(argument, given).astype(np.float64)
    if found.shape != (layer.num_heads,):
        raise ValueError(
            f"{argument} must be the importance of {layer.num_heads} heads: got shape {found.shape}"
        )
    if not np.isfinite(found).all():
        raise ValueError(f"{argument} must be finite: got NaN or infinity")
    return found
