"""Pictures of the heads of a layer that are small, whatever the length of the text."""

from __future__ import annotations

import numpy as np

from heedful.base._types import Array
from heedful.explain._layer_weights import LayerWeights


def thumbnails(layer: LayerWeights, side: int) -> Array:
    """Pictures (H, ≤ side, ≤ side) of the heads, uint8: the maximum of each field of weights.

    Maxima, because means would lose a diagonal in a long text. A row's own maximum is 255.
    """
    heads, queries, keys = layer.weights.shape
    rows, columns = (_begins(length, side) for length in (queries, keys))
    found = np.empty((heads, len(rows), len(columns)), np.uint8)
    for head, weights in enumerate(layer.weights):
        weights = weights / np.maximum(weights.max(1, keepdims=True), np.finfo(np.float32).tiny)
        fields = np.maximum.reduceat(np.maximum.reduceat(weights, columns, 1), rows, 0)
        found[head] = np.rint(fields * 255)
    return found


def _begins(length: int, side: int) -> Array:
    count = min(length, side)
    return np.arange(count) * length // count
