"""Checkpoints of the BERT family under the names of BertEncoder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from heedful._checks import as_array
from heedful._printable import printable

_PREFIXES = ("bert.", "roberta.", "distilbert.", "model.", "0.auto_model.")
_SIMPLE = {
    "embeddings.word_embeddings.": "token_embedding.",
    "embeddings.position_embeddings.": "positions.",
    "embeddings.token_type_embeddings.": "segment_embedding.",
    "embeddings.LayerNorm.": "norm.",
    "pooler.dense.": "pooler.",
}
_IN_LAYER = {
    "attention.output.dense.": "self_attn.out_proj.",
    "attention.output.LayerNorm.": "norm1.",
    "intermediate.dense.": "linear1.",
    "output.dense.": "linear2.",
    "output.LayerNorm.": "norm2.",
    "attention.out_lin.": "self_attn.out_proj.",  # DistilBERT
    "sa_layer_norm.": "norm1.",
    "ffn.lin1.": "linear1.",
    "ffn.lin2.": "linear2.",
    "output_layer_norm.": "norm2.",
}
_PARTS = (("query", "q_lin"), ("key", "k_lin"), ("value", "v_lin"))
_PROJECTION = re.compile(r"attention\.(?:self\.)?(query|key|value|q_lin|k_lin|v_lin)\.(.*)")
_LAYER = re.compile(r"(?:encoder|transformer)\.layer\.(\d+)\.(.*)")
_IGNORED = re.compile(
    r"(cls|lm_head|classifier|qa_outputs|vocab_\w+|pre_classifier)\.|.*position_ids"
)


def from_checkpoint(state: Mapping[str, Any], pooler: bool) -> dict[str, Any]:
    """The same arrays under the names of BertEncoder; query, key and value of a layer as a tuple.

    The three are to be joined along the first axis. Nothing is read of the arrays.
    """
    found: dict[str, Any] = {}
    parts: dict[str, dict[str, Any]] = {}  # name of the whole → part → array
    for given, array in state.items():
        name = _without_prefix(given).replace(".gamma", ".weight").replace(".beta", ".bias")
        if _IGNORED.match(name) or (name.startswith("pooler.") and not pooler):
            continue
        layer = _LAYER.match(name)
        if layer is None:
            found[renamed(name, _SIMPLE)] = array
            continue
        inside = f"encoder.layers.{layer[1]}."
        projection = _PROJECTION.fullmatch(layer[2])
        if projection is None:
            found[inside + renamed(layer[2], _IN_LAYER)] = array
        else:
            whole = f"{inside}self_attn.in_proj_{projection[2]}"
            parts.setdefault(whole, {})[projection[1]] = array
    for whole, by_part in parts.items():
        ordered = [by_part.get(new, by_part.get(old)) for new, old in _PARTS]
        missing = [new for (new, _), array in zip(_PARTS, ordered, strict=True) if array is None]
        if missing:
            raise ValueError(f"state lacks the {' and '.join(missing)} of {printable(whole)}")
        found[whole] = tuple(ordered)
    return found


def joined(state: Mapping[str, Any]) -> dict[str, ArrayLike]:
    """The same with tuples of arrays joined."""
    return {
        name: np.concatenate([as_array(name, part) for part in given])
        if isinstance(given, tuple)
        else given
        for name, given in state.items()
    }


def _without_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return name[len(prefix) :]
    return name


def renamed(name: str, names: Mapping[str, str]) -> str:
    for theirs, own in names.items():
        if name.startswith(theirs):
            return own + name[len(theirs) :]
    return name
