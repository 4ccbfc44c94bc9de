"""Layers: functions with trainable parameters, on plain arrays."""

from typing import TYPE_CHECKING

from heedful import _earlier_modules
from heedful.base._mode import Mode
from heedful.base._parameter import Parameter
from heedful.base._shared_bias import SharedBias
from heedful.base.tape._tape import Tape
from heedful.functional import LinearState
from heedful.layers import steps
from heedful.layers._trainable_layer import Layer
from heedful.layers.attention._additive import AdditiveAttention
from heedful.layers.attention._feature import FeatureAttention
from heedful.layers.attention._feature_importance import FeatureImportance
from heedful.layers.attention._linear import LinearAttention
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.attention._pooling import AttentionPooling
from heedful.layers.attention._relative import RelativeAttention
from heedful.layers.attention._relative_position_bias import RelativePositionBias
from heedful.layers.attention._rotary_angles import RotaryAngles
from heedful.layers.attention.mixing._fourier import FourierMixing
from heedful.layers.attention.mixing._gating import SpatialGating
from heedful.layers.attention.mixing._tokens import TokenMixing
from heedful.layers.blocks._activations import GELU, Activation, ReLU, Sigmoid, SiLU, Softmax, Tanh
from heedful.layers.blocks._containers import Residual, Sequential
from heedful.layers.blocks._convolution import Conv1d
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._feed_forward import FeedForward
from heedful.layers.blocks._gated_feed_forward import GatedFeedForward
from heedful.layers.blocks._keras import Dense, GlobalAveragePooling1D, LayerNormalization
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm, RMSNorm
from heedful.layers.blocks._patches import PatchEmbed
from heedful.layers.blocks._pooling import Flatten, GlobalAveragePooling
from heedful.layers.blocks._positions import LearnedPositions, RotaryPositions, SinusoidalPositions
from heedful.layers.blocks.recurrent._gru import GRU
from heedful.layers.blocks.recurrent._lstm import LSTM
from heedful.layers.generation._generate import generate
from heedful.layers.generation._spans import Spans, best_spans
from heedful.layers.generation._stream import stream
from heedful.layers.models._autoencoder import Autoencoder
from heedful.layers.models._bert import BertEncoder
from heedful.layers.models._bert_config import bert_from_config
from heedful.layers.models._causal_layer import CausalLayer
from heedful.layers.models._causal_lm import CausalLM
from heedful.layers.models._decoder import Decoder
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._decoder_layer import DecoderLayer
from heedful.layers.models._encoder import Encoder, EncoderLayer
from heedful.layers.models._encoder_decoder import EncoderDecoder
from heedful.layers.models._language_model import LanguageModel
from heedful.layers.models._segment_recurrent import SegmentRecurrentLM
from heedful.layers.models._segment_recurrent_layer import SegmentRecurrentLayer
from heedful.layers.models._seq2seq_layer import Seq2SeqLayer
from heedful.layers.models._seq2seq_lm import Seq2SeqLM
from heedful.layers.models._seq2seq_stack import Seq2SeqStack
from heedful.layers.models._transformer import Transformer
from heedful.layers.models.composition._input import Input
from heedful.layers.models.composition._model import Model

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "Activation",
    "AdditiveAttention",
    "AttentionPooling",
    "Autoencoder",
    "BertEncoder",
    "CausalLM",
    "CausalLayer",
    "Conv1d",
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
    "GatedFeedForward",
    "GlobalAveragePooling",
    "GlobalAveragePooling1D",
    "Input",
    "LanguageModel",
    "Layer",
    "LayerNorm",
    "LayerNormalization",
    "LearnedPositions",
    "Linear",
    "LinearAttention",
    "LinearState",
    "Mode",
    "Model",
    "MultiHeadAttention",
    "Parameter",
    "PatchEmbed",
    "RMSNorm",
    "ReLU",
    "RelativeAttention",
    "RelativePositionBias",
    "Residual",
    "RotaryAngles",
    "RotaryPositions",
    "SegmentRecurrentLM",
    "SegmentRecurrentLayer",
    "Seq2SeqLM",
    "Seq2SeqLayer",
    "Seq2SeqStack",
    "Sequential",
    "SharedBias",
    "SiLU",
    "Sigmoid",
    "SinusoidalPositions",
    "Softmax",
    "Spans",
    "SpatialGating",
    "Tanh",
    "Tape",
    "TokenMixing",
    "Transformer",
    "bert_from_config",
    "best_spans",
    "generate",
    "steps",
    "stream",
]


_earlier_modules.register(__name__)

if not TYPE_CHECKING:  # type checkers see the names above alone

    def __getattr__(name):
        from heedful.layers._foreign_names import no_such_layer

        raise no_such_layer(name)
