"""Layers: functions with parameters that learn, on plain arrays."""

from typing import TYPE_CHECKING

from heedful.layers._activations import GELU, Activation, ReLU, Sigmoid, SiLU, Softmax, Tanh
from heedful.layers._additive import AdditiveAttention
from heedful.layers._attention_pooling import AttentionPooling
from heedful.layers._autoencoder import Autoencoder
from heedful.layers._bert import BertEncoder
from heedful.layers._bert_config import bert_from_config
from heedful.layers._containers import Residual, Sequential
from heedful.layers._decoder import Decoder, DecoderCache, DecoderLayer
from heedful.layers._dropout import Dropout
from heedful.layers._embedding import Embedding
from heedful.layers._encoder import Encoder, EncoderLayer
from heedful.layers._encoder_decoder import EncoderDecoder
from heedful.layers._feature_attention import FeatureAttention
from heedful.layers._feature_importance import FeatureImportance
from heedful.layers._feed_forward import FeedForward
from heedful.layers._generate import generate
from heedful.layers._keras import Dense, GlobalAveragePooling1D, LayerNormalization
from heedful.layers._language_model import LanguageModel
from heedful.layers._layer import Layer
from heedful.layers._linear import Linear
from heedful.layers._mode import Mode
from heedful.layers._multi_head import MultiHeadAttention
from heedful.layers._norm import LayerNorm, RMSNorm
from heedful.layers._parameter import Parameter
from heedful.layers._pooling import Flatten, GlobalAveragePooling
from heedful.layers._positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from heedful.layers._relative_attention import RelativeAttention
from heedful.layers._segment_recurrent import SegmentRecurrentLayer, SegmentRecurrentLM
from heedful.layers._transformer import Transformer

__all__ = [
    "GELU",
    "Activation",
    "AdditiveAttention",
    "AttentionPooling",
    "Autoencoder",
    "BertEncoder",
    "Decoder",
    "DecoderCache",
    "DecoderLayer",
    "Dense",
    "Dropout",
    "Embedding",
    "Encoder",
    "EncoderDecoder",
    "EncoderLayer",
    "FeatureAttention",
    "FeatureImportance",
    "FeedForward",
    "Flatten",
    "GlobalAveragePooling",
    "GlobalAveragePooling1D",
    "LanguageModel",
    "Layer",
    "LayerNorm",
    "LayerNormalization",
    "LearnedPositions",
    "Linear",
    "Mode",
    "MultiHeadAttention",
    "Parameter",
    "RMSNorm",
    "ReLU",
    "RelativeAttention",
    "Residual",
    "RotaryPositions",
    "SegmentRecurrentLM",
    "SegmentRecurrentLayer",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositions",
    "Softmax",
    "Tanh",
    "Transformer",
    "bert_from_config",
    "generate",
]


if not TYPE_CHECKING:  # type checkers know the names above and no others

    def __getattr__(name):
        from heedful.layers._elsewhere import no_such_layer

        raise no_such_layer(name)
