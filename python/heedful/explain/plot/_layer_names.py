"""Names of layers without what they have in common."""

from __future__ import annotations

from collections.abc import Sequence


def short_names(names: Sequence[str]) -> list[str]:
    """encoder.layers.0.self_attn, encoder.layers.1.self_attn → 0, 1."""
    parts = [name.split(".") for name in names]
    if len(set(names)) < 2:
        return list(names)
    while len({own[0] for own in parts}) == 1 and all(len(own) > 1 for own in parts):
        parts = [own[1:] for own in parts]
    while len({own[-1] for own in parts}) == 1 and all(len(own) > 1 for own in parts):
        parts = [own[:-1] for own in parts]
    return [".".join(own) for own in parts]
