"""Files of attention maps: one file of tensors, the names of the axes in its text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from heedful._printable import printable
from heedful._whole_file import AnyPath
from heedful.base._types import Array
from heedful.explain._layer_weights import LayerWeights, checked_layer
from heedful.training.files._tensors import read_tensors, write_tensors

_KEY = "attention_map"
_NAMES = ("heads", "rows", "query_tokens", "key_tokens", "columns", "is_self")


def write_map(layers: Sequence[LayerWeights], path: AnyPath) -> None:
    """Atomically."""
    axes = [
        {"name": layer.name, **{name: getattr(layer, name) for name in _NAMES}} for layer in layers
    ]
    tensors = {str(number): layer.weights for number, layer in enumerate(layers)}
    write_tensors(tensors, path, {"format": "np", _KEY: json.dumps(axes)})


def read_map(path: AnyPath) -> list[LayerWeights]:
    """The layers in a file, which is not trusted."""
    tensors, text = read_tensors(path)
    if _KEY not in text:
        raise ValueError(
            "path must be a file that AttentionMap.save wrote: it has weights only, and no names"
        )
    try:
        axes = json.loads(text[_KEY])
        if len(axes) != len(tensors):
            raise ValueError(f"names of {len(axes)} layers, and weights of {len(tensors)}")
        return [_layer(of, tensors[str(number)]) for number, of in enumerate(axes)]
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"path must be a file that AttentionMap.save wrote: its text is damaged, "
            f"{printable(str(error))}"
        ) from None


def _layer(axes: dict[str, Any], weights: Array) -> LayerWeights:
    if weights.dtype.kind != "f":
        raise TypeError(f"weights of type {weights.dtype}")
    columns = axes["columns"]
    return checked_layer(
        LayerWeights(
            _of("name", axes["name"], str), weights,
            _integers("heads", axes), _integers("rows", axes),
            _texts("query_tokens", axes), _texts("key_tokens", axes),
            None if columns is None else _integers("columns", axes), axes["is_self"],
        )
    )  # fmt: skip


def _integers(name: str, axes: dict[str, Any]) -> tuple[int, ...]:
    return tuple(_of(name, entry, int) for entry in axes[name])


def _texts(name: str, axes: dict[str, Any]) -> tuple[str, ...]:
    return tuple(_of(name, entry, str) for entry in axes[name])


def _of(name: str, entry: Any, kind: type) -> Any:
    if type(entry) is not kind:
        raise TypeError(f"{name} holds {entry!r}")
    return entry
