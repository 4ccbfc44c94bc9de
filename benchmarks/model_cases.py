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


T5_BASE = {"d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_heads": 12,
           "vocab_size": 32128, "decoder_start_token_id": 0}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Model:
    """A configuration, and what is computed: a batch of texts, prompts, steps after a prompt.

    Of an encoder-decoder `reads` are the tokens of a text: a target of as many, and steps after it.
    """

    what: str
    kind: str
    head: str
    sizes: dict[str, Any]
    prompts: tuple[int, ...] = ()
    decode_after: int = 0
    reads: int = 0


MODELS = {
    "bert-base": Model("BERT-base, 8 texts of 23 to 128 tokens", "BertConfig",
                       "BertForSequenceClassification", BERT),
    "gpt2": Model("GPT-2 small", "GPT2Config", "GPT2LMHeadModel", {}, (512, 1024), 512),
    "t5-base": Model("T5-base", "T5Config", "T5ForConditionalGeneration", T5_BASE, reads=256),
    "half-billion": Model("Llama-like of 0.5 B", "Qwen2Config", "Qwen2ForCausalLM", HALF_BILLION,
                          (256,), 256),
}  # fmt: skip


def works(case: Model) -> list[str]:
    if case.reads:
        return ["text and target", "decoding"]
    if not case.prompts:
        return ["batch"]
    return [*(f"prompt {length}" for length in case.prompts), "decoding"]


def parts(case: Model) -> dict[str, list[str]]:
    """What is measured at once, each in a few minutes: all but decoding, and decoding."""
    before = [what for what in works(case) if what != "decoding"]
    decodes = len(before) < len(works(case))
    return {"prompts": before, "decoding": ["decoding"]} if decodes else {"batch": before}


def texts(case: Model, count: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Tokens and which are valid."""
    rng = np.random.default_rng(0)
    if count:
        return rng.integers(5, 900, (1, count)), np.ones((1, count), np.bool_)
    mask = np.arange(SHORTER[0]) < np.array(SHORTER)[:, None]
    return np.where(mask, rng.integers(5, 900, mask.shape), 0), mask


def text_and_target(case: Model) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that the encoder reads, and as many for the decoder, the start first."""
    rng = np.random.default_rng(0)
    target = rng.integers(5, 900, (1, case.reads))
    target[:, 0] = case.sizes["decoder_start_token_id"]
    return rng.integers(5, 900, (1, case.reads)), target
