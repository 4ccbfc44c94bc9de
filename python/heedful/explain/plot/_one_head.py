"""The weights of one head of a map, with the title of their picture."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from heedful._checks import named
from heedful._printable import printable
from heedful.base._types import Array
from heedful.explain._attention_map import AttentionMap
from heedful.explain._layer_weights import LayerWeights


class OneHead(NamedTuple):
    layer: LayerWeights
    weights: Array  # (Lq, Lk)
    title: str


def one_head(attention_map: AttentionMap, layer: int | str, head: int | None) -> OneHead:
    """A head, or for None the mean over the heads."""
    of = checked_map("attention_map", attention_map)[layer]
    shown = printable(of.name) or "attention"
    title = f"layer {shown}" if shown.isdecimal() else shown
    if head is None:
        many = f", mean of {len(of.heads)} heads" if len(of.heads) > 1 else ""
        alone = f", head {of.heads[0]}" if len(of.heads) == 1 else ""
        return OneHead(of, of.weights.mean(0), title + many + alone)
    (chosen,) = AttentionMap([of]).select(heads=head).layers
    return OneHead(of, chosen.weights[0], f"{title}, head {head}")


def checked_map(name: str, given: object) -> AttentionMap:
    if not isinstance(given, AttentionMap):
        raise TypeError(f"{name} must be an AttentionMap: got {named(given)}")
    if not given.layers or any(layer.weights.size == 0 for layer in given):
        raise ValueError(f"{name} must have weights to draw: got {given}")
    for layer in given:
        if not np.isfinite(layer.weights).all():
            raise ValueError(f"{name} must be finite to be drawn: got NaN or ∞ in {layer.name!r}")
    return given
