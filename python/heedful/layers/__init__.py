"""Layers: functions with trainable parameters, on plain arrays."""

from typing import TYPE_CHECKING

from heedful import _earlier_modules
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.functional import LinearState
from heedful.layers._trainable_layer import Layer
from heedful.layers.attention._additive import AdditiveAttention
from heedful.layers.attention._feature import FeatureAttention
from heedful.layers.attention._feature_importance import FeatureImportance
from heedful.layers.attention._linear import LinearAttention
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.attention._pooling import AttentionPooling
from heedful.layers.attention._relative import RelativeAttention
from heedful.layers.blocks._activations import GELU, Activation, ReLU, Sigmoid, SiLU, Softmax, Tanh
from heedful.layers.blocks._containers import Residual, Sequential
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._feed_forward import FeedForward
from heedful.layers.blocks._keras import Dense, GlobalAveragePooling1D, LayerNormalization
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm, RMSNorm
from heedful.layers.blocks._pooling import Flatten, GlobalAveragePooling
from heedful.layers.blocks._positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from heedful.layers.generation._generate import generate
from heedful.layers.mixing._fourier import FourierMixing
from heedful.layers.mixing._gating import SpatialGating
from heedful.layers.mixing._tokens import TokenMixing
from heedful.layers.models._autoencoder import Autoencoder
from heedful.layers.models._bert import BertEncoder
from heedful.layers.models._bert_config import bert_from_config
from heedful.layers.models._decoder import Decoder
from heedful.layers.models._decoder_layer import DecoderCache, DecoderLayer
from heedful.layers.models._encoder import Encoder, EncoderLayer
from heedful.layers.models._encoder_decoder import EncoderDecoder
from heedful.layers.models._language_model import LanguageModel
from heedful.layers.models._segment_recurrent import SegmentRecurrentLM
from heedful.layers.models._segment_recurrent_layer import SegmentRecurrentLayer
from heedful.layers.models._transformer import Transformer

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
    "FourierMixing",
    "GlobalAveragePooling",
    "GlobalAveragePooling1D",
    "LanguageModel",
    "Layer",
    "LayerNorm",
    "LayerNormalization",
    "LearnedPositions",
    "Linear",
    "LinearAttention",
    "LinearState",
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
    "SpatialGating",
    "Tanh",
    "TokenMixing",
    "Transformer",
    "bert_from_config",
    "generate",
]


_earlier_modules.register(__name__)

if not TYPE_CHECKING:  # type checkers see the names above alone

    def __getattr__(name):
        from heedful.layers._foreign_names import no_such_layer

        raise no_such_layer(name)
