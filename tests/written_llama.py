"""A folder of a small Llama, written by hand under the names of transformers, with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy as library
import tokenizers

VOCABULARY = 260
CONFIG = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": VOCABULARY,
          "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4,
          "num_key_value_heads": 2, "intermediate_size": 24, "max_position_embeddings": 64,
          "tie_word_embeddings": True, "bos_token_id": 256, "eos_token_id": 257}  # fmt: skip
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


def checkpoint() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (VOCABULARY, 16),
                                          "norm.weight": (16,)}  # fmt: skip
    for layer in range(2):
        for name, shape in {
            "self_attn.q_proj": (16, 16), "self_attn.k_proj": (8, 16), "self_attn.v_proj": (8, 16),
            "self_attn.o_proj": (16, 16), "mlp.gate_proj": (24, 16), "mlp.up_proj": (24, 16),
            "mlp.down_proj": (16, 24), "input_layernorm": (16,), "post_attention_layernorm": (16,),
        }.items():  # fmt: skip
            shapes[f"layers.{layer}.{name}.weight"] = shape
    return {
        f"model.{name}": rng.standard_normal(shape, np.float32) for name, shape in shapes.items()
    }


def write_llama(folder: Path, **config: Any) -> Path:
    text = json.dumps({**CONFIG, **config})
    (folder / "config.json").write_text(text, encoding="utf-8")
    library.save_file(checkpoint(), folder / "model.safetensors")
    return write_byte_tokenizer(folder)


def write_byte_tokenizer(folder: Path) -> Path:
    """With the 256 bytes, a beginning and an end of texts."""
    bytes_ = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    made = tokenizers.Tokenizer(
        tokenizers.models.BPE({symbol: i for i, symbol in enumerate(bytes_)}, [])
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<s>", "</s>"])  # 256 and 257
    made.save(str(folder / "tokenizer.json"))
    settings = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
