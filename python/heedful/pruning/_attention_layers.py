"""The attention layers of a model, whose heads can be pruned."""

from __future__ import annotations

from typing import Any

from heedful._checks import named
from heedful.layers import Layer, MultiHeadAttention


def attention_layers(model: Any) -> dict[str, MultiHeadAttention]:
    """Every MultiHeadAttention of a model, by its first dotted name."""
    if not isinstance(model, Layer):
        raise TypeError(f"model must be a layer: got {named(model)}")
    first: dict[int, tuple[str, MultiHeadAttention]] = {}
    for name, layer in model.named_layers():
        if isinstance(layer, MultiHeadAttention):
            first.setdefault(id(layer), (name, layer))
    if not first:
        raise ValueError(f"model must have a MultiHeadAttention: {type(model).__name__} has none")
    return dict(first.values())
