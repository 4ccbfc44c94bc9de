"""Seq2SeqStack: the encoder, or the decoder, of a Seq2SeqLM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, each_of, flag, named, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._shared_bias import SharedBias
from heedful.base._sums import plus
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.functional._positions import check_lengths
from heedful.layers._typed import Typed
from heedful.layers.attention._relative_position_bias import RelativePositionBias
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._norm import RMSNorm
from heedful.layers.generation._caches import one_like
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._ragged import padded_if_ragged
from heedful.layers.models._seq2seq_layer import Seq2SeqLayer
from heedful.layers.models._valid_tokens import valid_keys


class Seq2SeqStack(Typed):
    """Tokens to vectors: the encoder of T5, or its decoder.

    ::

        x = dropout(embed(token))
        x = layer(x, position_bias)              num_layers times, with one bias for all
        y = dropout(norm(x))

    Parameters
    ----------
    vocabulary : int
        Number of different tokens.
    d_model, num_heads, num_layers, dff : int
    head_dim, rate, eps, activation, gated, decoder
        See :class:`Seq2SeqLayer`.
    num_buckets, max_distance : int
        See :class:`RelativePositionBias`, which is bidirectional in an encoder.
    embedding : Embedding, optional
        That of another stack, to be shared; None is a new one.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    embedding : Embedding
    position_bias : RelativePositionBias
    layers : list of Seq2SeqLayer
    norm : RMSNorm

    Notes
    -----
    Raffel et al. 2020, https://arxiv.org/abs/1910.10683; ``T5EncoderModel`` of transformers is an
    encoder alone.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Seq2SeqStack
    >>> Seq2SeqStack(50, d_model=8, num_heads=2, num_layers=2, dff=16, rng=0)([[3, 1, 4]]).shape
    (1, 3, 8)
    """

    decoder: bool
    embedding: Embedding
    position_bias: RelativePositionBias
    dropout: Dropout
    layers: list[Seq2SeqLayer]
    norm: RMSNorm

    def __init__(
        self, vocabulary: int, d_model: int, num_heads: int, num_layers: int, dff: int, *,
        head_dim: int | None = None, rate: float = 0.0, eps: float = 1e-6,
        activation: str = "relu", gated: bool = False, num_buckets: int = 32,
        max_distance: int = 128, decoder: bool = False, embedding: Embedding | None = None,
        dtype: DTypeLike = np.float32, rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        rng, count = generator(rng), size("num_layers", num_layers)
        vocabulary, d_model = size("vocabulary", vocabulary), size("d_model", d_model)
        self.decoder = flag("decoder", decoder)
        if embedding is None:
            embedding = Embedding(vocabulary, d_model, dtype=dtype, rng=rng)
        self.embedding = _checked(embedding, vocabulary, d_model)
        self.position_bias = RelativePositionBias(
            num_heads, num_buckets, max_distance, bidirectional=not decoder, dtype=dtype, rng=rng
        )
        self.dropout = Dropout(rate, dtype=dtype)
        self.layers = [
            Seq2SeqLayer(
                d_model, num_heads, dff, head_dim=head_dim, rate=rate, eps=eps,
                activation=activation, gated=gated, decoder=decoder, dtype=dtype, rng=rng,
            )
            for _ in range(count)
        ]  # fmt: skip
        self.norm = RMSNorm(d_model, eps, dtype=dtype)

    def compute(
        self, mode: Mode, tokens: Any, memory: Any = None, *, lengths: Any = None,
        mask: Any = None, memory_lengths: Any = None, memory_mask: Any = None,
        caches: Sequence[DecoderCache] | None = None, hidden_states: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """tokens (B, L) → y (B, L, E); with a memory (B, M, E) backward is (None, dmemory).

        Parameters
        ----------
        memory : array_like
            Of a decoder.
        lengths : array_like of int (B,), optional
            Number of valid tokens of each text, the first ones; lists of different lengths are
            padded. What y is at other tokens has no meaning.
        mask : array_like of bool (B, L), optional
            Which tokens are valid, wherever they are. Distances count all tokens.
        memory_lengths, memory_mask
            Which rows of memory are valid, likewise.
        caches : list of DecoderCache, optional
            Of a decoder: one for each layer, from `new_caches`; tokens follow those in the caches.
        hidden_states : bool, default False
            Return (y, states): x before the first layer, and after each, the last one normalised.
            They are constants in the backward pass.
        """
        if lengths is None and mask is None:
            tokens, lengths = padded_if_ragged("tokens", tokens)
        tokens = as_array("tokens", tokens)
        each: Sequence[Any] = [None] * len(self.layers)
        if caches is not None:  # checked before anything is computed
            each = each_of("caches", caches, len(self.layers), DecoderCache)
            if mask is not None:
                raise ValueError("mask must be None with caches: write lengths")
        states: list[Array] | None = [] if flag("hidden_states", hidden_states) else None
        options: dict[str, Any] = {"lengths": lengths, "mask": valid_keys("mask", mask, tokens)}
        if memory is not None:
            memory = self.array("memory", memory, self.embedding.d_model)
            seen = valid_keys("memory_mask", memory_mask, memory[..., 0])
            options |= {"memory_lengths": memory_lengths, "memory_mask": seen}
        x, back_embedding = self.embedding.compute(mode, tokens)
        bias, back_bias = self._bias(mode, tokens, lengths, each[0])
        shared = SharedBias(bias)
        x, drop_first = self.dropout.compute(mode, x)
        closures: list[Backward] = []
        for layer, cache in zip(self.layers, each, strict=True):
            if states is not None:
                states.append(x)
            with argument_names(x="tokens"):
                x, closure = layer.computed(mode, x, memory, bias=shared, cache=cache, **options)
            if mode.training:
                closures.append(closure)
        y, back_norm = self.norm.compute(mode, x)
        y, drop_last = self.dropout.compute(mode, y)
        if states is not None:
            states.append(y)

        def backward(dy: Any) -> Any:
            dx, dmemory = back_norm(drop_last(dy)), None
            while closures:  # each releases its arrays as soon as it has run
                dx = closures.pop()(dx)
                if memory is not None:
                    dx, more = dx
                    dmemory = more if dmemory is None else plus(dmemory, more, out=dmemory)
            back_bias(shared.gradient)
            back_embedding(drop_first(dx))
            return None if memory is None else (None, dmemory)

        return (y if states is None else (y, states)), backward

    def _bias(
        self, mode: Mode, tokens: Array, lengths: Any, cache: DecoderCache | None
    ) -> tuple[Array, Backward]:
        """The bias of scores of tokens (B, L) that follow those in a cache."""
        rows = tokens.shape[-1]
        if cache is None:
            return self.position_bias.compute(mode, rows, rows)
        batch = tokens.shape[:-1]
        before = cache.own.lengths if len(cache.own.lengths) else np.zeros(batch, np.int64)
        new = rows if lengths is None else check_lengths("lengths", lengths, batch, rows)
        keys = int((before + new).max(initial=0))
        first = before if (before != before[:1]).any() else before.max(initial=0)
        return self.position_bias.compute(mode, rows, keys, first=first)

    def new_caches(
        self, capacity: int | None = None, cache: KVCache | None = None
    ) -> list[DecoderCache]:
        """Empty caches for a decoder's layers; those of self-attention are like `cache`."""
        return [DecoderCache(one_like(cache, capacity), KVCache()) for _ in self.layers]

    def extra_repr(self) -> str:
        return "decoder=True" if self.decoder else ""


def _checked(embedding: Any, vocabulary: int, d_model: int) -> Embedding:
    if not isinstance(embedding, Embedding):
        raise TypeError(f"embedding must be an Embedding or None: got {named(embedding)}")
    if (embedding.num_embeddings, embedding.d_model) != (vocabulary, d_model):
        raise ValueError(
            f"embedding must have {vocabulary} vectors of width {d_model}: got {embedding!r}"
        )
    return embedding
