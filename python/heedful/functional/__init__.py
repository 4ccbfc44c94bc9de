"""Attention as functions on arrays: arguments are checked here, results computed in C++."""

from typing import TYPE_CHECKING, Any

from heedful.functional._additive import additive_attention, additive_attention_vjp
from heedful.functional._attention import attention
from heedful.functional._attention_backward import attention_backward
from heedful.functional._backward import AdditiveGradients, Gradients
from heedful.functional._cache import KVCache
from heedful.functional._cache_policies import HeavyHitters, QuestPages, SinksAndWindow
from heedful.functional._entmax import NormalizerGradients
from heedful.functional._gradients import attention_vjp
from heedful.functional._linear_state import LinearState
from heedful.functional._merge import merge_attention
from heedful.functional._multi_head import multi_head_attention
from heedful.functional._paged import attention_paged
from heedful.functional._penalised_additive import penalised_additive_attention_vjp
from heedful.functional._penalties import check_penalties
from heedful.functional._penalty import attention_penalty, penalised_attention_vjp
from heedful.functional._pool import attention_pool, attention_pool_vjp
from heedful.functional._rotary import rotary_embedding
from heedful.functional._torch_signature import scaled_dot_product_attention
from heedful.functional._varlen import attention_varlen, attention_varlen_vjp
from heedful.functional._weights import attention_scores, attention_weights

if TYPE_CHECKING:  # imported on first access: few programs need it
    from heedful.functional.block_mask import BlockMask as BlockMask

__all__ = [
    "AdditiveGradients",
    "BlockMask",
    "Gradients",
    "HeavyHitters",
    "KVCache",
    "LinearState",
    "NormalizerGradients",
    "QuestPages",
    "SinksAndWindow",
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
    "check_penalties",
    "merge_attention",
    "multi_head_attention",
    "penalised_additive_attention_vjp",
    "penalised_attention_vjp",
    "rotary_embedding",
    "scaled_dot_product_attention",
]


def __getattr__(name: str) -> Any:
    if name == "BlockMask":
        from heedful.functional.block_mask import BlockMask

        return BlockMask
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "BlockMask"} - {"TYPE_CHECKING", "Any"})
