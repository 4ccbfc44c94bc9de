"""EncoderLayer and Encoder: N times self-attention and feed-forward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, probability, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache, LinearState
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import EncoderOptions, passes_on
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._feed_forward import feed_forward
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._stack import Stack, chained, given_options
from heedful.layers.blocks._sublayer import sublayer
from heedful.layers.generation._caches import own_caches
from heedful.layers.models._mixers import make_mixer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class EncoderLayer(Typed):
    """Self-attention and feed-forward, each with a residual connection, dropout and a norm.

    ::

        norm_first=False:  x ← norm(x + dropout(f(x)))      f = attention, then feed-forward
        norm_first=True:   x ← x + dropout(f(norm(x)))

    Parameters
    ----------
    d_model, num_heads : int
    dff : int, default 2048
        Width inside the feed-forward block.
    rate : float, default 0.1
        Of dropout: of attention weights, inside the feed-forward block and after each of the two.
    activation : str, default "relu"
        See :class:`Linear`.
    norm_first : bool, default False
    eps : float, default 1e-5
        Of the norms.
    bias : bool, default True
        Whether linear layers and norms have a bias.
    num_kv_heads, causal, rotary, scale, softcap, top_k, normalizer, sink, alibi
        See :class:`MultiHeadAttention`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    mixer : {"attention", "linear", "gating", "mlp", "fourier"}
        What `self_attn` is: :class:`MultiHeadAttention`, or one of its alternatives
        :class:`LinearAttention`, :class:`SpatialGating`, :class:`TokenMixing` and
        :class:`FourierMixing`. An option above that an alternative lacks is an error; the last two
        cannot be causal.
    max_length : int, optional
        Maximum length of a sequence, which the mixers "gating" and "mlp" need.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; pre-norm: Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745. Named ``nn.TransformerEncoderLayer`` in PyTorch, with the same
    parameters.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import EncoderLayer
    >>> layer = EncoderLayer(8, 2, dff=32, rng=0)
    >>> layer(np.ones((3, 5, 8)), kv_lengths=[5, 4, 2]).shape
    (3, 5, 8)
    """

    gradient_options: tuple[str, ...] = ("bias",)

    @passes_on(EncoderOptions)
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
        max_length: int | None = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[EncoderOptions],
    ) -> None:
        super().__init__(dtype)
        rng, dff, rate = generator(rng), size("dff", dff), probability("rate", rate)
        self.norm_first: bool = flag("norm_first", norm_first)
        self.self_attn: Typed = make_mixer(
            mixer, d_model, num_heads, max_length=max_length, dropout=rate, bias=bias,
            dtype=self.dtype, rng=rng, **attention,
        )  # fmt: skip
        self.linear1: Linear = Linear(
            d_model, dff, bias, activation=activation, dtype=dtype, rng=rng
        )
        self.linear2: Linear = Linear(dff, d_model, bias, dtype=dtype, rng=rng)
        self.norm1: LayerNorm = LayerNorm(d_model, eps, bias, dtype=dtype)
        self.norm2: LayerNorm = LayerNorm(d_model, eps, bias, dtype=dtype)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)

    def compute(
        self,
        mode: Mode,
        x: Any,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool | None = None,
        window: Any = None,
        exclude_self: bool = False,
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        cache: KVCache | LinearState | None = None,
    ) -> tuple[Array, Backward]:
        """x (…, L, E) → y, of the same shape.

        Parameters
        ----------
        mask, bias, causal, window, exclude_self, align, q_lengths, kv_lengths, cache
            Of the self-attention, see ``MultiHeadAttention.compute``; or of another mixer, see its
            own ``compute``.
        """
        given = given_options(
            mask=mask, bias=bias, causal=causal, window=window,
            exclude_self=flag("exclude_self", exclude_self) or None, align=align,
            q_lengths=q_lengths, kv_lengths=kv_lengths, cache=cache,
        )  # fmt: skip
        x, back_attend = self.attend(mode, x, **given)
        x, back_feed = self.feed(mode, x)
        return x, lambda dy: back_attend(back_feed(dy))

    def attend(self, mode: Mode, x: Any, **options: Any) -> tuple[Array, Backward]:
        """The first of the two: self-attention with its residual connection, dropout and norm."""
        x = self.array("x", x, self.self_attn.d_model)

        def function(x: Array, residual: Array | None) -> tuple[Any, Backward]:
            with argument_names(query="x"):
                return self.self_attn.computed(mode, x, residual=residual, **options)

        return sublayer(mode, x, self.norm1, self.dropout, self.norm_first, function)

    def feed(self, mode: Mode, x: Any) -> tuple[Array, Backward]:
        """The second of the two: feed-forward with its residual connection, dropout and norm."""

        def function(x: Array, residual: Array | None) -> tuple[Array, Backward]:
            return feed_forward(mode, self.linear1, self.dropout, self.linear2, x, residual)

        return sublayer(mode, x, self.norm2, self.dropout, self.norm_first, function)

    def new_cache(self, capacity: int | None = None) -> KVCache | LinearState:
        """An empty cache of the kind that the self-attention reads."""
        make = getattr(self.self_attn, "new_cache", KVCache)  # a user's layer may lack it
        cache: KVCache | LinearState = make(capacity)
        return cache

    def extra_repr(self) -> str:
        return "norm_first=True" if self.norm_first else ""


class Encoder(Stack[EncoderLayer]):
    """N encoder layers, and an optional final norm.

    Parameters
    ----------
    num_layers : int
    d_model, num_heads, dff, rate, activation, norm_first, eps, bias
        Of each :class:`EncoderLayer`; eps and bias of the final norm too.
    num_kv_heads, causal, rotary, scale, softcap, top_k, normalizer, sink, alibi
        See :class:`MultiHeadAttention`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    mixer, max_length
        See :class:`EncoderLayer`.
    norm : bool, optional
        Whether there is a final norm; None: if `norm_first`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Called with x (…, L, d_model) and, as :class:`MultiHeadAttention` is, mask, bias, causal,
    window, exclude_self, align, q_lengths and kv_lengths; with caches, one for each layer; and
    with hidden_states or return_weights to have these as well.

    Named ``nn.TransformerEncoder`` in PyTorch, with the same parameters.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Encoder
    >>> Encoder(2, 8, 2, 32)(np.ones((3, 5, 8)), kv_lengths=[5, 4, 2]).shape
    (3, 5, 8)
    """

    gradient_options: tuple[str, ...] = ("bias",)

    @passes_on(EncoderOptions)
    def __init__(
        self,
        num_layers: int,
        d_model: int,
        num_heads: int,
        dff: int = 2048,
        rate: float = 0.1,
        *,
        norm: bool | None = None,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
        bias: bool = True,
        mixer: str = "attention",
        max_length: int | None = None,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[EncoderOptions],
    ) -> None:
        rng = generator(rng)

        def make() -> EncoderLayer:
            return EncoderLayer(
                d_model, num_heads, dff, rate, activation=activation, norm_first=norm_first,
                eps=eps, bias=bias, mixer=mixer, max_length=max_length, dtype=dtype, rng=rng,
                **attention,
            )  # fmt: skip

        super().__init__(
            num_layers, d_model, make, norm=norm, norm_first=norm_first, eps=eps, bias=bias,
            dtype=dtype,
        )  # fmt: skip

    def compute(
        self,
        mode: Mode,
        x: Any,
        *,
        mask: Any = None,
        bias: Any = None,
        causal: bool | None = None,
        window: Any = None,
        exclude_self: bool = False,
        align: Any = None,
        q_lengths: Any = None,
        kv_lengths: Any = None,
        caches: Sequence[KVCache | LinearState] | None = None,
        hidden_states: bool = False,
    ) -> tuple[Array, Backward]:
        """x (…, L, E) → y, of the same shape.

        Parameters
        ----------
        mask, bias, causal, window, exclude_self, align, q_lengths, kv_lengths
            Of the attention in every layer, see ``MultiHeadAttention.compute``.
        caches : list of KVCache or of LinearState, optional
            One for each layer, from its `new_cache`.
        hidden_states : bool, default False
            Return (y, states): x and the output of each layer, before the final norm. They are
            constant in the backward pass.
        """
        given = given_options(
            mask=mask, bias=bias, causal=causal, window=window,
            exclude_self=flag("exclude_self", exclude_self) or None, align=align,
            q_lengths=q_lengths, kv_lengths=kv_lengths,
        )  # fmt: skip
        closures: list[Backward] = []
        states = [self.array("x", x)] if flag("hidden_states", hidden_states) else []
        for layer, cache in zip(self.layers, own_caches(caches, self.layers), strict=True):
            x, closure = layer.computed(mode, x, **given, **given_options(cache=cache))
            if mode.training:
                closures.append(closure)
            if hidden_states:
                states.append(x)
        if self.norm is not None:
            x, closure = self.norm.compute(mode, x)
            closures.append(closure)

        result: Any = (x, states) if hidden_states else x
        return result, chained(closures)
