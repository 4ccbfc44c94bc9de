"""heedful: exact attention on NumPy arrays, forward and backward, in multithreaded C++."""

from typing import TYPE_CHECKING, Any

from heedful import _interpreter as _interpreter  # first: it reports unsupported ones
from heedful._config import show_config
from heedful._threads import get_num_threads, num_threads, set_num_threads
from heedful._version import __version__
from heedful.functional import (
    AdditiveGradients,
    Gradients,
    HeavyHitters,
    KVCache,
    NormalizerGradients,
    QuestPages,
    SinksAndWindow,
    additive_attention,
    additive_attention_vjp,
    attention,
    attention_backward,
    attention_paged,
    attention_penalty,
    attention_pool,
    attention_pool_vjp,
    attention_scores,
    attention_varlen,
    attention_varlen_vjp,
    attention_vjp,
    attention_weights,
    merge_attention,
    multi_head_attention,
    rotary_embedding,
    scaled_dot_product_attention,
)

if TYPE_CHECKING:  # imported on first access, see __getattr__
    from heedful import benchmark as benchmark
    from heedful import data as data
    from heedful import explain as explain
    from heedful import functional as functional
    from heedful import integrations as integrations
    from heedful import layers as layers
    from heedful import models as models
    from heedful import pruning as pruning
    from heedful import testing as testing
    from heedful import training as training
    from heedful.functional import BlockMask as BlockMask

__all__ = [
    "AdditiveGradients",
    "BlockMask",
    "Gradients",
    "HeavyHitters",
    "KVCache",
    "NormalizerGradients",
    "QuestPages",
    "SinksAndWindow",
    "__version__",
    "additive_attention",
    "additive_attention_vjp",
    "attention",
    "attention_backward",
    "attention_paged",
    "attention_penalty",
    "attention_pool",
    "attention_pool_vjp",
    "attention_scores",
    "attention_varlen",
    "attention_varlen_vjp",
    "attention_vjp",
    "attention_weights",
    "get_num_threads",
    "merge_attention",
    "multi_head_attention",
    "num_threads",
    "rotary_embedding",
    "scaled_dot_product_attention",
    "set_num_threads",
    "show_config",
]

_PARTS = {"benchmark", "data", "explain", "functional", "integrations", "layers", "models",
          "pruning", "testing", "training"}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Subpackages, and what only some programs need, each imported on first access."""
    if name == "BlockMask":
        from heedful.functional.block_mask import BlockMask

        return BlockMask
    if name in _PARTS:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "BlockMask", *_PARTS} - {"TYPE_CHECKING", "Any"})
