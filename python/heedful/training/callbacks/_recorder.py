"""Recorder: keeps the queries and keys of attention layers while a model computes."""

from __future__ import annotations

from typing import Any

from heedful.base import _taps
from heedful.base._taps import Tap


class Recorder(Tap):
    """Keeps the calls of layers, in training or in inference: validation is not recorded.

    calls : of each layer, by name: queries, keys, options, and whether all is of one sequence
    """

    def __init__(self, layers: dict[str, Any], training: bool) -> None:
        super().__init__(layers)
        self.training = training
        self.calls: dict[str, list[Any]] = {name: [] for name in layers}

    def see(self, call: Any) -> None:
        if call.training == self.training and call.cache is None:
            seen = call.query, call.key, call.options | {"layout": "blhd"}, call.is_self
            self.calls[self.name_of(call.layer)].append(seen)


def attention_layers(model: Any, names: list[str] | None) -> dict[str, Any]:
    """The layers to be recorded, by name."""
    found = {
        name: layer
        for name, layer in _taps.attention_layers(model).items()
        if layer.score_kind == "dot product"
    }
    if not found:
        raise ValueError("model must have a MultiHeadAttention for AttentionMonitor: it has none")
    for name in names or ():
        if name not in found:
            raise ValueError(f"layers must be among {list(found)}: got {name!r}")
    return found if names is None else {name: found[name] for name in names}
