"""CausalLayer: one layer of a decoder-only Transformer, with the options of today's models."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import finite, flag, one_of, probability, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._taps import taps_of
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache, SinksAndWindow
from heedful.layers._typed import Typed
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.attention._rotary_angles import RotaryAngles
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._feed_forward import FeedForward
from heedful.layers.blocks._gated_feed_forward import GatedFeedForward
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm, RMSNorm
from heedful.layers.blocks._sublayer import sublayer


class CausalLayer(Typed):
    """Causal self-attention and feed-forward, each after a norm and added to its input.

    ::

        x ← x + dropout(post_norm(f(norm(x))))        f = attention, then feed-forward

    Parameters
    ----------
    d_model, num_heads, dff : int
    num_kv_heads, head_dim : int, optional
        See :class:`MultiHeadAttention`.
    rate : float, default 0
        Of dropout: of attention weights, in the feed-forward block and after each of the two.
    norm : {"rms", "layer"}
        :class:`RMSNorm` or :class:`LayerNorm`.
    eps : float, default 1e-6
        Of the norms, also of those of queries and keys.
    norm_offset : float, default 0
        See `offset` of :class:`RMSNorm`.
    post_norms : bool, default False
        Whether the results of attention and feed-forward are normalised, too, before they are
        added.
    activation : str, default "silu"
        See :class:`Linear`.
    gated : bool, default True
        :class:`GatedFeedForward` or :class:`FeedForward`.
    bias : bool, default False
        Of the products of the feed-forward block and of the norm "layer".
    attention_bias : bool or {"qkv"}, optional
        Of the attention's products; "qkv" of queries, keys and values alone. None is `bias`.
    rotary : bool, float or RotaryAngles, default True
        See :class:`MultiHeadAttention`.
    qk_norm, scale, softcap
        See :class:`MultiHeadAttention`.
    window : int, optional
        How many tokens a token attends to, itself included; None is all before it.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    self_attn : MultiHeadAttention
    feed_forward : GatedFeedForward or FeedForward
    norm1, norm2, post_norm1, post_norm2 : RMSNorm or LayerNorm
        Before attention and feed-forward, and after them, with `post_norms`.

    Notes
    -----
    The layer of GPT-2 (Radford et al. 2019), Llama (Touvron et al. 2023,
    https://arxiv.org/abs/2302.13971), Mistral, Qwen and Gemma 2 (https://arxiv.org/abs/2408.00118).
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import CausalLayer
    >>> CausalLayer(8, 2, 24, num_kv_heads=1, rng=0)(np.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    norm1: RMSNorm | LayerNorm
    norm2: RMSNorm | LayerNorm
    post_norm1: RMSNorm | LayerNorm | None
    post_norm2: RMSNorm | LayerNorm | None

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        dff: int,
        *,
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
        rate: float = 0.0,
        norm: str = "rms",
        eps: float = 1e-6,
        norm_offset: float = 0.0,
        post_norms: bool = False,
        activation: str = "silu",
        gated: bool = True,
        bias: bool = False,
        attention_bias: bool | str | None = None,
        rotary: bool | float | RotaryAngles = True,
        qk_norm: str | None = None,
        scale: float | None = None,
        softcap: float | None = None,
        window: int | None = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        rng, rate = generator(rng), probability("rate", rate)
        only_inputs = attention_bias == "qkv"
        own_bias = flag("bias", bias) if attention_bias is None else attention_bias
        own_bias = True if only_inputs else flag("attention_bias", own_bias)
        self.window: tuple[int, int] | None = (
            None if window is None else (size("window", window) - 1, 0)
        )
        self.self_attn: MultiHeadAttention = MultiHeadAttention(
            d_model, num_heads, num_kv_heads=num_kv_heads, head_dim=head_dim, dropout=rate,
            bias=own_bias, causal=True, rotary=rotary, scale=scale, softcap=softcap,
            qk_norm=qk_norm, dtype=dtype, rng=rng,
        )  # fmt: skip
        if only_inputs:
            width = self.self_attn.out_proj.in_features
            self.self_attn.out_proj = Linear(width, d_model, False, dtype=dtype, rng=rng)
        if qk_norm == "rms":
            self.self_attn.q_norm = RMSNorm(self.self_attn.depth, eps, dtype=dtype)
            self.self_attn.k_norm = RMSNorm(self.self_attn.depth, eps, dtype=dtype)
        kind = GatedFeedForward if flag("gated", gated) else FeedForward
        self.feed_forward: FeedForward | GatedFeedForward = kind(
            d_model, dff, rate, activation=activation, bias=bias, dtype=dtype, rng=rng
        )

        def make() -> RMSNorm | LayerNorm:
            return norm_of(norm, d_model, eps, norm_offset, bias, dtype)

        self.norm1, self.norm2 = make(), make()
        wanted = flag("post_norms", post_norms)
        self.post_norm1 = make() if wanted else None
        self.post_norm2 = make() if wanted else None
        self.dropout: Dropout = Dropout(rate, dtype=dtype)

    def compute(
        self, mode: Mode, x: Any, *, kv_lengths: Any = None, cache: KVCache | None = None
    ) -> tuple[Array, Backward]:
        """x (…, L, E) → y, of the same shape.

        Parameters
        ----------
        kv_lengths : array_like of int (…), optional
            Number of valid rows of each item, the first ones.
        cache : KVCache, optional
            Of the rows before x, to which those of x are appended.
        """
        x = self.array("x", x, self.self_attn.d_model)

        def attend(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            own = residual if self.post_norm1 is None else None
            with argument_names(query="x"):
                y, back = self.self_attn.compute(
                    mode, x, kv_lengths=kv_lengths, window=self.window, cache=cache, residual=own
                )
            return _normalised(mode, self.post_norm1, y, residual, back)

        def feed(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            own = residual if self.post_norm2 is None else None
            y, back = self.feed_forward.compute(mode, x, own)
            return _normalised(mode, self.post_norm2, y, residual, back)

        x, back_attend = sublayer(mode, x, self.norm1, self.dropout, True, attend)
        x, back_feed = sublayer(mode, x, self.norm2, self.dropout, True, feed)
        return x, lambda dy: back_attend(back_feed(dy))

    def new_cache(self, capacity: int | None = None) -> KVCache:
        """An empty cache for the keys and values of earlier tokens: with a window of its last ones.

        Attention that is watched or steered reads all of them, see :mod:`heedful.explain`: then
        none is dropped.
        """
        if self.window is None or taps_of(self.self_attn):
            return self.self_attn.new_cache(capacity)
        return KVCache(capacity, policy=SinksAndWindow(sinks=0, window=self.window[0] + 1))

    def extra_repr(self) -> str:
        return "" if self.window is None else f"window={self.window[0] + 1}"


def norm_of(
    kind: str, d_model: int, eps: float, offset: float, bias: bool, dtype: DTypeLike
) -> RMSNorm | LayerNorm:
    offset = finite("norm_offset", offset)
    if one_of("norm", kind, ("rms", "layer")) == "rms":
        return RMSNorm(d_model, eps, offset=offset, dtype=dtype)
    if offset:
        raise ValueError(f"norm_offset must be 0 with norm='layer': got {offset:g}")
    return LayerNorm(d_model, eps, bias, dtype=dtype)


def _normalised(
    mode: Mode, norm: RMSNorm | LayerNorm | None, y: Array, residual: Array | None, back: Backward
) -> tuple[Array, Backward]:
    """norm(y) + residual; without a norm y, to which the residual has been added."""
    if norm is None:
        return y, back
    y, back_norm = norm.compute(mode, y)
    return y if residual is None else plus(y, residual, out=y), lambda dy: back(back_norm(dy))
