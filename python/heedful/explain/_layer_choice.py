"""The attention layers of a model that match patterns of dotted names, and their heads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from heedful._checks import integers, named
from heedful.base._taps import attention_layers
from heedful.explain._torch_modules import is_torch
from heedful.layers import Layer

Patterns: TypeAlias = str | Sequence[str]
Heads: TypeAlias = int | Sequence[int] | Mapping[str, int | Sequence[int]] | None


def as_layer(model: Any) -> Layer:
    """The model itself, or the one in it, as of a SentenceEncoder."""
    inner = model if isinstance(model, Layer) else getattr(model, "model", None)
    if not isinstance(inner, Layer):
        hint = "; attention_map and steer take those of PyTorch" if is_torch(model) else ""
        raise TypeError(
            f"model must be a layer, or have one as its `model`: got {named(model)}{hint}"
        )
    return inner


def chosen_layers(
    model: Any, argument: str, patterns: Any, without: Iterable[str] = ()
) -> dict[str, Any]:
    """Attention layers by dotted name, in the order of the model.

    A pattern matches a name, or all inside: "encoder.*.self_attn", "encoder.layers.0".
    """
    model = as_layer(model)
    every = {
        name: layer
        for name, layer in attention_layers(model).items()
        if layer.score_kind not in without
    }
    if not every:
        kind = "attention layers with scores" if without else "attention layers"
        raise ValueError(f"model must have {kind}: {type(model).__name__} has none")
    found = {}
    for pattern in checked_patterns(argument, patterns):
        matching = [name for name in every if matches(name, pattern)]
        if not matching:
            raise ValueError(
                f"{argument} must match attention layers of the model, which are "
                f"{', '.join(map(repr, every))}: got {named(pattern)}"
            )
        found.update(dict.fromkeys(matching))
    return {name: layer for name, layer in every.items() if name in found}


def checked_patterns(argument: str, given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"{argument} must be a pattern of dotted names, such as 'encoder.*', or several: "
            f"got {named(given)}"
        )
    return list(names)


def matches(name: str, pattern: str) -> bool:
    """Whether a pattern is of this layer, or of one that it is in."""
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def chosen_heads(layers: Mapping[str, Any], heads: Heads) -> dict[str, tuple[int, ...]] | None:
    """The heads of each layer, counted from 0: the same of all, or by patterns of names."""
    if heads is None:
        return None
    if not isinstance(heads, Mapping):
        return {name: _heads(name, layer, heads) for name, layer in layers.items()}
    found = {}
    for pattern, given in heads.items():
        matching = [name for name in layers if fnmatchcase(name, pattern)]
        if not matching:
            raise ValueError(
                f"heads must be of layers among {', '.join(map(repr, layers))}: "
                f"got {named(pattern)}"
            )
        found.update({name: _heads(name, layers[name], given) for name in matching})
    return {
        name: found.get(name, tuple(range(number_of_heads(layer))))
        for name, layer in layers.items()
    }


def number_of_heads(layer: Any) -> int:
    """1 for a layer without heads."""
    return int(getattr(layer, "num_heads", 1))


def _heads(name: str, layer: Any, given: Any) -> tuple[int, ...]:
    found, count = integers("heads", given), number_of_heads(layer)
    for head in found:
        if not -count <= head < count:
            raise ValueError(
                f"heads must lie between 0 and {count - 1} in {name or type(layer).__name__!r}: "
                f"got {head}"
            )
    if not found:
        raise ValueError("heads must be at least one, or None for all: got none")
    return tuple(head % count for head in found)
