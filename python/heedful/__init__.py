"""heedful: exact attention on NumPy arrays, forward and backward, in multithreaded C++."""

from heedful._config import show_config
from heedful._threads import get_num_threads, num_threads, set_num_threads
from heedful._version import __version__
from heedful.functional import (
    AdditiveGradients,
    Gradients,
    KVCache,
    additive_attention,
    additive_attention_vjp,
    attention,
    attention_backward,
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

__all__ = [
    "AdditiveGradients",
    "Gradients",
    "KVCache",
    "__version__",
    "additive_attention",
    "additive_attention_vjp",
    "attention",
    "attention_backward",
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
