"""LanguageModel: a causal Transformer that generates one token after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import flag, one_of, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._rollback import rollback
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache, LinearState
from heedful.layers._typed import Typed
from heedful.layers.attention._attention_options import AttentionOptions, passes_on
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._positions import LearnedPositions, SinusoidalPositions
from heedful.layers.generation._caches import check_cached, one_like, own_caches
from heedful.layers.generation._mixin import GenerationMixin
from heedful.layers.models._encoder import Encoder
from heedful.layers.models._mixers import check_causal, check_positions
from heedful.layers.models._ragged import padded

if TYPE_CHECKING:
    from typing_extensions import Unpack


class LanguageModel(GenerationMixin, Typed):
    """Tokens to logits of the next token at each position.

    Parameters
    ----------
    vocabulary : int
        Number of different tokens.
    d_model, num_heads, num_layers : int
    dff : int, optional
        None is 4 · d_model.
    max_length : int, default 1024
        Maximum length of a sequence, if positions are learned or the mixer is "gating".
    rate : float, default 0.1
        Of dropout, see :class:`EncoderLayer`; also after the embedding.
    positions : {"learned", "sinusoidal", "rotary", "alibi"}
        Vectors that are added to those of the tokens; or queries and keys are rotated, or distances
        subtracted from the scores, see :class:`MultiHeadAttention`.
    tied : bool, default True
        Whether the projection shares the embedding's weight.
    num_kv_heads, scale, softcap, top_k, normalizer, sink
        See :class:`MultiHeadAttention`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    window : int, optional
        Maximum number of previous tokens that a token attends to; None is all.
    mixer : {"attention", "linear", "gating"}
        See :class:`EncoderLayer`. "linear" generates from a state of constant size; "gating" is
        limited to sequences of max_length. Both need positions that are added, and no window.
    activation : str, default "gelu"
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Radford et al. 2019, Language Models are Unsupervised Multitask Learners: pre-norm, and a final
    norm. Initial weights of embeddings are normal with standard deviation 0.02, those of
    projections into the residual path are smaller by √(2 · num_layers).
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import LanguageModel
    >>> model = LanguageModel(50, d_model=16, num_heads=2, num_layers=2, rng=0)
    >>> model([[1, 2, 3]]).shape
    (1, 3, 50)
    >>> [tokens.tolist()[:3] for tokens in model.generate([[1, 2, 3]], max_length=2)]
    [[1, 2, 3]]
    """

    vocabulary: int

    @passes_on(AttentionOptions)
    def __init__(
        self,
        vocabulary: int,
        d_model: int = 256,
        num_heads: int = 4,
        num_layers: int = 4,
        dff: int | None = None,
        max_length: int = 1024,
        rate: float = 0.1,
        *,
        positions: str = "learned",
        tied: bool = True,
        window: int | None = None,
        mixer: str = "attention",
        activation: str = "gelu",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dtype)
        rng = generator(rng)
        kind = one_of("positions", positions, ("learned", "sinusoidal", "rotary", "alibi"))
        self.vocabulary, d_model = size("vocabulary", vocabulary), size("d_model", d_model)
        dff = 4 * d_model if dff is None else size("dff", dff)
        check_causal(mixer)
        check_positions(kind, mixer)
        limited = kind == "learned" or mixer == "gating"
        self.max_length: int | None = size("max_length", max_length) if limited else None
        self.window: tuple[int, int] | None = (
            None if window is None else (size("window", window), 0)
        )
        if window is not None and mixer != "attention":
            raise ValueError(f"window must be None with mixer={mixer!r}: got {window}")
        self.embedding: Embedding = Embedding(vocabulary, d_model, dtype=dtype, rng=rng)
        self.embedding.weight = self.embedding.weight * 0.02
        self.positions: LearnedPositions | SinusoidalPositions | None = None
        if kind == "learned":
            self.positions = LearnedPositions(max_length, d_model, dtype=dtype, rng=rng)
        elif kind == "sinusoidal":
            self.positions = SinusoidalPositions(d_model, dtype=dtype)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.encoder: Encoder = Encoder(
            num_layers, d_model, num_heads, dff, rate, activation=activation,
            norm_first=True, causal=True, rotary=kind == "rotary", alibi=kind == "alibi",
            mixer=mixer, max_length=self.max_length, dtype=dtype, rng=rng, **attention,
        )  # fmt: skip
        for layer in self.encoder.layers:
            for last in (layer.self_attn.out_proj, layer.linear2):
                last.weight = last.weight / np.sqrt(2 * num_layers)
        self.projection: Linear = Linear(d_model, vocabulary, bias=False, dtype=dtype, rng=rng)
        if flag("tied", tied):
            self.projection.weight = self.embedding.weight

    def compute(
        self, mode: Mode, tokens: Any, *, lengths: Any = None,
        caches: Sequence[KVCache | LinearState] | None = None,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """tokens (B, L) → logits (B, L, vocabulary).

        Parameters
        ----------
        lengths : array_like of int (B,), optional
            Number of valid tokens of each sequence. As attention is causal, padding after them
            affects the caches alone.
        caches : list of KVCache or of LinearState, optional
            One for each layer, from `new_caches`; tokens follow those in the caches.
        """
        own_caches(caches, self.encoder.layers)  # checked before anything is computed
        x, back_embedding = self.embedding.compute(mode, tokens)
        back_positions = None
        if self.positions is not None:
            first = caches[0].lengths if caches is not None and len(caches[0].lengths) else 0
            with argument_names(x="tokens"):
                x, back_positions = self.positions.compute(mode, x, first)
        x, drop = self.dropout.compute(mode, x)
        with argument_names(kv_lengths="lengths", x="tokens"):
            y, back_encoder = self.encoder.compute(
                mode, x, caches=caches, kv_lengths=lengths, window=self.window
            )
        logits, back_projection = self.projection.compute(mode, y)

        def backward(dlogits: Any) -> None:
            dx = drop(back_encoder(back_projection(dlogits)))
            back_embedding(dx if back_positions is None else back_positions(dx))

        return logits, backward

    def new_caches(
        self, capacity: int | None = None, cache: KVCache | None = None
    ) -> list[KVCache | LinearState]:
        """Empty caches for all layers, of the kind, type and policy of `cache`."""
        if cache is None:
            return [layer.new_cache(capacity) for layer in self.encoder.layers]
        check_cached([layer.self_attn for layer in self.encoder.layers])
        return [one_like(cache, capacity) for _ in self.encoder.layers]

    def generation_steps(self, cache: KVCache | None = None) -> LanguageSteps:
        return LanguageSteps(self, cache)

    def extra_repr(self) -> str:
        return f"{self.vocabulary}" + ("" if self.window is None else f", window={self.window[0]}")


class LanguageSteps:
    """The steps of a language model, with the caches of the tokens read."""

    model: LanguageModel
    longest: int | None

    def __init__(self, model: LanguageModel, cache: KVCache | None = None) -> None:
        self.model, self.longest = model, model.max_length
        self.caches: list[KVCache | LinearState] = []
        self.cache = cache

    def start(self, prompts: list[Array]) -> Array:
        tokens, lengths = padded(prompts)
        self.caches = self.model.new_caches(cache=self.cache)
        with argument_names(tokens="prompts"):
            logits = self.model(tokens, lengths=lengths, caches=self.caches)
        last: Array = logits[np.arange(len(tokens)), lengths - 1]
        return last

    def step(self, tokens: Array) -> Array:
        logits: Array = self.model(tokens[:, None], caches=self.caches)
        return logits[:, 0]

    def reorder(self, items: Array) -> None:
        with rollback(self.caches):  # all of them or none
            for cache in self.caches:
                cache.reorder(items)
