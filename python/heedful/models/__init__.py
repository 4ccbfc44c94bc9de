"""Whole models of other libraries: built from their config.json, loaded from their files."""

from heedful.models._pretrained import from_config, from_pretrained
from heedful.models._text_heads import (
    MaskedLanguageModel,
    QuestionAnswering,
    SequenceClassification,
    TokenClassification,
)
from heedful.models._tokenizer import Tokenizer
from heedful.models._vision_models import ImageClassification, VisionEncoder

__all__ = [
    "ImageClassification",
    "MaskedLanguageModel",
    "QuestionAnswering",
    "SequenceClassification",
    "TokenClassification",
    "Tokenizer",
    "VisionEncoder",
    "from_config",
    "from_pretrained",
]
