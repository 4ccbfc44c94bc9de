"""Modules of PyTorch: which there are, and how they compute attention while it is looked at."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CROSS = re.compile(r"cross|encoder_?attn|EncDec|multihead_attn", re.IGNORECASE)
# of nn.MultiheadAttention.forward
ARGUMENTS = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask",
             "average_attn_weights", "is_causal")  # fmt: skip


def is_torch(model: Any) -> bool:
    torch = sys.modules.get("torch")  # without it there is no such model
    return torch is not None and isinstance(model, torch.nn.Module)


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
