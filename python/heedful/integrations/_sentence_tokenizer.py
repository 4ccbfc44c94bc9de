"""The tokenizer of a sentence model, set up as transformers and sentence-transformers do it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heedful._checks import named, size

# the first one that says anything counts
_SETTINGS = [
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
_OWN_CLASS = {"bert": "BertTokenizer", "distilbert": "BertTokenizer", "roberta": "RobertaTokenizer"}


def read_tokenizer(folder: Path, kind: str, max_length: int | None, longest: int) -> Any:
    """The tokenizer in a folder: it cuts texts at `max_length` tokens, or where the model says.

    `kind` is the model_type of config.json; `longest` is how many tokens the model can read.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"folder must have a tokenizer.json: got {str(folder)!r}")
    tokenizer = Tokenizer.from_file(str(path))
    settings = _settings(folder)
    told = dict(read_json(folder / "tokenizer_config.json") or {})
    asked = dict(settings.get("processor_kwargs") or settings.get("tokenizer_args") or {})
    _normalize(tokenizer, {**told, **asked}, kind)
    if settings.get("do_lower_case"):
        _lower(tokenizer)
    # the file may ask for other lengths, cut and filled up, whatever the model can read
    tokenizer.no_padding()
    length = _length(max_length, asked, settings, told, longest)
    least = int(tokenizer.num_special_tokens_to_add(False)) + 1
    if length < least:
        raise ValueError(
            f"max_length must be at least {least}, for the model adds {least - 1} tokens to each "
            f"text: got {length}"
        )
    side = {**told, **asked}.get("truncation_side", "right")
    tokenizer.enable_truncation(length, direction=side)
    return tokenizer


def read_json(path: Path) -> Any:
    """What a file says; None where there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _settings(folder: Path) -> dict[str, Any]:
    """Of sentence_bert_config.json or its like."""
    found: dict[str, Any] = next(filter(None, (read_json(folder / name) for name in _SETTINGS)), {})
    task = found.get("transformer_task") or "feature-extraction"
    output = found.get("module_output_name") or "token_embeddings"
    text = (found.get("modality_config") or {}).get("text") or {}
    vectors = text.get("method_output_name", "last_hidden_state")
    if (task, output, vectors) != ("feature-extraction", "token_embeddings", "last_hidden_state"):
        raise ValueError(
            "the encoder must give its last hidden states, one for each token: "
            f"got {task}, {output}, {vectors}"
        )
    return found


def _length(
    given: int | None, asked: dict[str, Any], settings: dict[str, Any], told: dict[str, Any],
    longest: int,
) -> int:  # fmt: skip
    """Tokens of a text that are read: the first of these that is said, `longest` at most."""
    if given is not None:
        if size("max_length", given) > longest:
            raise ValueError(f"max_length must be at most {longest}, the model's: got {given}")
        return given
    said = [
        asked.get("model_max_length"), settings.get("max_seq_length"),
        told.get("model_max_length"), told.get("max_len"),
    ]  # fmt: skip
    number = next((number for number in said if number is not None), longest)
    if isinstance(number, float) and number >= 1:
        number = int(min(number, longest))
    if isinstance(number, int) and number > longest:  # 10³⁰ stands for no limit
        return longest
    return size("max_seq_length", number)


def _normalize(tokenizer: Any, config: dict[str, Any], kind: str) -> None:
    """What tokenizer_config.json says, tokenizer.json does not overrule: as in transformers."""
    from tokenizers import normalizers, pre_tokenizers

    name = config.get("tokenizer_class") or _OWN_CLASS.get(kind, "")
    name = str(name).removesuffix("Fast")
    bert = isinstance(tokenizer.normalizer, normalizers.BertNormalizer)
    if bert and name in ("BertTokenizer", "DistilBertTokenizer"):
        accents = config.get("strip_accents")
        tokenizer.normalizer = normalizers.BertNormalizer(
            clean_text=True,
            handle_chinese_chars=_flag(config, "tokenize_chinese_chars", True),
            strip_accents=None if accents is None else bool(accents),
            lowercase=_flag(config, "do_lower_case", True),
        )
    byte_level = isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel)
    if byte_level and name == "RobertaTokenizer":
        space = _flag(config, "add_prefix_space", False)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=space)


def _flag(config: dict[str, Any], name: str, default: bool) -> bool:
    found = config.get(name, default)
    if not isinstance(found, bool):
        raise TypeError(f"{name} of the tokenizer must be true or false: got {named(found)}")
    return found


def _lower(tokenizer: Any) -> None:
    from tokenizers import normalizers

    before = tokenizer.normalizer
    steps = [normalizers.Lowercase()] if before is None else [normalizers.Lowercase(), before]
    tokenizer.normalizer = normalizers.Sequence(steps)
