"""Seq2SeqLM: an encoder-decoder with relative positions that writes a text about another: T5."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import finite, flag, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import INFERENCE, Mode
from heedful.base._sums import times
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers._typed import Typed
from heedful.layers.blocks._embedding import check_token
from heedful.layers.blocks._initial import without_initial_values
from heedful.layers.blocks._linear import Linear
from heedful.layers.generation._caches import check_example
from heedful.layers.generation._foreign_options import with_generation_hints
from heedful.layers.generation._generate import generate
from heedful.layers.generation._guided import Guiding, guided, layers_of_source
from heedful.layers.generation._stop import own_stop
from heedful.layers.models._ragged import padded_if_ragged
from heedful.layers.models._seq2seq_stack import Seq2SeqStack
from heedful.layers.models._seq2seq_steps import Seq2SeqSteps


class Seq2SeqLM(Typed):
    """Tokens of a text and of a target to logits of the next target token at each position.

    ::

        memory = encoder(tokens)
        logits = (logit_scale · decoder(target, memory)) Wᵀ

    Parameters
    ----------
    vocabulary : int
        Number of different tokens, of texts and targets.
    d_model, num_heads, num_layers, dff : int
    num_decoder_layers : int, optional
        None is `num_layers`, those of the encoder.
    tied : bool, default True
        Whether the projection to logits shares the embedding's weight.
    logit_scale : float, default 1
        1 / √d_model in T5 with a tied projection.
    start : int, default 0
        The token before the first of a target.
    stop : int or sequence of int, default ()
        The tokens that end a target, which `generate` takes where none are given.
    head_dim, rate, eps, activation, gated, num_buckets, max_distance
        Of encoder and decoder, see :class:`Seq2SeqStack`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    encoder, decoder : Seq2SeqStack
        They share their embedding.
    projection : Linear

    Notes
    -----
    Raffel et al. 2020, https://arxiv.org/abs/1910.10683; :func:`heedful.models.from_pretrained`
    makes it from checkpoints of T5, T5 1.1, FLAN-T5 and mT5. :class:`Transformer` is the
    encoder-decoder with absolute positions.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Seq2SeqLM
    >>> model = Seq2SeqLM(50, d_model=16, num_heads=4, num_layers=2, dff=32, rng=0)
    >>> model([[3, 1, 4]], [[0, 5]]).shape
    (1, 2, 50)
    >>> [len(target) for target in model.generate([[3, 1, 4], [2]], max_length=5)]
    [5, 5]
    """

    encoder: Seq2SeqStack
    decoder: Seq2SeqStack
    vocabulary: int
    logit_scale: float
    start: int
    stop: tuple[int, ...]
    tied: bool
    projection: Linear

    def __init__(
        self, vocabulary: int, d_model: int, num_heads: int, num_layers: int, dff: int, *,
        num_decoder_layers: int | None = None, tied: bool = True, logit_scale: float = 1.0,
        start: int = 0, stop: int | Sequence[int] = (), head_dim: int | None = None,
        rate: float = 0.0, eps: float = 1e-6, activation: str = "relu", gated: bool = False,
        num_buckets: int = 32, max_distance: int = 128, dtype: DTypeLike = np.float32,
        rng: Rng = None,
    ) -> None:  # fmt: skip
        super().__init__(dtype)
        sizes: dict[str, Any] = {
            "vocabulary": vocabulary, "d_model": d_model, "num_heads": num_heads, "dff": dff,
            "head_dim": head_dim, "rate": rate, "eps": eps, "activation": activation,
            "gated": gated, "num_buckets": num_buckets, "max_distance": max_distance,
            "dtype": dtype, "rng": generator(rng),
        }  # fmt: skip
        count = num_layers
        if num_decoder_layers is not None:
            count = size("num_decoder_layers", num_decoder_layers)
        self.encoder = Seq2SeqStack(num_layers=num_layers, **sizes)
        self.decoder = Seq2SeqStack(
            num_layers=count, decoder=True, embedding=self.encoder.embedding, **sizes
        )
        self.vocabulary = self.encoder.embedding.num_embeddings
        self.logit_scale = finite("logit_scale", logit_scale)
        self.start = check_token("start", start, self.vocabulary)
        self.stop = own_stop(stop)
        self.tied = flag("tied", tied)
        with without_initial_values() if tied else nullcontext():
            self.projection = Linear(d_model, self.vocabulary, False, dtype=dtype, rng=sizes["rng"])
        if self.tied:
            self.projection.weight = self.encoder.embedding.weight

    def compute(
        self, mode: Mode, tokens: Any, target: Any, *, lengths: Any = None, mask: Any = None,
        target_lengths: Any = None, target_mask: Any = None, hidden_states: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """tokens (B, M) of texts and target (B, L) → logits (B, L, vocabulary).

        Parameters
        ----------
        lengths, mask
            Which tokens are valid: numbers (B,) of the first ones, or a mask (B, M). Lists of
            different lengths imply it.
        target_lengths, target_mask
            Which tokens of targets are valid, likewise.
        hidden_states : bool, default False
            Return (logits, states, target_states), of encoder and decoder, see
            ``Seq2SeqStack.compute``.
        """
        if lengths is None and mask is None:
            tokens, lengths = padded_if_ragged("tokens", tokens)
        wanted = flag("hidden_states", hidden_states)
        memory, back_encoder = self.encoder.compute(
            mode, tokens, lengths=lengths, mask=mask, hidden_states=wanted
        )
        memory, *states = memory if wanted else (memory,)
        names = {"tokens": "target", "lengths": "target_lengths", "mask": "target_mask"}
        with argument_names(**names, memory_lengths="lengths", memory_mask="mask"):
            y, back_decoder = self.decoder.compute(
                mode, target, memory, lengths=target_lengths, mask=target_mask,
                memory_lengths=lengths, memory_mask=mask, hidden_states=wanted,
            )  # fmt: skip
        y, *more = y if wanted else (y,)
        logits, back_logits = self._logits(mode, y)

        def backward(dlogits: Any) -> None:
            _, dmemory = back_decoder(back_logits(dlogits))
            back_encoder(dmemory)

        return (logits, *states, *more) if wanted else logits, backward

    def encode(self, tokens: Any, *, lengths: Any = None, mask: Any = None) -> Array:
        """The memory of the decoder (B, M, E) for the tokens (B, M) of texts."""
        memory: Array = self.encoder(tokens, lengths=lengths, mask=mask)
        return memory

    def logits(self, y: Array) -> Array:
        """Of rows y (…, E) that the decoder returned: (…, vocabulary)."""
        return self._logits(INFERENCE, y)[0]

    def _logits(self, mode: Mode, y: Array) -> tuple[Array, Backward]:
        scale = self.dtype.type(self.logit_scale)
        if scale == 1:
            return self.projection.compute(mode, y)
        logits, back = self.projection.compute(mode, times(y, scale))
        return logits, lambda dlogits: times(back(dlogits), scale)

    def steps(
        self, tokens: Any, *, lengths: Any = None, mask: Any = None, cache: KVCache | None = None
    ) -> Seq2SeqSteps:
        """Of the generation of targets for texts, for :func:`stream` or a search of your own.

        ``stream(model.steps([tokens]), [model.start], stop=model.stop)`` yields a target's tokens.
        """
        if lengths is None and mask is None:
            tokens, lengths = padded_if_ragged("tokens", tokens)
        return Seq2SeqSteps(self, tokens, lengths, mask, check_example(cache))

    @with_generation_hints
    def generate(
        self, tokens: Any, *, lengths: Any = None, mask: Any = None, start: int | None = None,
        stop: int | Sequence[int] | None = None, max_length: int = 100,
        temperature: float | None = None, top_k: int | None = None, top_p: float | None = None,
        num_beams: int = 1, length_penalty: float = 1.0, rng: Rng = None,
        cache: KVCache | None = None, guidance: Guiding | None = None,
    ) -> list[Array]:  # fmt: skip
        """The targets that the model generates, token by token.

        Parameters
        ----------
        tokens : array_like of int, (B, M), or sequences of different lengths
        lengths, mask
            Which of them are valid, see `compute`.
        start : int, optional
            The token before the first; None is the model's own.
        stop : int or sequence of int, optional
            The tokens that end a target, which are no part of the result; None is the model's own,
            () is none.
        max_length, temperature, top_k, top_p, num_beams, length_penalty, rng
            See :func:`heedful.layers.generate`.
        cache : KVCache, optional
            An empty one: the self-attention's caches are of its kind, type and policy.
        guidance : Guidance, optional
            Of the texts' tokens, see :func:`heedful.layers.generate`: where the encoder and the
            decoder's attention to it should look, unless ``Guidance.at`` names other layers.

        Returns
        -------
        list of numpy.ndarray of int, one for each text
        """
        first = self.start if start is None else check_token("start", start, self.vocabulary)
        max_length = size("max_length", max_length)
        if not len(tokens):
            return []
        with guided(guidance, self, layers_of_source(self)):
            steps = self.steps(tokens, lengths=lengths, mask=mask, cache=cache)
            if steps.memory.ndim != 3:
                raise ValueError(f"tokens must have shape (B, M): got {steps.memory.shape[:-1]}")
            return generate(
                steps, [[first]] * len(steps.memory), stop=self.stop if stop is None else stop,
                max_length=max_length, temperature=temperature, top_k=top_k, top_p=top_p,
                num_beams=num_beams, length_penalty=length_penalty, rng=rng,
            )  # fmt: skip

    def extra_repr(self) -> str:
        return f"{self.vocabulary}"
