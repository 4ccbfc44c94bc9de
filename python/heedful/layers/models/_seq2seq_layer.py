"""Seq2SeqLayer: one layer of an encoder-decoder whose positions are a bias of the scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, named, probability
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers._typed import Typed
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._feed_forward import FeedForward
from heedful.layers.blocks._gated_feed_forward import GatedFeedForward
from heedful.layers.blocks._initial import scaled
from heedful.layers.blocks._norm import RMSNorm
from heedful.layers.blocks._sublayer import sublayer
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._decoder_sublayers import decoder_sublayers, to_memory


class Seq2SeqLayer(Typed):
    """Self-attention, in a decoder attention to a memory, and feed-forward.

    ::

        x ← x + dropout(f(norm(x)))        f = self-attention, attention to memory, feed-forward

    The scores of both attentions are q[i] · k[j], without a scale, and of the self-attention
    q[i] · k[j] + bias[i, j] with the bias of the call.

    Parameters
    ----------
    d_model, num_heads, dff : int
    head_dim : int, optional
        Width of a head; None is d_model / num_heads.
    rate : float, default 0
        Of dropout: of attention weights, in the feed-forward block and after each of the three.
    eps : float, default 1e-6
        Of the norms.
    activation : str, default "relu"
        See :class:`Linear`.
    gated : bool, default False
        :class:`GatedFeedForward` or :class:`FeedForward`.
    decoder : bool, default False
        Whether self-attention is causal, and there is attention to a memory.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    self_attn : MultiHeadAttention
    multihead_attn : MultiHeadAttention or None
        To the memory.
    feed_forward : FeedForward or GatedFeedForward
    norm1, norm2, norm3 : RMSNorm
        Before each of the three; norm2 is None in an encoder. No layer has a bias of its own.

    Notes
    -----
    The layer of T5, Raffel et al. 2020, https://arxiv.org/abs/1910.10683. As there, the initial
    weights of queries are smaller by √head_dim than those of keys, in place of the scale.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Seq2SeqLayer
    >>> Seq2SeqLayer(8, 2, 24, decoder=True, rng=0)(np.ones((3, 5, 8)), np.ones((3, 7, 8))).shape
    (3, 5, 8)
    """

    gradient_options: tuple[str, ...] = ("bias",)
    decoder: bool
    self_attn: MultiHeadAttention
    multihead_attn: MultiHeadAttention | None
    feed_forward: FeedForward | GatedFeedForward
    norm1: RMSNorm
    norm2: RMSNorm | None
    norm3: RMSNorm
    dropout: Dropout

    def __init__(
        self, d_model: int, num_heads: int, dff: int, *, head_dim: int | None = None,
        rate: float = 0.0, eps: float = 1e-6, activation: str = "relu", gated: bool = False,
        decoder: bool = False, dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng, rate = generator(rng), probability("rate", rate)
        self.decoder = flag("decoder", decoder)

        def attention(causal: bool) -> MultiHeadAttention:
            made = MultiHeadAttention(
                d_model, num_heads, head_dim=head_dim, dropout=rate, bias=False, causal=causal,
                scale=1.0, dtype=dtype, rng=rng,
            )  # fmt: skip
            scaled(made.in_proj_weight[: made.num_heads * made.depth], made.depth**-0.5)
            return made

        self.self_attn = attention(self.decoder)
        self.multihead_attn = attention(False) if decoder else None
        kind = GatedFeedForward if flag("gated", gated) else FeedForward
        self.feed_forward = kind(
            d_model, dff, rate, activation=activation, bias=False, dtype=dtype, rng=rng
        )
        self.norm1 = RMSNorm(d_model, eps, dtype=dtype)
        self.norm2 = RMSNorm(d_model, eps, dtype=dtype) if decoder else None
        self.norm3 = RMSNorm(d_model, eps, dtype=dtype)
        self.dropout = Dropout(rate, dtype=dtype)

    def compute(
        self, mode: Mode, x: Any, memory: Any = None, *, bias: Any = None, mask: Any = None,
        lengths: Any = None, memory_mask: Any = None, memory_lengths: Any = None,
        cache: Any = None,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """x (…, L, E) → y, of the same shape; with a memory (…, M, E) backward is (dx, dmemory).

        Parameters
        ----------
        memory : array_like
            Of a decoder.
        bias : array_like or SharedBias, optional
            Of the self-attention, see ``MultiHeadAttention.compute``.
        mask, lengths
            Which positions of x a position of x may attend to; a mask is as in
            :class:`MultiHeadAttention`, lengths (…) are the numbers of valid positions, the first
            ones.
        memory_mask, memory_lengths
            Which positions of memory it may attend to, likewise.
        cache : DecoderCache, optional
            Of a decoder, see ``MultiHeadAttention.compute``.
        """
        x = self.array("x", x, self.self_attn.d_model)
        if (memory is None) == self.decoder:
            wanted = "given to a decoder's layer" if self.decoder else "None in an encoder's layer"
            raise ValueError(f"memory must be {wanted}: got {named(memory)}")
        if cache is not None and not (self.decoder and isinstance(cache, DecoderCache)):
            wanted = "a DecoderCache" if self.decoder else "None in an encoder's layer"
            raise TypeError(f"cache must be {wanted}: got {named(cache)}")
        own: Any = None if cache is None else cache.own
        attend_to_memory = to_memory(
            mode, self.multihead_attn, memory, memory_mask, memory_lengths, cache
        )

        def attend(x: Array, residual: Array | None) -> tuple[Any, Backward]:
            with argument_names(query="x", kv_lengths="lengths"):
                return self.self_attn.compute(
                    mode, x, bias=bias, mask=mask, kv_lengths=lengths, cache=own, residual=residual
                )

        def feed(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            return self.feed_forward.compute(mode, x, residual)

        if self.norm2 is not None:
            return decoder_sublayers(
                mode, x, (self.norm1, self.norm2, self.norm3), self.dropout, True, attend,
                attend_to_memory, feed,
            )  # fmt: skip
        x, back_self = sublayer(mode, x, self.norm1, self.dropout, True, attend)
        x, back_feed = sublayer(mode, x, self.norm3, self.dropout, True, feed)
        return x, lambda dy: back_self(back_feed(dy))

    def new_cache(self, capacity: int | None = None) -> DecoderCache:
        """Empty caches of a decoder's layer."""
        return DecoderCache(KVCache(capacity), KVCache())

    def extra_repr(self) -> str:
        return "decoder=True" if self.decoder else ""
