"""Tiny encoder-decoders of the transformers library: one configuration of each kind of T5."""

from __future__ import annotations

from typing import Any

import torch
import transformers
from decoder_peers import VOCABULARY
from saved_models import random_peer

_SIZES = {
    "vocab_size": VOCABULARY, "d_model": 20, "d_kv": 6, "d_ff": 28, "num_layers": 3, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 9, "pad_token_id": 0,
    "eos_token_id": 2, "decoder_start_token_id": 0,
}  # fmt: skip
_GATED = {**_SIZES, "feed_forward_proj": "gated-gelu"}

# name: (beginning of the classes' names, sizes, whether the projection has a weight of its own)
FAMILIES: dict[str, tuple[str, dict[str, Any], bool]] = {
    "t5": ("T5", _SIZES, False),
    "t5_unequal": ("T5", {**_SIZES, "num_decoder_layers": 2, "layer_norm_epsilon": 1e-3,
                          "feed_forward_proj": "gelu", "decoder_start_token_id": 5,
                          "relative_attention_num_buckets": 10}, False),
    "t5_1_1": ("T5", {**_GATED, "tie_word_embeddings": False}, True),
    "t5_gated_tied": ("T5", {**_GATED, "feed_forward_proj": "gated-silu"}, False),
    "t5_unscaled": ("T5", {**_GATED, "tie_word_embeddings": False}, False),
    "mt5": ("MT5", {**_GATED, "tie_word_embeddings": False}, True),
}  # fmt: skip


def encoder_decoder(name: str, head: str = "ForConditionalGeneration", **changes: Any) -> Any:
    beginning, sizes, has_own_head = FAMILIES[name]
    config = getattr(transformers, f"{beginning}Config")(**{**sizes, **changes})
    peer = random_peer(config, beginning + head)
    if has_own_head and head == "ForConditionalGeneration":
        own = torch.randn(VOCABULARY, sizes["d_model"], generator=torch.Generator().manual_seed(7))
        peer.lm_head.weight = torch.nn.Parameter(0.3 * own)
    return peer
