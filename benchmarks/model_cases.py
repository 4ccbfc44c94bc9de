"""The whole models of bench_models.py, and the texts that they read."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

STEPS = 32  # of decoding after a prompt
SHORTER = (128, 113, 97, 83, 71, 59, 41, 23)
BERT = {"vocab_size": 30522, "hidden_size": 768, "num_hidden_layers": 12,
        "num_attention_heads": 12, "intermediate_size": 3072}  # fmt: skip
HALF_BILLION = {"vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864,
                "num_hidden_layers": 24, "num_attention_heads": 14, "num_key_value_heads": 2,
                "tie_word_embeddings": True}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Model:
    """A configuration, and what is computed: a batch of texts, prompts, steps after a prompt."""

    what: str
    kind: str
    head: str
    sizes: dict[str, Any]
    prompts: tuple[int, ...] = ()
    decode_after: int = 0


MODELS = (
    Model("BERT-base, 8 texts of 23 to 128 tokens", "BertConfig", "BertForSequenceClassification",
          BERT),
    Model("GPT-2 small", "GPT2Config", "GPT2LMHeadModel", {}, (512, 1024), 512),
    Model("Llama-like of 0.5 B", "Qwen2Config", "Qwen2ForCausalLM", HALF_BILLION, (256,), 256),
)  # fmt: skip


def works(case: Model) -> list[str]:
    if not case.prompts:
        return ["batch"]
    return [*(f"prompt {length}" for length in case.prompts), "decoding"]


def texts(case: Model, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and which are valid."""
    rng = np.random.default_rng(0)
    if count:
        return rng.integers(5, 900, (1, count)), np.ones((1, count), np.bool_)
    mask = np.arange(SHORTER[0]) < np.array(SHORTER)[:, None]
    return np.where(mask, rng.integers(5, 900, mask.shape), 0), mask
