"""BERT and MiniLM: the encoder, and its heads."""

from __future__ import annotations

from heedful.base._types import DType, Rng
from heedful.layers import BertEncoder
from heedful.models import _text_family as family
from heedful.models._config import Config
from heedful.models._labels import num_labels
from heedful.models._text_heads import (
    MaskedLanguageModel,
    QuestionAnswering,
    SequenceClassification,
    TokenClassification,
)

SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
         "intermediate_size")  # fmt: skip
_MASKED = "cls.predictions."
_NAMES: family.HeadNames = {
    SequenceClassification: {
        "bert.pooler.dense.": "dense.", "pooler.dense.": "dense.", "classifier.": "classifier.",
    },
    TokenClassification: {"classifier.": "classifier."},
    QuestionAnswering: {"qa_outputs.": "ends."},
    MaskedLanguageModel: {
        f"{_MASKED}transform.dense.": "dense.", f"{_MASKED}transform.LayerNorm.": "norm.",
        f"{_MASKED}decoder.": "decoder.", f"{_MASKED}bias": "decoder.bias",
    },
}  # fmt: skip


def encoder(config: Config, *, dtype: DType, rng: Rng, pooler: bool = True) -> BertEncoder:
    return family.encoder(
        config, SIZES, "attention_probs_dropout_prob", pooler=pooler, dtype=dtype, rng=rng
    )


def head_rate(config: Config) -> float:
    """Of the dropout before a classifier."""
    rate: float = config.rate("classifier_dropout", config.rate("hidden_dropout_prob", 0.1))
    return rate


def sequences(config: Config, *, dtype: DType, rng: Rng) -> SequenceClassification:
    bert = encoder(config, dtype=dtype, rng=rng, pooler=False)
    return SequenceClassification(bert, num_labels(config), head_rate(config), rng=rng)


def tokens(config: Config, *, dtype: DType, rng: Rng) -> TokenClassification:
    bert = encoder(config, dtype=dtype, rng=rng, pooler=False)
    return TokenClassification(bert, num_labels(config), head_rate(config), rng=rng)


def answers(config: Config, *, dtype: DType, rng: Rng) -> QuestionAnswering:
    return QuestionAnswering(encoder(config, dtype=dtype, rng=rng, pooler=False), rng=rng)


def masked(config: Config, *, dtype: DType, rng: Rng) -> MaskedLanguageModel:
    return MaskedLanguageModel(
        encoder(config, dtype=dtype, rng=rng, pooler=False),
        activation=config.text("hidden_act", "gelu"),
        tied=config.flag("tie_word_embeddings", True), rng=rng,
    )  # fmt: skip


ARCHITECTURES = family.architectures(
    {"bert": "Bert"}, _NAMES, encoder=encoder, sequences=sequences, tokens=tokens, answers=answers,
    masked=masked,
)  # fmt: skip
