"""CausalLM: a decoder-only Transformer that generates, with the options of today's models."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import each_of, finite, flag, positive, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._sums import times
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers._typed import Typed
from heedful.layers.attention._rotary_angles import RotaryAngles
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._initial import scaled, without_initial_values
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm, RMSNorm
from heedful.layers.blocks._positions import LearnedPositions
from heedful.layers.blocks._stack import chained
from heedful.layers.generation._caches import one_like
from heedful.layers.generation._mixin import GenerationMixin
from heedful.layers.generation._stop import own_stop
from heedful.layers.models._causal_layer import CausalLayer, norm_of
from heedful.layers.models._causal_steps import CausalSteps
from heedful.layers.models._ragged import padded_if_ragged
from heedful.layers.models._valid_tokens import ValidTokens


class CausalLM(GenerationMixin, Typed):
    """Tokens to logits of the next token at each position.

    ::

        x      = embedding_scale · embed(token) + position
        x      = layer(x)                                        num_layers times
        logits = cap(norm(x) Wᵀ)          cap(s) = logit_softcap · tanh(s / logit_softcap), if given

    Parameters
    ----------
    vocabulary : int
        Number of different tokens.
    d_model, num_heads, num_layers, dff : int
    max_length : int, optional
        Maximum length of a text, of learned positions, which are added to the embedding then; None
        is no limit, and no such positions.
    rate : float, default 0
        Of dropout, see :class:`CausalLayer`; also after the embedding.
    tied : bool, default False
        Whether the projection to logits shares the embedding's weight.
    embedding_scale : float, default 1
    logit_softcap : float, optional
    window : int, or sequence of int or None, optional
        See :class:`CausalLayer`: of all layers, or of each.
    stop : int or sequence of int, default ()
        The tokens that end a text, which `generate` takes where none are given.
    num_kv_heads, head_dim, norm, eps, norm_offset, post_norms, activation, gated, bias
        Of each layer, see :class:`CausalLayer`.
    attention_bias, rotary, qk_norm, scale, softcap
        Of each layer, see :class:`CausalLayer`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    embedding : Embedding
    positions : LearnedPositions or None
    layers : list of CausalLayer
    norm : RMSNorm or LayerNorm
    projection : Linear

    Notes
    -----
    :func:`heedful.models.from_pretrained` makes it from checkpoints of GPT-2, Llama, Mistral, Qwen
    and Gemma. :class:`LanguageModel` is the model to train from the beginning, with heedful's
    alternatives to attention.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import CausalLM
    >>> model = CausalLM(50, d_model=16, num_heads=4, num_layers=2, dff=32, num_kv_heads=2, rng=0)
    >>> model([[1, 2, 3]]).shape
    (1, 3, 50)
    >>> [tokens.tolist()[:3] for tokens in model.generate([[1, 2, 3]], max_length=2)]
    [[1, 2, 3]]
    """

    vocabulary: int

    def __init__(
        self,
        vocabulary: int,
        d_model: int,
        num_heads: int,
        num_layers: int,
        dff: int,
        max_length: int | None = None,
        rate: float = 0.0,
        *,
        tied: bool = False,
        embedding_scale: float = 1.0,
        logit_softcap: float | None = None,
        window: int | Sequence[int | None] | None = None,
        stop: int | Sequence[int] = (),
        num_kv_heads: int | None = None,
        head_dim: int | None = None,
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
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:
        super().__init__(dtype)
        rng, count = generator(rng), size("num_layers", num_layers)
        self.vocabulary, d_model = size("vocabulary", vocabulary), size("d_model", d_model)
        self.max_length: int | None = None if max_length is None else size("max_length", max_length)
        self.embedding_scale: float = finite("embedding_scale", embedding_scale)
        self.logit_softcap: float | None = (
            None if logit_softcap is None else positive("logit_softcap", logit_softcap)
        )
        self.stop: tuple[int, ...] = own_stop(stop)
        self.embedding: Embedding = Embedding(self.vocabulary, d_model, dtype=dtype, rng=rng)
        scaled(self.embedding.weight, 0.02)
        self.positions: LearnedPositions | None = None
        if self.max_length is not None:
            self.positions = LearnedPositions(self.max_length, d_model, dtype=dtype, rng=rng)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.layers: list[CausalLayer] = [
            CausalLayer(
                d_model, num_heads, dff, num_kv_heads=num_kv_heads, head_dim=head_dim, rate=rate,
                norm=norm, eps=eps, norm_offset=norm_offset, post_norms=post_norms,
                activation=activation, gated=gated, bias=bias, attention_bias=attention_bias,
                rotary=rotary, qk_norm=qk_norm, scale=scale, softcap=softcap, window=own,
                dtype=dtype, rng=rng,
            )
            for own in _windows(window, count)
        ]  # fmt: skip
        self.norm: RMSNorm | LayerNorm = norm_of(norm, d_model, eps, norm_offset, bias, dtype)
        self.tied: bool = flag("tied", tied)
        with without_initial_values() if tied else nullcontext():
            self.projection: Linear = Linear(d_model, self.vocabulary, False, dtype=dtype, rng=rng)
        if self.tied:
            self.projection.weight = self.embedding.weight

    def compute(
        self, mode: Mode, tokens: Any, *, lengths: Any = None, mask: Any = None,
        caches: Sequence[KVCache] | None = None, hidden_states: bool = False,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """tokens (B, L) → logits (B, L, vocabulary).

        Parameters
        ----------
        lengths : array_like of int (B,), optional
            Number of valid tokens of each text, the first ones; lists of different lengths are
            padded. As attention is causal, padding after them affects the caches alone.
        mask : array_like of bool (B, L), optional
            Which tokens are valid, wherever they are, such as the attention_mask of a tokenizer
            that pads on the left. Positions count valid tokens alone; logits of others are 0.
        caches : list of KVCache, optional
            One for each layer, from `new_caches`; tokens follow those in the caches.
        hidden_states : bool, default False
            Return (logits, states): x before the first layer, and after each, the last one
            normalised. They are constants in the backward pass.
        """
        with_states = flag("hidden_states", hidden_states)
        valid = None
        if mask is not None:
            if lengths is not None:
                raise ValueError("lengths must be None with mask: a mask says which are valid")
            valid = ValidTokens.of(tokens, mask)
            tokens, lengths = valid.tokens, valid.lengths
        elif lengths is None:
            tokens, lengths = padded_if_ragged("tokens", tokens)
        states: list[Array] | None = [] if with_states else None
        y, back = self.hidden(mode, tokens, lengths, caches, states)
        logits, back_logits = self.logits(mode, y)
        if valid is not None:
            logits = valid.placed(logits)
            states = None if states is None else [valid.placed(state) for state in states]
        shape = logits.shape

        def backward(dlogits: Any) -> None:
            dlogits = self.gradient(dlogits, shape)
            back(back_logits(dlogits if valid is None else valid.taken(dlogits)))

        result: Any = logits if states is None else (logits, states)
        return result, backward

    def hidden(
        self, mode: Mode, tokens: Any, lengths: Any, caches: Sequence[KVCache] | None,
        states: list[Array] | None = None,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """tokens (B, L) → the normalised output of the last layer (B, L, E)."""
        each: Sequence[Any] = [None] * len(self.layers)
        if caches is not None:  # checked before anything is computed
            each = each_of("caches", caches, len(self.layers), KVCache)
        x, back_embedding = self.embedding.compute(mode, tokens)
        scale = self.dtype.type(self.embedding_scale)
        if scale != 1:
            x = times(x, scale)
        closures: list[Backward] = []
        if self.positions is not None:
            first = caches[0].lengths if caches is not None and len(caches[0].lengths) else 0
            with argument_names(x="tokens"):
                x, closure = self.positions.compute(mode, x, first)
            closures.append(closure)
        x, closure = self.dropout.compute(mode, x)
        closures.append(closure)
        for layer, cache in zip(self.layers, each, strict=True):
            if states is not None:
                states.append(x)
            with argument_names(kv_lengths="lengths", x="tokens"):
                x, closure = layer.computed(mode, x, kv_lengths=lengths, cache=cache)
            if mode.training:
                closures.append(closure)
        y, closure = self.norm.compute(mode, x)
        closures.append(closure)
        if states is not None:
            states.append(y)
        through = chained(closures)

        def backward(dy: Any) -> None:
            dx = through(dy)
            back_embedding(times(dx, scale) if scale != 1 else dx)

        return y, backward

    def logits(self, mode: Mode, y: Array) -> tuple[Array, Backward]:
        """Of rows y (…, E) that `hidden` returned."""
        found, back = self.projection.compute(mode, y)
        if self.logit_softcap is None:
            return found, back
        cap = self.dtype.type(self.logit_softcap)
        with np.errstate(all="ignore"):
            bounded: Array = np.tanh(found / cap)

        def backward(dlogits: Any) -> Array:
            slope = times(bounded, bounded)
            with np.errstate(all="ignore"):
                return back(dlogits * (1 - slope))  # type: ignore[no-any-return]

        return times(bounded, cap), backward

    def new_caches(
        self, capacity: int | None = None, cache: KVCache | None = None
    ) -> list[KVCache]:
        """Empty caches for all layers.

        Parameters
        ----------
        capacity : int, optional
            See :class:`heedful.KVCache`.
        cache : KVCache, optional
            All are of its kind, type and policy. None: those of layers with a window drop the keys
            that it has passed, with the same results in bounded memory, unless the layer is watched
            or steered meanwhile; the others keep all.
        """
        if cache is None:
            return [layer.new_cache(capacity) for layer in self.layers]
        return [one_like(cache, capacity) for _ in self.layers]

    def generation_steps(self, cache: KVCache | None = None) -> CausalSteps:
        return CausalSteps(self, cache)

    def extra_repr(self) -> str:
        return f"{self.vocabulary}"


def _windows(given: int | Sequence[int | None] | None, count: int) -> list[int | None]:
    windows = list(given) if isinstance(given, Sequence) else [given] * count
    if len(windows) != count:
        raise ValueError(f"window must be one, or {count}, one for each layer: got {len(windows)}")
    return windows
