"""DecoderLayer: self-attention, attention to a memory, and feed-forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, named, probability, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.functional._shapes import broadcast
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import OF_POSITIONS, PositionedOptions, passes_on
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._feed_forward import feed_forward
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._decoder_sublayers import decoder_sublayers, to_memory
from heedful.layers.models._mixers import ACROSS, make_mixer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class DecoderLayer(Typed):
    """Causal self-attention, cross-attention to a memory, and feed-forward.

    Parameters
    ----------
    d_model, num_heads : int
    dff : int, default 2048
        Width inside the feed-forward block.
    rate : float, default 0.1
        Of dropout, as in :class:`EncoderLayer`.
    activation, norm_first, eps, bias
        As in :class:`EncoderLayer`.
    num_kv_heads, scale, softcap, top_k, normalizer, qk_norm, logit_scale, sink
        Of both attentions, see :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    rotary, alibi, adaptive_span, span_ramp, span_penalty
        Of the self-attention, as positions of memory and x are unrelated.
    mixer : {"attention", "linear"}
        What both attentions are: :class:`MultiHeadAttention` or :class:`LinearAttention`, which has
        none of scale, softcap, qk_norm, logit_scale, sink, rotary and alibi.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Named ``nn.TransformerDecoderLayer`` in
    PyTorch, with the same parameters; there a causal mask must be given, here it is the default.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import DecoderLayer
    >>> layer = DecoderLayer(8, 2, dff=32, rng=0)
    >>> layer(np.ones((3, 5, 8)), np.ones((3, 7, 8)), memory_lengths=[7, 4, 2]).shape
    (3, 5, 8)
    """

    @passes_on(PositionedOptions)
    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dff: int = 2048,
        rate: float = 0.1,
        *,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
        bias: bool = True,
        mixer: str = "attention",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[PositionedOptions],
    ) -> None:
        super().__init__(dtype)
        rng, dff, rate = generator(rng), size("dff", dff), probability("rate", rate)
        self.norm_first: bool = flag("norm_first", norm_first)
        shared: dict[str, Any] = {
            "dropout": rate, "bias": bias, "dtype": self.dtype, "rng": rng, "known": ACROSS,
        }  # fmt: skip
        self.self_attn: Typed = make_mixer(
            mixer, d_model, num_heads, causal=True, **shared, **attention
        )
        across: dict[str, Any] = {
            name: one for name, one in attention.items() if name not in OF_POSITIONS
        }
        self.multihead_attn: Typed = make_mixer(mixer, d_model, num_heads, **shared, **across)
        self.linear1: Linear = Linear(
            d_model, dff, bias, activation=activation, dtype=dtype, rng=rng
        )
        self.linear2: Linear = Linear(dff, d_model, bias, dtype=dtype, rng=rng)
        self.norm1: LayerNorm = LayerNorm(d_model, eps, bias, dtype=dtype)
        self.norm2: LayerNorm = LayerNorm(d_model, eps, bias, dtype=dtype)
        self.norm3: LayerNorm = LayerNorm(d_model, eps, bias, dtype=dtype)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)

    def compute(
        self,
        mode: Mode,
        x: Any,
        memory: Any,
        *,
        mask: Any = None,
        lengths: Any = None,
        causal: bool = True,
        memory_mask: Any = None,
        memory_lengths: Any = None,
        cache: DecoderCache | None = None,
    ) -> tuple[Array, Backward]:
        """x (…, L, E), memory (…, M, E) → y (…, L, E); backward returns (dx, dmemory).

        Parameters
        ----------
        mask, lengths, causal
            Which positions of x a position of x may attend to; a mask is as in
            :class:`MultiHeadAttention`, lengths (…) are the numbers of valid positions, the first
            ones.
        memory_mask, memory_lengths
            Which positions of memory it may attend to, likewise.
        cache : DecoderCache, optional
            See ``MultiHeadAttention.compute``.
        """
        width = self.self_attn.d_model
        x, memory = self.array("x", x, width), self.array("memory", memory, width)
        _check_batches(x.shape[:-2], memory.shape[:-2])
        if cache is not None and not isinstance(cache, DecoderCache):
            raise TypeError(f"cache must be a DecoderCache: got {named(cache)}")
        own = None if cache is None else cache.own
        attend_to_memory = to_memory(
            mode, self.multihead_attn, memory, memory_mask, memory_lengths, cache
        )

        def attend(x: Array, residual: Array | None) -> tuple[Any, Backward]:
            with argument_names(query="x", kv_lengths="lengths"):
                return self.self_attn.compute(
                    mode, x, mask=mask, kv_lengths=lengths, causal=causal, cache=own,
                    residual=residual,
                )  # fmt: skip

        def feed(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            return feed_forward(mode, self.linear1, self.dropout, self.linear2, x, residual)

        return decoder_sublayers(
            mode, x, (self.norm1, self.norm2, self.norm3), self.dropout, self.norm_first, attend,
            attend_to_memory, feed,
        )  # fmt: skip

    def new_cache(self, capacity: int | None = None) -> DecoderCache:
        """Empty caches of the kinds that the two attentions read."""
        # a user's layers may lack them
        own, memory = (
            getattr(layer, "new_cache", KVCache) for layer in (self.self_attn, self.multihead_attn)
        )
        return DecoderCache(own(capacity), memory())

    def extra_repr(self) -> str:
        return "norm_first=True" if self.norm_first else ""


def _check_batches(x: tuple[int, ...], memory: tuple[int, ...]) -> None:
    """Require one memory for each sequence, or one for all."""
    if broadcast(x, memory) != x:
        raise ValueError(f"memory and x must have the same leading axes: {memory} and {x}")
