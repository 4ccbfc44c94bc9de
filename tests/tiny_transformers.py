"""Small models of the transformers library with random weights, two layers each."""

from __future__ import annotations

from typing import Any

import torch
import transformers

VOCABULARY = 61
_SIZES = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 128, "pad_token_id": 0, "bos_token_id": 1,
    "eos_token_id": None,
}  # fmt: skip
_GROUPED = {**_SIZES, "num_key_value_heads": 2, "head_dim": 8}
_WINDOWED = {**_GROUPED, "sliding_window": 5,
             "layer_types": ["sliding_attention", "full_attention"]}  # fmt: skip
_TWO_SIDED = {
    "vocab_size": VOCABULARY, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": None,
    "decoder_start_token_id": 1, "forced_eos_token_id": None,
}  # fmt: skip
_MLA = {
    **_SIZES, "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "v_head_dim": 8,
    "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "first_k_dense_replace": 1,
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1,
    "moe_intermediate_size": 16, "n_shared_experts": 1,
}  # fmt: skip
_PICTURES = {"image_size": 24, "patch_size": 6, "hidden_size": 32, "intermediate_size": 48,
             "num_hidden_layers": 2, "num_attention_heads": 4}  # fmt: skip

# name: (class of its configuration, class of the model, sizes)
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("BertConfig", "BertModel", _SIZES),
    "roberta": ("RobertaConfig", "RobertaModel", _SIZES),
    "modernbert": ("ModernBertConfig", "ModernBertModel",
                   {**_SIZES, "local_attention": 6, "cls_token_id": 1, "sep_token_id": 1,
                    "global_attn_every_n_layers": 2}),
    "vit": ("ViTConfig", "ViTModel", _PICTURES),
    "clip": ("CLIPTextConfig", "CLIPTextModel", {**_SIZES, "eos_token_id": 2}),
    "gpt2": ("GPT2Config", "GPT2LMHeadModel",
             {"vocab_size": VOCABULARY, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128,
              "bos_token_id": 1, "eos_token_id": None, "pad_token_id": 0}),
    "llama": ("LlamaConfig", "LlamaForCausalLM", _GROUPED),
    "mistral": ("MistralConfig", "MistralForCausalLM", {**_GROUPED, "sliding_window": 5}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", _GROUPED),
    "gemma2": ("Gemma2Config", "Gemma2ForCausalLM",
               {**_WINDOWED, "attn_logit_softcapping": 2.0, "query_pre_attn_scalar": 8}),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", {**_WINDOWED, "query_pre_attn_scalar": 8}),
    "gpt_oss": ("GptOssConfig", "GptOssForCausalLM",
                {**_WINDOWED, "num_local_experts": 2, "num_experts_per_tok": 1,
                 "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "phi3": ("Phi3Config", "Phi3ForCausalLM", {**_SIZES, "num_key_value_heads": 2}),
    "deepseek_v3": ("DeepseekV3Config", "DeepseekV3ForCausalLM", _MLA),
    "t5": ("T5Config", "T5ForConditionalGeneration",
           {"vocab_size": VOCABULARY, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2,
            "num_heads": 4, "decoder_start_token_id": 1, "pad_token_id": 0, "eos_token_id": None}),
    "bart": ("BartConfig", "BartForConditionalGeneration", _TWO_SIDED),
    "whisper": ("WhisperConfig", "WhisperForConditionalGeneration",
                {**_TWO_SIDED, "num_mel_bins": 8, "max_source_positions": 20,
                 "max_target_positions": 64, "suppress_tokens": None,
                 "begin_suppress_tokens": None}),
}  # fmt: skip
GENERATING = ("gpt2", "llama", "mistral", "qwen3", "gemma2", "gemma3", "gpt_oss", "phi3",
              "deepseek_v3", "t5", "bart", "whisper")  # fmt: skip
PADDED = tuple(name for name in MODELS if name not in ("vit", "whisper"))


def made(name: str, **sizes: Any) -> Any:
    """The model in evaluation, computed by "eager", its matrices drawn so that attention is sharp.

    As the library draws them, scores are about 0, and a wrong mask changes little.
    """
    configuration, model, given = MODELS[name]
    torch.manual_seed(0)
    config = getattr(transformers, configuration)(**{**given, **sizes})
    found = getattr(transformers, model)._from_config(config, attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in found.parameters():
            if parameter.dim() >= 2:
                parameter.normal_(std=1.5 * parameter.shape[-1] ** -0.5)
    return found


def inputs(name: str, padding: str | None = None, length: int = 11) -> dict[str, Any]:
    """Two items; with padding the second has three tokens less, on the "left" or "right"."""
    generator = torch.Generator().manual_seed(1)
    if name == "vit":
        return {"pixel_values": torch.randn(2, 3, 24, 24, generator=generator)}
    if name == "whisper":
        return {"input_features": torch.randn(2, 8, 40, generator=generator)}
    tokens = torch.randint(3, VOCABULARY, (2, length), generator=generator)
    found = {"input_ids": tokens}
    if padding is not None:
        seen = torch.ones_like(tokens)
        hidden = slice(0, 3) if padding == "left" else slice(length - 3, length)
        seen[1, hidden], tokens[1, hidden] = 0, 0
        found["attention_mask"] = seen
    return found


def decoder_inputs(name: str) -> dict[str, Any]:
    """What a model of two sides gets besides."""
    if name not in ("t5", "bart", "whisper"):
        return {}
    generator = torch.Generator().manual_seed(2)
    return {"decoder_input_ids": torch.randint(3, VOCABULARY, (2, 7), generator=generator)}
