"""Autoencoder: a sequence compressed to a code and reconstructed from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import size
from heedful.base._argument_names import argument_names
from heedful.base._mode import INFERENCE, Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import AttentionOptions, passes_on
from heedful.layers.attention._pooling import AttentionPooling
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._positions import LearnedPositions
from heedful.layers.models._decoder import Decoder
from heedful.layers.models._encoder import Encoder

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Autoencoder(Typed):
    """Reconstructs a sequence from a code of a few features.

    ::

        code = W · pool(encoder(W_in x + positions))         (B, code_size)
        y    = W_out decoder(positions, memory = W' code)     (B, L, features)

    so that the model must learn what sequences have in common.

    Parameters
    ----------
    num_features : int
        Width of a row of x.
    code_size : int
        Number of features that a sequence is reduced to.
    d_model, num_heads, num_layers, dff : int
        Of the encoder and of the decoder; dff None is 4 · d_model.
    num_queries : int, default 1
        Vectors that the encoder's result is pooled to before it becomes the code.
    max_length : int, default 512
        Maximum length of a sequence.
    rate : float, default 0
        Of dropout.
    num_kv_heads, scale, softcap, top_k, normalizer, sink
        Of attention, see :class:`MultiHeadAttention`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Autoencoder
    >>> model = Autoencoder(3, code_size=4, d_model=8, num_heads=2, num_layers=1, rng=0)
    >>> x = np.ones((5, 7, 3), np.float32)
    >>> model(x).shape, model.encode(x).shape
    ((5, 7, 3), (5, 4))
    """

    @passes_on(AttentionOptions)
    def __init__(
        self,
        num_features: int,
        code_size: int,
        d_model: int = 64,
        num_heads: int = 4,
        num_layers: int = 2,
        dff: int | None = None,
        *,
        num_queries: int = 1,
        max_length: int = 512,
        rate: float = 0.0,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dtype)
        rng = generator(rng)
        self.num_features: int = size("num_features", num_features)
        self.code_size: int = size("code_size", code_size)
        self.num_queries: int = size("num_queries", num_queries)
        shared: dict[str, Any] = {"dtype": dtype, "rng": rng}
        d_model = size("d_model", d_model)
        dff = 4 * d_model if dff is None else size("dff", dff)
        self.linear_in: Linear = Linear(num_features, d_model, **shared)
        self.positions: LearnedPositions = LearnedPositions(max_length, d_model, **shared)
        stack: dict[str, Any] = {"norm_first": True, **shared, **attention}
        self.encoder: Encoder = Encoder(num_layers, d_model, num_heads, dff, rate, **stack)
        self.pooling: AttentionPooling = AttentionPooling(
            d_model, num_queries=num_queries, **shared
        )
        self.narrow: Linear = Linear(num_queries * d_model, code_size, **shared)
        self.wide: Linear = Linear(code_size, num_queries * d_model, **shared)
        self.target_positions: LearnedPositions = LearnedPositions(max_length, d_model, **shared)
        self.decoder: Decoder = Decoder(num_layers, d_model, num_heads, dff, rate, **stack)
        self.linear_out: Linear = Linear(d_model, num_features, **shared)

    def compute(self, mode: Mode, x: Any, *, lengths: Any = None) -> tuple[Array, Backward]:
        """x (B, L, num_features) → y, of the same shape; `lengths` (B,) as in the encoder."""
        x = self.array("x", x, self.num_features)
        code, back_code = self._encode(mode, x, lengths)
        length = x.shape[-2]
        y, back_decode = self._decode(mode, code, length, lengths)
        return y, lambda dy: back_code(back_decode(dy))

    def _encode(self, mode: Mode, x: Any, lengths: Any) -> tuple[Array, Backward]:
        x = self.array("x", x, self.num_features)
        if x.ndim != 3:
            raise ValueError(f"x must have shape (B, L, {self.num_features}): got {x.shape}")
        rows, back_in = self.linear_in.compute(mode, x)
        rows, back_positions = self.positions.compute(mode, rows)
        with argument_names(kv_lengths="lengths"):
            rows, back_encoder = self.encoder.compute(mode, rows, kv_lengths=lengths)
        pooled, back_pool = self.pooling.compute(mode, rows, lengths=lengths)
        code, back_narrow = self.narrow.compute(
            mode, pooled.reshape(len(x), self.narrow.in_features)
        )

        def backward(dcode: Any) -> Any:
            dpooled = back_narrow(dcode).reshape(pooled.shape)
            return back_in(back_positions(back_encoder(back_pool(dpooled))))

        return code, backward

    def _decode(self, mode: Mode, code: Any, length: int, lengths: Any) -> tuple[Array, Backward]:
        memory, back_wide = self.wide.compute(mode, code)
        width = self.target_positions.d_model
        shape = (len(memory), self.num_queries, width)
        start = np.zeros((len(memory), length, width), self.dtype)
        rows, back_positions = self.target_positions.compute(mode, start)
        rows, back_decoder = self.decoder.compute(
            mode, rows, memory.reshape(shape), lengths=lengths, causal=False
        )
        y, back_out = self.linear_out.compute(mode, rows)

        def backward(dy: Any) -> Any:
            drows, dmemory = back_decoder(back_out(dy))
            back_positions(drows)
            return back_wide(dmemory.reshape(memory.shape))

        return y, backward

    def encode(self, x: Any, lengths: Any = None) -> Array:
        """x (B, L, num_features) → code (B, code_size)."""
        return self._encode(INFERENCE, x, lengths)[0]

    def decode(self, code: Any, length: int, lengths: Any = None) -> Array:
        """code (B, code_size) → y (B, length, num_features)."""
        code = self.array("code", code, self.code_size)
        return self._decode(INFERENCE, code, size("length", length), lengths)[0]

    def extra_repr(self) -> str:
        return f"{self.num_features}, code_size={self.code_size}"
