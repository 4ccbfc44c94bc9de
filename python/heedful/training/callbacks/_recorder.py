"""Recorder: keeps the queries and keys of an attention layer while a model computes."""

from __future__ import annotations

from typing import Any


class Recorder:
    """Keeps the calls of a layer, in training or in inference: validation is not recorded."""

    def __init__(self, calls: list[Any], training: bool) -> None:
        self.calls, self.training = calls, training

    def __call__(self, *call: Any, training: bool) -> None:
        if training == self.training:
            self.calls.append(call)

    def __reduce__(self) -> tuple[Any, ...]:
        return _none, ()  # a copy of the model is not recorded


def _none() -> None:
    return None


def attention_layers(model: Any, names: list[str] | None) -> dict[str, Any]:
    """The layers to be recorded, by name."""
    first: dict[int, tuple[str, Any]] = {}
    for name, layer in model.named_layers():
        if hasattr(type(layer), "recorder"):
            first.setdefault(id(layer), (name, layer))
    found = dict(first.values())
    if not found:
        raise ValueError("model must have a MultiHeadAttention for AttentionMonitor: it has none")
    for name in names or ():
        if name not in found:
            raise ValueError(f"layers must be among {list(found)}: got {name!r}")
    return found if names is None else {name: found[name] for name in names}
