"""Options of other libraries' attention, and what to write instead of them."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping

_LEFT_OUT = "leave it out"
_WEIGHTS = ("return_weights", "write return_weights=True")
_WINDOW = ("window", "write window=(left, right), where None is no limit")

# By the other library's name: the option that must be among those here for the hint to apply, and
# the hint where the name of that option is not enough.

# of functions and of layers
SHARED = {
    "is_causal": ("causal", "write causal=True"),
    "use_causal_mask": ("causal", "write causal=True"),
    "key_padding_mask": (
        "kv_lengths",
        "write mask=~key_padding_mask[:, None, None, :], or kv_lengths",
    ),
    "need_weights": _WEIGHTS,
    "return_attention_scores": _WEIGHTS,
    "output_attentions": _WEIGHTS,
}

_OPTIONS = {
    **SHARED,
    # PyTorch
    "attn_mask": ("mask", "write mask, where True may attend, or bias for numbers that are added"),
    "enable_gqa": ("", "leave it out, query heads share those of key and value in groups"),
    "average_attn_weights": ("return_weights", "write return_weights=True, and weights.mean(-3)"),
    "score_mod": ("bias", "write bias, or one of softcap and alibi_slopes"),
    "generator": ("rng", ""),
    # transformers
    "attention_mask": (
        "mask",
        "write mask, where True may attend; one of (B, Lk) as mask[:, None, None, :]",
    ),
    "scaling": ("scale", ""),
    "sliding_window": ("window", "write window=(sliding_window - 1, 0)"),
    "s_aux": ("sink", ""),
    "position_ids": ("positions", ""),
    "rope_theta": ("base", ""),
    "theta": ("base", ""),
    # Keras
    "training": ("dropout_p", "leave it out, dropout_p is applied wherever it is above 0"),
    "seed": ("rng", ""),
    "dropout": ("dropout_p", ""),
    # flash-attn and vLLM
    "softmax_scale": ("scale", ""),
    "window_size": _WINDOW,
    "logits_soft_cap": ("softcap", ""),
    "soft_cap": ("softcap", ""),
    "return_attn_probs": _WEIGHTS,
    "return_softmax_lse": ("return_lse", "write return_lse=True"),
    "deterministic": ("", "leave it out, the bits are the same for every number of threads"),
    "cu_seqlens": ("cu_seqlens_q", "write cu_seqlens_q and cu_seqlens_k"),
    "max_seqlen_q": ("cu_seqlens_q", _LEFT_OUT),
    "max_seqlen_k": ("cu_seqlens_q", _LEFT_OUT),
    "cache_seqlens": ("kv_lengths", ""),
    "seq_lens": ("kv_lengths", ""),
    "block_table": ("page_table", ""),
    "block_tables": ("page_table", ""),
    # xformers
    "attn_bias": ("bias", ""),
    "p": ("dropout_p", ""),
    # JAX
    "query_seq_lengths": ("q_lengths", ""),
    "key_value_seq_lengths": ("kv_lengths", ""),
    "local_window_size": _WINDOW,
    "return_residual": ("return_lse", "write return_lse=True"),
    "dropout_rng": ("rng", ""),
    "dropout_rate": ("dropout_p", ""),
    "implementation": ("", _LEFT_OUT),
    # layers, and other functions here
    "lengths": ("kv_lengths", "write kv_lengths, and q_lengths for those of the queries"),
    "num_heads": ("layout", "write heedful.multi_head_attention(query, key, value, num_heads)"),
}


def hint_for(
    given: Iterable[str], taken: Container[str], hints: Mapping[str, tuple[str, str]] = _OPTIONS
) -> str:
    """What to write instead of the first option that only other libraries have; "" for none."""
    for name in given:
        own, hint = hints.get(name, ("", ""))
        if name not in taken and (own in taken or (hint and not own)):
            return f"{name} is not supported: {hint or f'write {own}'}"
    return ""
