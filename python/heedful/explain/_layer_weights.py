"""The weights of one attention layer, with the names of their axes' entries."""

from __future__ import annotations

from typing import NamedTuple

from heedful.base._types import Array


class LayerWeights(NamedTuple):
    """Attention weights of one layer for one input.

    Attributes
    ----------
    name : str
        The layer's dotted name in its model.
    weights : numpy.ndarray, (H, Lq, Lk)
        A query's weights of the keys; their sum is 1, or 0 where a query attends to nothing.
    heads : tuple of int, (H,)
        The heads' numbers in the layer; empty if `weights` is their mean, (1, Lq, Lk).
    rows : tuple of int, (Lq,)
        The queries' positions in the input.
    query_tokens, key_tokens : tuple of str, (Lq,) and (Lk,)
        What stands at the positions.
    """

    name: str
    weights: Array
    heads: tuple[int, ...]
    rows: tuple[int, ...]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
