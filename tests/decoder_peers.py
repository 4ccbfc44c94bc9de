"""Tiny decoders of the transformers library: one configuration of each family."""

from __future__ import annotations

from typing import Any

import numpy as np
import transformers
from numpy.typing import NDArray
from saved_models import random_peer

VOCABULARY = 61
_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 20, "intermediate_size": 28, "num_hidden_layers": 3,
    "num_attention_heads": 4, "max_position_embeddings": 64, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": 2,
}  # fmt: skip
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "head_dim": 6}
_KINDS = ["sliding_attention", "full_attention", "sliding_attention"]

# name: (beginning of the classes' names, sizes)
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", {"vocab_size": VOCABULARY, "n_embd": 20, "n_layer": 3, "n_head": 4,
                      "n_positions": 64, "bos_token_id": 1, "eos_token_id": 2}),
    "gpt2_untied": ("GPT2", {"vocab_size": VOCABULARY, "n_embd": 20, "n_layer": 3, "n_head": 4,
                             "n_positions": 64, "n_inner": 28, "activation_function": "relu",
                             "tie_word_embeddings": False, "bos_token_id": 1,
                             "eos_token_id": 2}),
    "llama": ("Llama", _GROUPED),
    "llama_biased": ("Llama", {**_GROUPED, "attention_bias": True, "mlp_bias": True,
                               "tie_word_embeddings": True, "rms_norm_eps": 1e-3}),
    "mistral": ("Mistral", {**_GROUPED, "sliding_window": 4}),
    "qwen2": ("Qwen2", {**_SIZES, "hidden_size": 24, "num_key_value_heads": 4}),
    "qwen2_windows": ("Qwen2", {**_SIZES, "hidden_size": 24, "num_key_value_heads": 2,
                                "use_sliding_window": True, "sliding_window": 3,
                                "max_window_layers": 1, "tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {**_GROUPED, "rms_norm_eps": 1e-3}),
    "gemma": ("Gemma", _GROUPED),
    "gemma2": ("Gemma2", {**_GROUPED, "sliding_window": 4, "query_pre_attn_scalar": 9,
                          "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma2_kinds": ("Gemma2", {**_GROUPED, "sliding_window": 3, "layer_types": _KINDS[::-1],
                                "attn_logit_softcapping": None,
                                "final_logit_softcapping": None}),
}  # fmt: skip

RULES: dict[str, dict[str, Any]] = {
    "default": {"rope_type": "default", "rope_theta": 300.0},
    "linear": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 3.0},
    "dynamic": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.5},
    "llama3": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
               "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
    "yarn": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "beta_fast": 4.0,
             "beta_slow": 0.5, "original_max_position_embeddings": 16},
    "yarn_scaled": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0, "truncate": False,
                    "original_max_position_embeddings": 32, "mscale": 0.7, "mscale_all_dim": 1.3},
    "yarn_given": {"rope_type": "yarn", "rope_theta": 500.0, "factor": 4.0,
                   "attention_factor": 1.4, "original_max_position_embeddings": 32},
}  # fmt: skip


def decoder(name: str, **changes: Any) -> Any:
    beginning, sizes = FAMILIES[name]
    config = getattr(transformers, f"{beginning}Config")(**{**sizes, **changes})
    last = "LMHeadModel" if beginning == "GPT2" else "ForCausalLM"
    return random_peer(config, beginning + last)


def padded_batch(padding: str, length: int = 11) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Tokens (3, length), and which are valid: of the second all but 3, of the third two."""
    tokens = np.random.default_rng(3).integers(3, VOCABULARY, (3, length))
    if padding == "none":
        return tokens, None
    counts = np.array([length, length - 3, 2])[:, None]
    places = np.arange(length)
    mask = places < counts if padding == "right" else places >= length - counts
    tokens[~mask] = 0
    return tokens, mask


def positions(mask: NDArray[Any] | None) -> NDArray[Any] | None:
    """As transformers' generate counts them: valid tokens alone."""
    return None if mask is None else np.maximum(np.cumsum(mask, -1) - 1, 0)
