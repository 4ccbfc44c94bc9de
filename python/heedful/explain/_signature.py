"""Signatures: what tells one model's architecture and one vocabulary from others."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

from heedful._checks import named
from heedful.base._taps import attention_layers
from heedful.explain._layer_choice import as_layer, number_of_heads


def model_signature(model: Any) -> str:
    """Of names and shapes: training changes neither."""
    layer = as_layer(model)
    lines = [f"{name} {array.shape}" for name, array in layer.parameters().items()]
    lines += [
        f"{name} {attention.score_kind} {number_of_heads(attention)}"
        for name, attention in attention_layers(layer).items()
    ]
    return _digest([type(layer).__name__, *lines])


def vocabulary_signature(model: Any, tokenizer: Any) -> str:
    """Of the tokens and their numbers; "" without a tokenizer."""
    tokenizer = getattr(model, "tokenizer", None) if tokenizer is None else tokenizer
    if tokenizer is None:
        return ""
    known = tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else tokenizer
    if isinstance(known, Mapping):
        return _digest(f"{number} {token}" for token, number in sorted(known.items()))
    if isinstance(known, (list, tuple)) and all(isinstance(token, str) for token in known):
        return _digest(
            f"{number} {token}"
            for token, number in sorted(zip(known, range(len(known)), strict=True))
        )
    raise TypeError(
        "tokenizer must have get_vocab(), or be a list of tokens or a mapping from them to "
        f"numbers: got {named(tokenizer)}"
    )


def differing(one: Any, other: Any) -> str | None:
    """What two have different signatures of, "model" or "tokenizer"; None if both are the same."""
    if one.model != other.model:
        return "model"
    return None if one.vocabulary == other.vocabulary else "tokenizer"


def _digest(lines: Iterable[str]) -> str:
    found = hashlib.sha256()
    for line in lines:
        found.update(line.encode("utf-8", "surrogatepass") + b"\n")
    return found.hexdigest()[:32]
