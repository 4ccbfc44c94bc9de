"""DistilBERT: the encoder of BERT without segments and pooler, and its heads."""

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

_SIZES = ("vocab_size", "dim", "n_layers", "n_heads", "hidden_dim")
_NAMES: family.HeadNames = {
    SequenceClassification: {"pre_classifier.": "dense.", "classifier.": "classifier."},
    TokenClassification: {"classifier.": "classifier."},
    QuestionAnswering: {"qa_outputs.": "ends."},
    MaskedLanguageModel: {
        "vocab_transform.": "dense.", "vocab_layer_norm.": "norm.", "vocab_projector.": "decoder.",
    },
}  # fmt: skip


def encoder(config: Config, *, dtype: DType, rng: Rng) -> BertEncoder:
    return family.encoder(config, _SIZES, "attention_dropout", pooler=False, dtype=dtype, rng=rng)


def sequences(config: Config, *, dtype: DType, rng: Rng) -> SequenceClassification:
    return SequenceClassification(
        encoder(config, dtype=dtype, rng=rng), num_labels(config),
        config.rate("seq_classif_dropout", 0.2), activation="relu", rng=rng,
    )  # fmt: skip


def tokens(config: Config, *, dtype: DType, rng: Rng) -> TokenClassification:
    return TokenClassification(
        encoder(config, dtype=dtype, rng=rng), num_labels(config),
        config.rate("dropout", 0.1), rng=rng,
    )  # fmt: skip


def answers(config: Config, *, dtype: DType, rng: Rng) -> QuestionAnswering:
    rate = config.rate("qa_dropout", 0.1)
    return QuestionAnswering(encoder(config, dtype=dtype, rng=rng), rate, rng=rng)


def masked(config: Config, *, dtype: DType, rng: Rng) -> MaskedLanguageModel:
    return MaskedLanguageModel(
        encoder(config, dtype=dtype, rng=rng), activation=config.text("activation", "gelu"),
        eps=1e-12, tied=config.flag("tie_word_embeddings", True), rng=rng,
    )  # fmt: skip


ARCHITECTURES = family.architectures(
    {"distilbert": "DistilBert"}, _NAMES, encoder=encoder, sequences=sequences, tokens=tokens,
    answers=answers, masked=masked,
)  # fmt: skip
