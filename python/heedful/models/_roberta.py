"""RoBERTa, XLM-RoBERTa and CamemBERT: the encoder of BERT with other positions and heads."""

from __future__ import annotations

from heedful.base._types import DType, Rng
from heedful.models import _bert as bert
from heedful.models import _text_family as family
from heedful.models._config import Config
from heedful.models._labels import num_labels
from heedful.models._text_heads import (
    MaskedLanguageModel,
    QuestionAnswering,
    SequenceClassification,
    TokenClassification,
)

_NAMES: family.HeadNames = {
    SequenceClassification: {
        "classifier.dense.": "dense.", "classifier.out_proj.": "classifier.",
    },
    TokenClassification: {"classifier.": "classifier."},
    QuestionAnswering: {"qa_outputs.": "ends."},
    MaskedLanguageModel: {
        "lm_head.dense.": "dense.", "lm_head.layer_norm.": "norm.",
        "lm_head.decoder.": "decoder.", "lm_head.bias": "decoder.bias",
    },
}  # fmt: skip


def sequences(config: Config, *, dtype: DType, rng: Rng) -> SequenceClassification:
    rate = bert.head_rate(config)
    return SequenceClassification(
        bert.encoder(config, dtype=dtype, rng=rng, pooler=False), num_labels(config), rate,
        dense_rate=rate, rng=rng,
    )  # fmt: skip


def masked(config: Config, *, dtype: DType, rng: Rng) -> MaskedLanguageModel:
    return MaskedLanguageModel(
        bert.encoder(config, dtype=dtype, rng=rng, pooler=False),
        tied=config.flag("tie_word_embeddings", True), rng=rng,
    )  # fmt: skip


ARCHITECTURES = family.architectures(
    {"roberta": "Roberta", "xlm-roberta": "XLMRoberta", "camembert": "Camembert"}, _NAMES,
    encoder=bert.encoder, sequences=sequences, tokens=bert.tokens, answers=bert.answers,
    masked=masked,
)  # fmt: skip
