"""scikit-learn estimators: attention where a Pipeline or a GridSearchCV expects an estimator.

Needs scikit-learn ≥ 1.6; SentenceEncoder also tokenizers and safetensors.
"""

try:
    from sklearn.utils.validation import validate_data  # noqa: F401 - from 1.6 on
except ImportError:
    raise ModuleNotFoundError(
        "heedful.integrations.sklearn needs scikit-learn 1.6 or newer: "
        "pip install 'scikit-learn>=1.6'",
        name="sklearn",
    ) from None

from heedful.integrations.sklearn._attention_classifier import AttentionClassifier
from heedful.integrations.sklearn._attention_regressor import AttentionRegressor
from heedful.integrations.sklearn._feature_attention import (
    FeatureAttentionClassifier,
    FeatureAttentionRegressor,
)
from heedful.integrations.sklearn._sentence_encoder import SentenceEncoder
from heedful.integrations.sklearn._transformer import TransformerClassifier, TransformerRegressor

__all__ = [
    "AttentionClassifier",
    "AttentionRegressor",
    "FeatureAttentionClassifier",
    "FeatureAttentionRegressor",
    "SentenceEncoder",
    "TransformerClassifier",
    "TransformerRegressor",
]
