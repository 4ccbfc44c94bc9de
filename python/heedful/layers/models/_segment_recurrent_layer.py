"""SegmentRecurrentLayer: attention to memory and segment, and feed-forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, probability, size
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import NoiseOptions, passes_on
from heedful.layers.attention._relative import RelativeAttention
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._feed_forward import feed_forward
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._sublayer import sublayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class SegmentRecurrentLayer(Typed):
    """Relative attention to memory and segment, and feed-forward; see :class:`EncoderLayer`.

    Parameters
    ----------
    d_model, num_heads, dff : int
    rate : float
        Of dropout.
    norm_first : bool, default True
    activation : str, default "gelu"
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of its attention, see :class:`MultiHeadAttention`.

    Notes
    -----
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.
    """

    @passes_on(NoiseOptions)
    def __init__(
        self, d_model: int, num_heads: int, dff: int, rate: float, *, norm_first: bool = True,
        activation: str = "gelu", dtype: DTypeLike = np.float32, rng: Rng = None,
        **attention: Unpack[NoiseOptions],
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng, dff, rate = generator(rng), size("dff", dff), probability("rate", rate)
        self.norm_first: bool = flag("norm_first", norm_first)
        self.self_attn: RelativeAttention = RelativeAttention(
            d_model, num_heads, rate, dtype=dtype, rng=rng, **attention
        )
        self.linear1: Linear = Linear(d_model, dff, activation=activation, dtype=dtype, rng=rng)
        self.linear2: Linear = Linear(dff, d_model, dtype=dtype, rng=rng)
        self.norm1: LayerNorm = LayerNorm(d_model, dtype=dtype)
        self.norm2: LayerNorm = LayerNorm(d_model, dtype=dtype)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)

    def compute(
        self, mode: Mode, x: Any, memory: Any = None, memory_lengths: Any = None
    ) -> tuple[Array, Backward]:
        """x (B, L, E), memory (B, M, E) → y (B, L, E), as in :class:`RelativeAttention`, but
        without a gradient of memory.
        """
        x = self.array("x", x, self.self_attn.d_model)
        first = self.norm_first
        back_memory: Backward | None = None
        if first and memory is not None:  # normalised as x is
            memory = self.array("memory", memory, self.self_attn.d_model)
            memory, back_memory = self.norm1.compute(mode, memory)

        def attend(x: Array, residual: Array | None) -> tuple[Any, Backward]:
            return self.self_attn.compute(mode, x, memory, memory_lengths, residual)

        def feed(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            return feed_forward(mode, self.linear1, self.dropout, self.linear2, x, residual)

        x, back_attend = sublayer(mode, x, self.norm1, self.dropout, first, attend)
        x, back_feed = sublayer(mode, x, self.norm2, self.dropout, first, feed)

        def backward(dy: Any) -> Any:
            dx = back_attend(back_feed(dy))
            if memory is None:
                return dx
            if back_memory is not None:  # for the norm's own gradient
                back_memory(dx[1])
            return dx[0]

        return x, backward
