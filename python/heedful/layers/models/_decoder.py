"""DecoderLayer and Decoder: N times causal self-attention, cross-attention and feed-forward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import each_of
from heedful.base._mode import Mode
from heedful.base._sums import plus
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers.attention._attention_options import PositionedOptions, passes_on
from heedful.layers.blocks._stack import Stack, given_options
from heedful.layers.generation._caches import check_cached, one_like
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._decoder_layer import DecoderLayer

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Decoder(Stack[DecoderLayer]):
    """N decoder layers, and an optional final norm.

    Parameters
    ----------
    num_layers : int
    d_model, num_heads, dff, rate, activation, norm_first, eps, bias
        Of each :class:`DecoderLayer`; eps and bias of the final norm too.
    num_kv_heads, rotary, scale, softcap, top_k, normalizer, sink, alibi, mixer
        See :class:`DecoderLayer`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`DecoderLayer`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    norm : bool, optional
        Whether there is a final norm; None: if `norm_first`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Named ``nn.TransformerDecoder`` in PyTorch, with the same parameters.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import Decoder
    >>> Decoder(2, 8, 2, 32)(np.ones((3, 5, 8)), np.ones((3, 7, 8))).shape
    (3, 5, 8)
    """

    @passes_on(PositionedOptions)
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
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[PositionedOptions],
    ) -> None:
        rng = generator(rng)

        def make() -> DecoderLayer:
            return DecoderLayer(
                d_model, num_heads, dff, rate, activation=activation, norm_first=norm_first,
                eps=eps, bias=bias, mixer=mixer, dtype=dtype, rng=rng, **attention,
            )  # fmt: skip

        super().__init__(
            num_layers, d_model, make, norm=norm, norm_first=norm_first, eps=eps, bias=bias,
            dtype=dtype,
        )  # fmt: skip

    def new_caches(
        self, capacity: int | None = None, cache: KVCache | None = None
    ) -> list[DecoderCache]:
        """Empty caches for all layers; those of self-attention of the kind of `cache`."""
        caches = [layer.new_cache(capacity) for layer in self.layers]
        if cache is None:
            return caches
        check_cached([layer.self_attn for layer in self.layers])
        return [one._replace(own=one_like(cache, capacity)) for one in caches]

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
        caches: list[DecoderCache] | None = None,
    ) -> tuple[Array, Backward]:
        """x (…, L, E), memory (…, M, E) → y (…, L, E); backward returns (dx, dmemory).

        Parameters
        ----------
        mask, lengths, causal, memory_mask, memory_lengths
            Of every layer, see ``DecoderLayer.compute``.
        caches : list of DecoderCache, optional
            One for each layer, from `new_caches`.
        """
        given = given_options(
            mask=mask, lengths=lengths, memory_mask=memory_mask, memory_lengths=memory_lengths
        )
        closures: list[Backward] = []
        own = each_of("caches", caches, len(self.layers), DecoderCache)
        for layer, cache in zip(self.layers, own, strict=True):
            x, closure = layer.computed(
                mode, x, memory, causal=causal, **given, **given_options(cache=cache)
            )
            if mode.training:
                closures.append(closure)
        back_norm = None
        if self.norm is not None:
            x, back_norm = self.norm.compute(mode, x)

        def backward(dy: Any) -> tuple[Array, Array]:
            if back_norm is not None:
                dy = back_norm(dy)
            dy, dmemory = closures.pop()(dy)
            while closures:  # each releases its arrays as soon as it has run
                dy, more = closures.pop()(dy)
                dmemory = plus(dmemory, more, out=dmemory)
            return dy, dmemory

        return x, backward
