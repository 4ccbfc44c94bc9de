"""A folder of a small T5 1.1, written by hand under the names of transformers, with a tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy as library
from written_llama import VOCABULARY, write_byte_tokenizer

CONFIG = {"model_type": "t5", "architectures": ["T5ForConditionalGeneration"],
          "vocab_size": VOCABULARY, "d_model": 16, "d_kv": 4, "d_ff": 24, "num_layers": 2,
          "num_decoder_layers": 1, "num_heads": 3, "feed_forward_proj": "gated-gelu",
          "tie_word_embeddings": False, "relative_attention_num_buckets": 8,
          "decoder_start_token_id": 256, "eos_token_id": 257}  # fmt: skip


def checkpoint() -> dict[str, np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {"shared.weight": (VOCABULARY, 16),
                                          "lm_head.weight": (VOCABULARY, 16)}  # fmt: skip
    for stack, count in (("encoder", 2), ("decoder", 1)):
        kinds = ["SelfAttention", "EncDecAttention"][: 1 + (stack == "decoder")]
        for index in range(count):
            for place, kind in enumerate([*kinds, "DenseReluDense"]):
                layer = f"{stack}.block.{index}.layer.{place}"
                shapes[f"{layer}.layer_norm.weight"] = (16,)
                inner = {"wi_0": (24, 16), "wi_1": (24, 16), "wo": (16, 24)}
                if kind != "DenseReluDense":
                    inner = {"q": (12, 16), "k": (12, 16), "v": (12, 16), "o": (16, 12)}
                for name, shape in inner.items():
                    shapes[f"{layer}.{kind}.{name}.weight"] = shape
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        shapes |= {bias: (8, 3), f"{stack}.final_layer_norm.weight": (16,)}
    return {name: rng.standard_normal(shape, np.float32) / 2 for name, shape in shapes.items()}


def write_t5(folder: Path, tensors: Any = None, **config: Any) -> Path:
    text = json.dumps({**CONFIG, **config})
    (folder / "config.json").write_text(text, encoding="utf-8")
    library.save_file(checkpoint() if tensors is None else tensors, folder / "model.safetensors")
    return write_byte_tokenizer(folder)
