"""Layers: functions with parameters that learn, on plain arrays."""

from heedful.layers._activations import GELU, Activation, ReLU, Sigmoid, SiLU, Softmax, Tanh
from heedful.layers._containers import Residual, Sequential
from heedful.layers._decoder import Decoder, DecoderCache, DecoderLayer
from heedful.layers._dropout import Dropout
from heedful.layers._embedding import Embedding
from heedful.layers._encoder import Encoder, EncoderLayer
from heedful.layers._feed_forward import FeedForward
from heedful.layers._layer import Layer
from heedful.layers._linear import Linear
from heedful.layers._mode import Mode
from heedful.layers._multi_head import MultiHeadAttention
from heedful.layers._norm import LayerNorm, RMSNorm
from heedful.layers._parameter import Parameter
from heedful.layers._pooling import Flatten, GlobalAveragePooling
from heedful.layers._positions import LearnedPositions, RotaryPositions, SinusoidalPositions
