"""A BertEncoder with the sizes of a checkpoint's config.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heedful._checks import named, one_of
from heedful.layers.models._bert import BertEncoder

_ROBERTA = ("roberta", "xlm-roberta", "camembert")
_KINDS = ("bert", "distilbert", *_ROBERTA)

# BertEncoder's name → the config's, and the default of transformers
_NAMES: dict[str, tuple[str, Any]] = {
    "vocabulary": ("vocab_size", 30522), "d_model": ("hidden_size", 768),
    "num_heads": ("num_attention_heads", 12), "num_layers": ("num_hidden_layers", 12),
    "dff": ("intermediate_size", 3072), "max_length": ("max_position_embeddings", 512),
    "segments": ("type_vocab_size", 2), "rate": ("hidden_dropout_prob", 0.1),
    "activation": ("hidden_act", "gelu"), "eps": ("layer_norm_eps", 1e-12),
}  # fmt: skip
_DISTILBERT: dict[str, tuple[str, Any]] = {
    "vocabulary": ("vocab_size", 30522), "d_model": ("dim", 768), "num_heads": ("n_heads", 12),
    "num_layers": ("n_layers", 6), "dff": ("hidden_dim", 3072),
    "max_length": ("max_position_embeddings", 512), "rate": ("dropout", 0.1),
    "activation": ("activation", "gelu"),
}  # fmt: skip
_SYNONYMS = {
    "dim": "hidden_size",
    "n_heads": "num_attention_heads",
    "n_layers": "num_hidden_layers",
}


def bert_from_config(config: Mapping[str, Any], **options: Any) -> BertEncoder:
    """A BertEncoder with the sizes of a checkpoint's config.json.

    Parameters
    ----------
    config : mapping
        With Hugging Face's names: vocab_size, hidden_size, num_attention_heads, …. Its model_type
        must be bert, distilbert, roberta, xlm-roberta or camembert; MiniLM's is bert. Absent or
        null values are the defaults of transformers for that model_type; pad_token_id, from which
        the last three count positions, is 1 then.
    **options
        Of :class:`BertEncoder`, overriding `config`.

    Raises
    ------
    ValueError
        A model of another type, or with other than learned positions.

    Examples
    --------
    >>> from heedful.layers import bert_from_config
    >>> config = {"vocab_size": 50, "hidden_size": 12, "num_hidden_layers": 2}
    >>> bert_from_config(config, num_heads=3, dff=48)([[1, 2]]).shape
    (1, 2, 12)
    """
    kind = one_of("model_type", config.get("model_type", "bert"), _KINDS)
    placed = config.get("position_embedding_type", "absolute")
    if placed != "absolute":
        raise ValueError(f"position_embedding_type must be 'absolute': got {named(placed)}")
    if config.get("is_decoder"):
        raise ValueError("is_decoder must be False: a BertEncoder is bidirectional")
    names = _DISTILBERT if kind == "distilbert" else _NAMES
    found = {own: _value(config, *theirs) for own, theirs in names.items()}
    if kind == "distilbert":
        found["segments"] = 0
    if kind in _ROBERTA:
        found["padding_idx"] = _value(config, "pad_token_id", 1)
        if kind == "roberta" and config.get("vocab_size") is None:
            found["vocabulary"] = 50265
    return BertEncoder(**{**found, **options})


def _value(config: Mapping[str, Any], name: str, default: Any) -> Any:
    for given in (name, _SYNONYMS.get(name, name)):
        if config.get(given) is not None:
            return config[given]
    return default
