"""AttentionMap: the attention weights of a model for one input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import named, numbers, one_of
from heedful._whole_file import AnyPath
from heedful.base._types import Array
from heedful.explain._layer_weights import LayerWeights, checked_layer
from heedful.explain._selection import (
    Choice,
    chosen_layers,
    with_heads,
    with_keys,
    with_queries,
)


class AttentionMap:
    """Attention weights by layer, head, query and key.

    Parameters
    ----------
    layers : sequence of LayerWeights
        In the order of the computation. Layers may differ in their shapes: those of an encoder, of
        a decoder and between both.

    Raises
    ------
    TypeError, ValueError
        Weights that are no floating numbers (H, Lq, Lk), or names of heads, positions or tokens
        that are more or fewer than the axis has entries.

    Notes
    -----
    ``after - before`` is the map of the differences; ``len``, ``for layer in`` and
    ``attention_map[number or name]`` are of its layers. Attention weights tell where information
    is read, not by themselves why a model decides (Jain & Wallace 2019,
    https://arxiv.org/abs/1902.10186; Wiegreffe & Pinter 2019, https://arxiv.org/abs/1908.04626).

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.explain import AttentionMap
    >>> weights = np.full((2, 3, 4, 4), 0.25)  # layer, head, query, key
    >>> attention_map = AttentionMap.from_numpy(weights, ["the", "cat", "sat", "."])
    >>> attention_map
    AttentionMap(2 layers: 3 heads, 4 queries × 4 keys)
    >>> attention_map.select(layers=-1, heads=[0, 2], queries="cat").to_numpy().shape
    (1, 2, 1, 4)
    >>> attention_map.mean("heads")[0].weights.shape
    (1, 4, 4)
    """

    __array_ufunc__ = None  # NumPy would take a map for a nested list

    def __init__(self, layers: Sequence[LayerWeights]) -> None:
        self.layers: tuple[LayerWeights, ...] = tuple(map(checked_layer, layers))

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
        without any, the positions. `names` are those of the layers, or else their numbers.
        """
        array = numbers("weights", weights)
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
                    name, array[layer], tuple(range(heads)), tuple(range(queries)),
                    _tokens("query_tokens", query_tokens, queries),
                    _tokens("key_tokens", key_tokens, keys),
                )
                for layer, name in enumerate(_tokens("names", names, count))
            ]
        )  # fmt: skip

    @classmethod
    def load(cls, path: AnyPath) -> AttentionMap:
        """The map in a file that :meth:`save` wrote.

        Raises
        ------
        safetensors.SafetensorError
            A truncated file, or one of another kind.
        ValueError
            A file of something else; a truncated one of NumPy.
        """
        from heedful.explain._map_file import read_map

        return cls(read_map(path))

    def save(self, path: AnyPath) -> None:
        """Writes one file: the weights, and the names of their axes as its text.

        It is NumPy's where the path ends in .npz, otherwise a safetensors file, for which the
        package safetensors is needed. The file is written as a whole or not at all.
        """
        from heedful.explain._map_file import write_map

        write_map(self.layers, path)

    @property
    def names(self) -> tuple[str, ...]:
        """The layers' dotted names."""
        return tuple(layer.name for layer in self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[LayerWeights]:
        return iter(self.layers)

    def __getitem__(self, layer: int | str) -> LayerWeights:
        """One layer, by its number or its name."""
        found = [one for one in self.layers if one.name == layer] or chosen_layers(
            self.layers, layer
        )
        if len(found) > 1:
            raise ValueError(f"a layer must be one: got {layer!r}, the name of {len(found)}")
        return found[0]

    def select(
        self,
        layers: Choice | None = None,
        *,
        heads: Choice | None = None,
        queries: Choice | None = None,
        keys: Choice | None = None,
    ) -> AttentionMap:
        """A map of some layers, heads, queries and keys.

        Parameters
        ----------
        layers : int, str, slice or list of them, optional
            Numbers in the map, negative ones from the end, and names or patterns such as
            ``"encoder.*"``.
        heads : int, slice or list of them, optional
            Numbers of the heads in their layers.
        queries, keys : int, str, slice or list of them, optional
            Positions in the input, and tokens: all positions where the token stands.

        Returns
        -------
        AttentionMap
            In the order asked for. Layers that have nothing of what is asked for are left out.

        Raises
        ------
        ValueError
            A layer, head, position or token that is in none of the layers.
        """
        found: Sequence[LayerWeights] = self.layers
        if layers is not None:
            found = chosen_layers(found, layers)
        if heads is not None:
            found = with_heads(found, heads)
        if queries is not None:
            found = with_queries(found, queries)
        if keys is not None:
            found = with_keys(found, keys)
        return AttentionMap(found)

    def mean(self, over: str) -> AttentionMap:
        """The mean over ``"heads"``, of each layer, or over ``"layers"``, which must be alike."""
        if one_of("over", over, ("heads", "layers")) == "heads":
            return AttentionMap(
                [
                    layer._replace(weights=layer.weights.mean(0, keepdims=True), heads=())
                    for layer in self.layers
                ]
            )
        weights = self.to_numpy().mean(0)
        first = self.layers[0]
        for layer in self.layers:
            if layer[2:] != first[2:]:
                raise ValueError(
                    "layers must have the same heads, positions and tokens, choose some by "
                    f"select(): got {first.name!r} and {layer.name!r}, which differ"
                )
        name = f"mean of {len(self)} layers"
        return AttentionMap([first._replace(name=name, weights=weights)])

    def to_numpy(self) -> Array:
        """Weights (layer, head, query, key); the layers must have the same shape."""
        shapes = {layer.weights.shape for layer in self.layers}
        if len(shapes) != 1:
            raise ValueError(
                "layers must have the same shape, choose some by select(): got "
                + ", ".join(f"{layer.name} {layer.weights.shape}" for layer in self.layers)
            )
        return np.stack([layer.weights for layer in self.layers])

    def to_pandas(self) -> Any:
        """A table with a row for each weight, and the columns layer, head, query, key (positions),
        query_token, key_token and weight. The head of a mean over heads is missing, ``<NA>``.
        """
        from heedful.explain._table import table

        return table(self.layers)

    def __sub__(self, other: AttentionMap) -> AttentionMap:
        if not isinstance(other, AttentionMap):
            return NotImplemented
        if len(self) != len(other):
            raise ValueError(
                f"maps must have the same layers: got one of {len(self)} and one of {len(other)}"
            )
        for mine, others in zip(self.layers, other.layers, strict=True):
            if mine.weights.shape != others.weights.shape:
                raise ValueError(
                    f"maps must have the same shapes: got {mine.weights.shape} of {mine.name!r} "
                    f"and {others.weights.shape} of {others.name!r}"
                )
            for name in ("heads", "rows", "query_tokens", "key_tokens", "key_positions"):
                pairs = zip(getattr(mine, name), getattr(others, name), strict=True)
                for number, (one, another) in enumerate(pairs):
                    if one != another:
                        raise ValueError(
                            f"maps must have the same {name}: number {number} of {mine.name!r} is "
                            f"{named(one)}, that of the other map {named(another)}"
                        )
        return AttentionMap(
            [
                mine._replace(weights=mine.weights - others.weights)
                for mine, others in zip(self.layers, other.layers, strict=True)
            ]
        )

    def __repr__(self) -> str:
        groups: dict[str, int] = {}
        for layer in self.layers:
            heads, queries, keys = layer.weights.shape
            of = f"{_counted(heads, 'head')}" if layer.heads else "a mean of heads"
            shape = f"{of}, {_counted(queries, 'query')} × {_counted(keys, 'key')}"
            groups[shape] = groups.get(shape, 0) + 1
        shown = "; ".join(f"{_counted(n, 'layer')}: {shape}" for shape, n in groups.items())
        return f"AttentionMap({shown or 'no layers'})"


def _counted(count: int, noun: str) -> str:
    plural = "queries" if noun == "query" else f"{noun}s"
    return f"{count} {noun if count == 1 else plural}"


def _tokens(name: str, tokens: Any, count: int) -> tuple[str, ...]:
    if tokens is None:
        return tuple(str(position) for position in range(count))
    if isinstance(tokens, str):
        raise TypeError(f"{name} must be a list of {count} texts: got {named(tokens)}")
    if len(tokens) != count:
        raise ValueError(f"{name} must have {count} entries: got {len(tokens)}")
    return tuple(map(str, tokens))
