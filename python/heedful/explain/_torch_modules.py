"""Modules of PyTorch: which there are, and how they compute attention while it is looked at."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from heedful._checks import integers, named

CROSS = re.compile(r"cross|encoder_?attn|EncDec|multihead_attn", re.IGNORECASE)
# of nn.MultiheadAttention.forward
ARGUMENTS = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask",
             "average_attn_weights", "is_causal")  # fmt: skip


def is_torch(model: Any) -> bool:
    torch = sys.modules.get("torch")  # without it there is no such model
    return torch is not None and isinstance(model, torch.nn.Module)


def checked_heads(given: Any) -> list[int] | None:
    """The same heads of every layer, of which it is not known yet how many they have."""
    if isinstance(given, Mapping):
        raise TypeError(f"heads must be the same of every layer of PyTorch: got {named(given)}")
    heads = None if given is None else integers("heads", given)
    if heads == []:
        raise ValueError("heads must be at least one, or None for all: got none")
    return heads


def counted_heads(heads: list[int], count: int, layer: str) -> tuple[int, ...]:
    """Those of a layer with `count`, counted from 0."""
    for head in heads:
        if not -count <= head < count:
            raise ValueError(f"heads must lie between 0 and {count - 1} in {layer!r}: got {head}")
    return tuple(head % count for head in heads)


@contextmanager
def with_eager_attention(model: Any) -> Iterator[list[Any]]:
    """Within it attention is computed where its scores, masks and weights exist.

    It gives the models of transformers among the modules, the outermost ones.
    """
    import torch

    outermost: list[tuple[str, Any]] = []
    for name, module in model.named_modules():
        inside = any(not outer or name.startswith(f"{outer}.") for outer, _ in outermost)
        if hasattr(module, "set_attn_implementation") and not inside:
            outermost.append((name, module))
    before = [(one, one.config._attn_implementation) for _, one in outermost]
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        for module, _ in before:
            module.set_attn_implementation("eager")
        yield [module for module, _ in before]
    finally:
        for module, implementation in before:
            module.set_attn_implementation(implementation)
        torch.backends.mha.set_fastpath_enabled(fast)
