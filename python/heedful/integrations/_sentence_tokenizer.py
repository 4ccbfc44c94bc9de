"""The tokenizer of a sentence model, configured as by transformers and sentence-transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from heedful._checks import named, size

# the first non-empty one applies
_SETTINGS = [
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
_OWN_CLASS = {"bert": "BertTokenizer", "distilbert": "BertTokenizer", "roberta": "RobertaTokenizer"}


def read_tokenizer(folder: Path, kind: str, max_length: int | None, longest: int) -> Any:
    """The tokenizer in a folder: it truncates texts to `max_length` tokens, or as configured.

    `kind` is the model_type of config.json; `longest` is the model's maximum number of tokens.
    """
    from tokenizers import Tokenizer

    path = folder / "tokenizer.json"
    if not path.is_file():
        raise FileNotFoundError(f"folder must have a tokenizer.json: got {str(folder)!r}")
    tokenizer = Tokenizer.from_file(str(path))
    settings = _settings(folder)
    config = dict(read_json(folder / "tokenizer_config.json") or {})
    overrides = dict(settings.get("processor_kwargs") or settings.get("tokenizer_args") or {})
    _normalize(tokenizer, {**config, **overrides}, kind)
    if settings.get("do_lower_case"):
        _lower(tokenizer)
    # the file may have other settings of truncation and padding than the model needs
    tokenizer.no_padding()
    length = _length(max_length, overrides, settings, config, longest)
    minimum = int(tokenizer.num_special_tokens_to_add(False)) + 1
    if length < minimum:
        raise ValueError(
            f"max_length must be at least {minimum}, as the model adds {minimum - 1} tokens to "
            f"each text: got {length}"
        )
    side = {**config, **overrides}.get("truncation_side", "right")
    tokenizer.enable_truncation(length, direction=side)
    return tokenizer


def read_json(path: Path) -> Any:
    """The content of a file; None if there is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None


def _settings(folder: Path) -> dict[str, Any]:
    """The content of sentence_bert_config.json or its equivalent, checked."""
    found: dict[str, Any] = next(filter(None, (read_json(folder / name) for name in _SETTINGS)), {})
    task = found.get("transformer_task") or "feature-extraction"
    output = found.get("module_output_name") or "token_embeddings"
    text = (found.get("modality_config") or {}).get("text") or {}
    vectors = text.get("method_output_name", "last_hidden_state")
    if (task, output, vectors) != ("feature-extraction", "token_embeddings", "last_hidden_state"):
        raise ValueError(
            "the encoder must return its last hidden states, one for each token: "
            f"got {task}, {output}, {vectors}"
        )
    return found


def _length(
    given: int | None, overrides: dict[str, Any], settings: dict[str, Any],
    config: dict[str, Any], longest: int,
) -> int:  # fmt: skip
    """Maximum number of tokens of a text: the first of these that is set, at most `longest`."""
    if given is not None:
        if size("max_length", given) > longest:
            raise ValueError(f"max_length must be at most {longest}, the model's: got {given}")
        return given
    candidates = [
        overrides.get("model_max_length"), settings.get("max_seq_length"),
        config.get("model_max_length"), config.get("max_len"),
    ]  # fmt: skip
    number = next((number for number in candidates if number is not None), longest)
    if isinstance(number, float) and number >= 1:
        number = int(min(number, longest))
    if isinstance(number, int) and number > longest:  # 10³⁰ means no limit
        return longest
    return size("max_seq_length", number)


def _normalize(tokenizer: Any, config: dict[str, Any], kind: str) -> None:
    """tokenizer_config.json takes precedence over tokenizer.json, as in transformers."""
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
