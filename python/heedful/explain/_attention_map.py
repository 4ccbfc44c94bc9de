"""AttentionMap: the attention weights of a model for one input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful.base._types import Array
from heedful.explain._layer_weights import LayerWeights


class AttentionMap:
    """Attention weights by layer, head, query and key.

    Parameters
    ----------
    layers : sequence of LayerWeights
        In the order of the computation. Layers may differ in their shapes: those of an encoder, of
        a decoder and between both.
    """

    def __init__(self, layers: Sequence[LayerWeights]) -> None:
        self.layers = tuple(layers)

    @classmethod
    def from_numpy(
        cls,
        weights: ArrayLike,
        query_tokens: Sequence[str] | None = None,
        key_tokens: Sequence[str] | None = None,
        names: Sequence[str] | None = None,
    ) -> AttentionMap:
        """Weights (layer, head, query, key) of any origin.

        Without `key_tokens` they are `query_tokens` where there are as many keys as queries;
        without any, the positions.
        """
        array = np.asarray(weights)
        if array.ndim != 4:
            raise ValueError(
                f"weights must be (layer, head, query, key), 4 axes: got shape {array.shape}"
            )
        count, heads, queries, keys = array.shape
        if key_tokens is None and queries == keys:
            key_tokens = query_tokens
        return cls(
            [
                LayerWeights(
                    str(layer) if names is None else names[layer], array[layer],
                    tuple(range(heads)), tuple(range(queries)),
                    _tokens("query_tokens", query_tokens, queries),
                    _tokens("key_tokens", key_tokens, keys),
                )
                for layer in range(count)
            ]
        )  # fmt: skip

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' dotted names."""
        return tuple(layer.name for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[LayerWeights]:
        return iter(self.layers)

    def select(self, layers: str) -> AttentionMap:
        """The layers whose names match a pattern such as ``"encoder.*"``."""
        found = [layer for layer in self.layers if fnmatchcase(layer.name, layers)]
        if not found:
            raise ValueError(f"layers must match some of {', '.join(self.names)}: got {layers!r}")
        return AttentionMap(found)

    def to_numpy(self) -> Array:
        """Weights (layer, head, query, key); the layers must have the same shape."""
        shapes = {layer.weights.shape for layer in self.layers}
        if len(shapes) != 1:
            raise ValueError(
                "layers must have the same shape, choose some by select(): got "
                + ", ".join(f"{layer.name} {layer.weights.shape}" for layer in self.layers)
            )
        return np.stack([layer.weights for layer in self.layers])


def _tokens(name: str, tokens: Any, count: int) -> tuple[str, ...]:
    if tokens is None:
        return tuple(str(position) for position in range(count))
    if len(tokens) != count:
        raise ValueError(f"{name} must have {count} entries: got {len(tokens)}")
    return tuple(map(str, tokens))
