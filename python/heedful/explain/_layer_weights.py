"""The weights of one attention layer, with the names of their axes' entries."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from heedful._checks import flag, is_bfloat16, named, numbers
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
    columns : tuple of int, (Lk,), optional
        The keys' positions in the input; None is all, 0 … Lk − 1.
    is_self : bool, optional
        Whether queries and keys are of one sequence; None: judged by their tokens, see `is_within`.
    """

    name: str
    weights: Array
    heads: tuple[int, ...]
    rows: tuple[int, ...]
    query_tokens: tuple[str, ...]
    key_tokens: tuple[str, ...]
    columns: tuple[int, ...] | None = None
    is_self: bool | None = None

    @property
    def key_positions(self) -> tuple[int, ...]:
        """The keys' positions in the input."""
        return tuple(range(self.weights.shape[2])) if self.columns is None else self.columns

    @property
    def is_within(self) -> bool:
        """Whether queries and keys are of one sequence: their tokens are the same at the same
        positions, where `is_self` does not tell.
        """
        if self.is_self is not None:
            return self.is_self
        token_at = dict(zip(self.key_positions, self.key_tokens, strict=True))
        shared = [
            (token, token_at[row])
            for row, token in zip(self.rows, self.query_tokens, strict=True)
            if row in token_at
        ]
        if self.columns is None and len(shared) < len(self.rows):
            return False  # a query past the last key
        return all(query == key for query, key in shared)


def checked_layer(layer: Any) -> LayerWeights:
    """The layer, its weights floating; names and shapes must fit together."""
    if not isinstance(layer, LayerWeights):
        raise TypeError(f"layers must hold LayerWeights: got {named(layer)}")
    weights = numbers("weights", layer.weights)
    if weights.ndim != 3:
        raise ValueError(
            f"weights must be (head, query, key), 3 axes, in layer {layer.name!r}: "
            f"got shape {weights.shape}"
        )
    if is_bfloat16(weights.dtype):
        weights = weights.astype(np.float32)
    elif weights.dtype.kind != "f":
        weights = weights.astype(np.float64)
    heads, queries, keys = weights.shape
    for name, entries, count in (
        ("heads", layer.heads or range(heads if heads == 1 else 0), heads),
        ("rows", layer.rows, queries),
        ("query_tokens", layer.query_tokens, queries),
        ("key_tokens", layer.key_tokens, keys),
        ("columns", layer.key_positions if layer.columns is None else layer.columns, keys),
    ):
        if len(entries) != count:
            raise ValueError(
                f"{name} must have {count} entries in layer {layer.name!r}, as weights of shape "
                f"{weights.shape} have: got {len(entries)}"
            )
    is_self = None if layer.is_self is None else flag("is_self", layer.is_self)
    return layer._replace(weights=weights, is_self=is_self)
