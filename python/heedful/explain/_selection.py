"""Layers of a map, and heads, queries and keys within them, chosen by number, name or token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from heedful._checks import is_integer, listed, named
from heedful.explain._layer_weights import LayerWeights

Choice = int | str | slice | Sequence[int | str]


def chosen_layers(layers: Sequence[LayerWeights], wanted: Choice) -> list[LayerWeights]:
    """Those of the numbers, negative ones from the end, and of the names and patterns."""
    found: dict[int, None] = {}
    for one in _each("layers", wanted):
        if isinstance(one, slice):
            numbers = list(range(*one.indices(len(layers))))
        elif isinstance(one, str):
            numbers = [n for n, layer in enumerate(layers) if fnmatchcase(layer.name, one)]
        else:
            numbers = [one % len(layers)] if -len(layers) <= one < len(layers) else []
        if not numbers:
            names = listed([repr(layer.name) for layer in layers])
            raise ValueError(
                f"layers must match some of the {len(layers)}, {names}: got {named(one)}"
            )
        found |= dict.fromkeys(numbers)
    return [layers[number] for number in found]


def with_heads(layers: Sequence[LayerWeights], wanted: Choice) -> list[LayerWeights]:
    """Layers that have some of the heads, with these alone."""
    for layer in layers:
        if not layer.heads:
            raise ValueError(
                f"heads must be None where weights are a mean over heads, as in {layer.name!r}: "
                f"got {named(wanted)}"
            )
    for one in _each("heads", wanted):
        if isinstance(one, str):
            raise TypeError(f"heads must be numbers: got {named(one)}")

    def entries(layer: LayerWeights) -> tuple[Sequence[int], Sequence[str]]:
        return layer.heads, ()

    return [
        layer._replace(weights=layer.weights[at], heads=_at(layer.heads, at))
        for layer, at in _chosen("heads", layers, wanted, entries)
    ]


def with_queries(layers: Sequence[LayerWeights], wanted: Choice) -> list[LayerWeights]:
    """Layers that have some of the queries, with these alone."""

    def entries(layer: LayerWeights) -> tuple[Sequence[int], Sequence[str]]:
        return layer.rows, layer.query_tokens

    return [
        layer._replace(
            weights=layer.weights[:, at],
            rows=_at(layer.rows, at),
            query_tokens=_at(layer.query_tokens, at),
        )
        for layer, at in _chosen("queries", layers, wanted, entries)
    ]


def with_keys(layers: Sequence[LayerWeights], wanted: Choice) -> list[LayerWeights]:
    """Layers that have some of the keys, with these alone."""

    def entries(layer: LayerWeights) -> tuple[Sequence[int], Sequence[str]]:
        return layer.key_positions, layer.key_tokens

    return [
        layer._replace(
            weights=layer.weights[:, :, at],
            columns=_at(layer.key_positions, at),
            key_tokens=_at(layer.key_tokens, at),
        )
        for layer, at in _chosen("keys", layers, wanted, entries)
    ]


def _chosen(
    name: str,
    layers: Sequence[LayerWeights],
    wanted: Choice,
    entries: Callable[[LayerWeights], tuple[Sequence[int], Sequence[str]]],
) -> list[tuple[LayerWeights, list[int]]]:
    """Each layer that has any of what is wanted, and where; each wanted one must be in some."""
    places: list[dict[int, None]] = [{} for _ in layers]
    for one in _each(name, wanted):
        missing = True
        for layer, at in zip(layers, places, strict=True):
            found = _places(one, *entries(layer))
            missing = missing and not found
            at |= dict.fromkeys(found)
        if missing:
            _refuse(name, one, [entries(layer)[0] for layer in layers])
    return [(layer, list(at)) for layer, at in zip(layers, places, strict=True) if at]


def _places(one: int | str | slice, numbers: Sequence[int], tokens: Sequence[str]) -> list[int]:
    if isinstance(one, str):
        return [place for place, token in enumerate(tokens) if token == one]
    if isinstance(one, slice):
        inside = range(max(numbers, default=-1) + 1)[one]
        return [place for place, number in enumerate(numbers) if number in inside]
    return [place for place, number in enumerate(numbers) if number == one]


def _refuse(name: str, one: Any, numbers: Sequence[Sequence[int]]) -> None:
    if isinstance(one, str):
        raise ValueError(f"{name} must be tokens of the map: got {named(one)}")
    present = np.unique(np.concatenate([np.asarray(of, np.int64) for of in numbers]))
    shown = ", ".join(map(str, present[:8])) + (", …" if len(present) > 8 else "")
    if len(present) > 2 and present[-1] - present[0] == len(present) - 1:
        shown = f"{present[0]} … {present[-1]}"
    raise ValueError(f"{name} must be among {shown}: got {named(one)}")


def _each(name: str, wanted: Any) -> list[Any]:
    many = isinstance(wanted, (Sequence, np.ndarray, range)) and not isinstance(wanted, str)
    found: list[Any] = []
    for one in wanted if many else [wanted]:
        if isinstance(one, (str, slice)):
            found.append(one)
        elif is_integer(one):
            found.append(int(one))
        else:
            raise TypeError(
                f"{name} must be numbers, names, a slice, or a list of them: got {named(one)}"
            )
    if not found:
        raise ValueError(f"{name} must choose something: got {named(wanted)}")
    return found


def _at(entries: Sequence[Any], places: Sequence[int]) -> tuple[Any, ...]:
    return tuple(entries[place] for place in places)
