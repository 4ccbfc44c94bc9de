"""Watch: records the attention weights of some layers while a model computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from heedful._checks import flag
from heedful.base._taps import Tap, attention_layers
from heedful.base._types import Array


class WatchedCall:
    """The weights of one call of an attention layer.

    Attributes
    ----------
    name : str
        The layer's dotted name.
    weights : numpy.ndarray, (…, H, Lq, Lk)
        Of the heads and rows that are watched, without dropout and noise.
    gradient : numpy.ndarray or None
        Of the loss with respect to the weights, with ``gradients=True`` after the backward pass.
    heads : tuple of int
        Numbers of the heads; empty for their mean.
    rows : numpy.ndarray of int, (Lq,), or with a cache (B, Lq)
        Positions of the queries in the input of the layer, or with a cache in the text.
    length : int
        Number of queries of the call.
    items : numpy.ndarray of int, (B,), or None
        In a generation, the prompt that each row of the batch continues.
    lengths : numpy.ndarray of int, (B,), or None
        With a cache, the number of keys of each text.
    token_rows : numpy.ndarray of int, (B, L), or None
        In an encoder of :mod:`heedful.pruning`, the row that each token of its input is in; −1 for
        one that was dropped.
    is_self : bool
        Whether keys and queries are of the same sequence.
    training : bool
    """

    gradient: Array | None = None

    def __init__(
        self, name: str, weights: Array, heads: tuple[int, ...], rows: Array, call: Any
    ) -> None:
        self.name, self.weights, self.heads, self.rows = name, weights, heads, rows
        self.length: int = call.shape[-2]
        self.items: Array | None = call.items
        self.lengths: Array | None = None if call.cache is None else call.cache.lengths
        self.token_rows: Array | None = call.token_rows
        self.is_self: bool = call.is_self
        self.training: bool = call.training

    def __repr__(self) -> str:
        return f"WatchedCall({self.name!r}, {self.weights.shape})"


class Watch(Tap, Mapping[str, Array]):
    """A tap that keeps weights, see :func:`heedful.explain.watch`.

    ``seen[name]`` are the weights of the latest call of a layer, (…, H, Lq, Lk).

    Attributes
    ----------
    calls : list of WatchedCall
        Every call, in the order of the computation.
    """

    heads: Mapping[str, tuple[int, ...]] | None
    rows: NDArray[np.int64] | None
    item: int | None
    average_heads: bool
    gradients: bool

    def __init__(
        self,
        layers: Mapping[str, Any],
        *,
        heads: Mapping[str, tuple[int, ...]] | None = None,
        rows: NDArray[np.int64] | None = None,
        average_heads: bool = False,
        item: int | None = None,
        gradients: bool = False,
    ) -> None:
        super().__init__(layers)
        self.heads, self.rows, self.item = heads, rows, item
        self.average_heads, self.gradients = average_heads, gradients
        self.calls: list[WatchedCall] = []
        self._records: dict[int, tuple[WatchedCall, Any]] = {}

    @property
    def weights(self) -> list[Array]:
        """Those of every call, in the order of the computation."""
        return [call.weights for call in self.calls]

    def of(self, name: str) -> list[WatchedCall]:
        """All calls of a layer."""
        found = [call for call in self.calls if call.name == name]
        if not found:
            names = list(self.layers)
            state = "was not computed while it was watched" if name in names else "is not watched"
            raise KeyError(f"{name!r} {state}: watched are {names}")
        return found

    def __getitem__(self, name: str) -> Array:
        return self.of(name)[-1].weights

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(call.name for call in self.calls))

    def __len__(self) -> int:
        return len({call.name for call in self.calls})

    def text(self, name: str, item: int = 0) -> Array:
        """The weights (H, L, Lk) of a text that was read in several calls with a cache.

        Row i is the one watched i-th; keys that were not there yet have the weight 0. `item` is
        that of the prompts. Of several continuations of a prompt, as in a beam search, the first
        row of the batch is taken in every step.
        """
        rows: dict[int, Array] = {}
        for call in self.of(name):
            places = np.arange(len(call.weights)) if call.items is None else call.items
            if call.lengths is None or item not in places:
                continue
            place = int(np.flatnonzero(places == item)[0])
            positions = call.rows[place] if call.rows.ndim > 1 else call.rows
            length = int(call.lengths[place])
            for position, row in zip(positions, call.weights[place].swapaxes(0, 1), strict=True):
                if position < length or not call.is_self:  # others are padding
                    rows[int(position)] = row[..., :length]
        if not rows:
            raise IndexError(f"item must be a text that {name!r} read with a cache: got {item}")
        keys = max(row.shape[-1] for row in rows.values())
        padded = [
            np.pad(row, ((0, 0), (0, keys - row.shape[-1]))) for _, row in sorted(rows.items())
        ]
        return np.stack(padded, -2)

    def see(self, call: Any) -> None:
        name = self.name_of(call.layer)
        length = call.shape[-2]
        rows: Any = self.rows
        places = np.arange(length) if rows is None else rows
        if call.first is not None:  # a part of a text: of the rows asked for those that are in it
            places = np.asarray(call.first)[..., None] + np.arange(length)
            if rows is not None:
                within = np.isin(places, rows)
                rows = np.flatnonzero(within.reshape(-1, length).any(0))
                if not rows.size:
                    return
                places = places[..., rows]
        elif rows is not None:
            places = _checked(name, rows, length)
        options = {
            "rows": rows, "heads": None if self.heads is None else self.heads[name],
            "average_heads": self.average_heads, "item": self.item,
        }  # fmt: skip
        heads = options["heads"] or range(call.num_heads)
        record = WatchedCall(
            name, call.weights(**options), () if self.average_heads else tuple(heads), places, call
        )
        if self.item is not None and record.token_rows is not None:
            record.token_rows = record.token_rows[self.item : self.item + 1]
        self.calls.append(record)
        if self.gradients and call.training:
            # kept until the backward pass: the call's own id may be used again after it
            self._records[id(call)] = record, (call, options)

    def see_gradient(self, call: Any, dheads: Array, dbias: Array | None) -> None:
        found = self._records.pop(id(call), None)
        if found is not None:
            record, (_, options) = found
            record.gradient = call.weight_gradients(dheads, **options)

    def __repr__(self) -> str:
        return f"Watch({list(self.layers)}, {len(self.calls)} calls)"


def _checked(name: str, rows: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    wrong = (rows < -length) | (rows >= length)
    if wrong.any():
        raise IndexError(
            f"rows must lie between {-length} and {length - 1} in {name or 'the layer'!r}: "
            f"got {rows[wrong][0]}"
        )
    return np.where(rows < 0, rows + length, rows)


def with_weights(
    model: Any, call: Callable[..., Any], inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Any, Array | list[Array]]:
    """The result of a call of a model, and the weights of each of its attention layers.

    Of a model that is itself the only one, its weights without a list.
    """
    with Watch(attention_layers(model)) as seen:
        result = call(*inputs, **options)
    return result, seen[""] if list(seen.layers) == [""] else seen.weights


def asks_for_weights(model: Any, options: dict[str, Any]) -> bool:
    """Whether `return_weights`, which is removed, is to be answered for the layers inside."""
    if "return_weights" not in options or returns_weights(model):
        return False
    if not attention_layers(model):
        return False  # an argument that the layer does not know
    return flag("return_weights", options.pop("return_weights"))


def returns_weights(model: Any) -> bool:
    """Whether a call of a layer itself takes `return_weights`, or that of its only layer."""
    from inspect import Parameter  # only now: few calls ask for weights

    given = model.call_signature().parameters
    if "return_weights" in given:
        return True
    inside = [layer for _, layer in model.layers_inside()]
    passes = any(one.kind is Parameter.VAR_KEYWORD for one in given.values())
    return passes and len(inside) == 1 and returns_weights(inside[0])
