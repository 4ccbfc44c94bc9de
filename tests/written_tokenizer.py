"""A tokenizer with a small vocabulary, written to the folder of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers

WORDS = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", "the", "cat", "sat", "on", "mat", "."]
SPECIAL = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]",
           "mask_token": {"content": "[MASK]", "lstrip": False}}  # fmt: skip


def write_tokenizer(folder: Path, settings: dict[str, Any] | None = None) -> Path:
    """A folder with a tokenizer that splits at spaces, in the manner of BERT."""
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0", pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )  # fmt: skip
    made.enable_padding(length=20)  # of the file, which calls do not follow
    made.enable_truncation(3)
    made.save(str(folder / "tokenizer.json"))
    text = json.dumps({**SPECIAL, **(settings or {})})
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return folder
