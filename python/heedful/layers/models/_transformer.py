"""Transformer: an encoder of a source sequence, and a decoder that generates a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, flag, one_of, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import INFERENCE, Mode
from heedful.base._sums import times
from heedful.base._types import Array, Backward, Rng, generator
from heedful.functional import KVCache
from heedful.layers.attention._attention_options import AttentionOptions, passes_on
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding, check_token
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._positions import SinusoidalPositions
from heedful.layers.generation._caches import check_example
from heedful.layers.generation._foreign_options import with_generation_hints
from heedful.layers.generation._generate import generate
from heedful.layers.generation._guided import Guiding, guided, layers_of_source
from heedful.layers.models._decoder_cache import DecoderCache
from heedful.layers.models._encoder_decoder import EncoderDecoder
from heedful.layers.models._memory_steps import MemorySteps
from heedful.layers.models._mixers import check_positions
from heedful.layers.models._ragged import padded_if_ragged

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Transformer(EncoderDecoder):
    """Tokens of a source and of a target to logits of the next target token.

    ::

        memory = encoder(dropout(√E · embed(source) + positions))
        logits = projection(decoder(dropout(√E · embed(target) + positions), memory))

    Parameters
    ----------
    source_vocabulary, target_vocabulary : int
        Numbers of different tokens.
    d_model, num_heads : int
    num_layers : int, default 6
        Of the encoder, and of the decoder.
    dff, rate, activation, norm_first, eps, bias
        See :class:`EncoderLayer`; the projection always has a bias.
    positions : {"sinusoidal", "rotary", "alibi"}
        Sines and cosines that are added to the vectors; or queries and keys are rotated, or
        distances subtracted from the scores, in self-attention.
    num_kv_heads, scale, softcap, top_k, normalizer, sink
        See :class:`MultiHeadAttention`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    mixer : {"attention", "linear"}
        Of all layers, see :class:`DecoderLayer`; "linear" needs sinusoidal positions.
    padding_idx : int, optional
        A token that pads sequences at their ends: it is never attended to, and its vectors stay 0
        unless the target's is tied.
    tied : bool, default False
        Whether the projection shares the weight of the target's embedding. Then the vector of
        `padding_idx` is trained too, by the logits of that token, as in PyTorch.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Attributes
    ----------
    source_embedding, target_embedding : Embedding
    encoder : Encoder
    decoder : Decoder
    projection : Linear

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. The encoder and the decoder have the
    parameters of PyTorch's ``nn.Transformer``.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Transformer
    >>> model = Transformer(10, 12, d_model=8, num_heads=2, num_layers=1, dff=32, rng=0)
    >>> model([[1, 2, 3]], [[4, 5]]).shape
    (1, 2, 12)
    >>> model.generate([[1, 2, 3]], start=0, stop=1, max_length=4)[0].shape
    (4,)
    """

    @passes_on(AttentionOptions)
    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        d_model: int = 512,
        num_heads: int = 8,
        num_layers: int = 6,
        dff: int = 2048,
        rate: float = 0.1,
        *,
        activation: str = "relu",
        norm_first: bool = False,
        eps: float = 1e-5,
        bias: bool = True,
        positions: str = "sinusoidal",
        mixer: str = "attention",
        padding_idx: int | None = None,
        tied: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[AttentionOptions],
    ) -> None:
        rng = generator(rng)
        kind = one_of("positions", positions, ("sinusoidal", "rotary", "alibi"))
        check_positions(kind, mixer)
        num_layers = size("num_layers", num_layers)
        super().__init__(
            d_model, num_heads, num_layers, num_layers, dff, rate, activation=activation,
            norm_first=norm_first, eps=eps, bias=bias, rotary=kind == "rotary",
            alibi=kind == "alibi", mixer=mixer, dtype=dtype, rng=rng, **attention,
        )  # fmt: skip
        self.padding_idx = padding_idx
        source_vocabulary = size("source_vocabulary", source_vocabulary)
        target_vocabulary = size("target_vocabulary", target_vocabulary)
        self.source_embedding: Embedding = Embedding(
            source_vocabulary, d_model, padding_idx, dtype=dtype, rng=rng
        )
        self.target_embedding: Embedding = Embedding(
            target_vocabulary, d_model, padding_idx, dtype=dtype, rng=rng
        )
        for embedding in (self.source_embedding, self.target_embedding):
            embedding.weight = embedding.weight / np.sqrt(d_model)
        self.positions: SinusoidalPositions | None = None
        if kind == "sinusoidal":
            self.positions = SinusoidalPositions(d_model, dtype=dtype)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.projection: Linear = Linear(d_model, target_vocabulary, dtype=dtype, rng=rng)
        if flag("tied", tied):
            self.projection.weight = self.target_embedding.weight

    def _embed(
        self, mode: Mode, embedding: Embedding, tokens: Any, first: Any = 0
    ) -> tuple[Array, Backward]:
        factor = self.dtype.type(np.sqrt(embedding.d_model))
        name = "source" if embedding is self.source_embedding else "target"
        with argument_names(tokens=name):
            x, back = embedding.compute(mode, tokens)
        x = times(x, factor)
        if self.positions is not None:
            x, _ = self.positions.compute(mode, x, first)
        x, drop = self.dropout.compute(mode, x)
        return x, lambda dx: back(times(drop(dx), factor))

    def compute(
        self, mode: Mode, source: Any, target: Any, *, source_lengths: Any = None,
        target_lengths: Any = None, causal: bool = True,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """source (B, M) and target (B, L) of tokens → logits (B, L, target_vocabulary).

        `source_lengths` (B,) is the number of valid tokens of each source; None: those before the
        padding at the end, if there is a `padding_idx`. Sources of different lengths may be lists.
        """
        source, source_lengths = self._read(source, source_lengths)
        x, back_source = self._embed(mode, self.source_embedding, source)
        y, back_target = self._embed(mode, self.target_embedding, target)
        y, back = super().compute(
            mode, x, y, source_lengths=source_lengths, target_lengths=target_lengths, causal=causal
        )
        logits, back_projection = self.projection.compute(mode, y)

        def backward(dlogits: Any) -> None:
            dsource, dtarget = back(back_projection(dlogits))
            back_source(dsource)
            back_target(dtarget)

        return logits, backward

    def _read(self, source: Any, lengths: Any) -> tuple[Array, Any]:
        """Sources (B, M), and the number of valid tokens of each; None for all."""
        padding = self.padding_idx
        rectangular, found = padded_if_ragged("source", source, padding or 0)
        tokens = as_array("source", rectangular)
        if lengths is None and padding is not None and tokens.ndim:
            kept = tokens != padding
            # the position after the last token that is not padding
            last = kept.shape[-1] - np.argmax(kept[..., ::-1], -1) if kept.size else 0
            found = np.where(kept.any(-1), last, 0)
        return tokens, found if lengths is None else lengths

    def encode(self, source: Any, source_lengths: Any = None) -> Array:
        """The memory of the decoder: tokens (B, M) → memory (B, M, E)."""
        source, source_lengths = self._read(source, source_lengths)
        x, _ = self._embed(INFERENCE, self.source_embedding, source)
        with argument_names(kv_lengths="source_lengths"):
            memory: Array = self.encoder(x, kv_lengths=source_lengths)
        return memory

    def decode(
        self, tokens: Any, memory: Array, caches: list[DecoderCache], source_lengths: Any = None
    ) -> Array:
        """Logits (B, L, target_vocabulary) of tokens (B, L) that follow those in the caches."""
        first = caches[0].own.lengths
        x, _ = self._embed(INFERENCE, self.target_embedding, tokens, first if len(first) else 0)
        y = self.decoder(x, memory, caches=caches, memory_lengths=source_lengths)
        logits: Array = self.projection(y)
        return logits

    @with_generation_hints
    def generate(
        self, source: Any, *, start: int, stop: int | Sequence[int] | None = None,
        max_length: int = 100, temperature: float | None = None, top_k: int | None = None,
        top_p: float | None = None, num_beams: int = 1, length_penalty: float = 1.0,
        rng: Rng = None, cache: KVCache | None = None, guidance: Guiding | None = None,
        source_lengths: Any = None,
    ) -> list[Array]:  # fmt: skip
        """The targets that the model generates, token by token.

        Parameters
        ----------
        source : array_like of int, (B, M), or sequences of different lengths
        start : int
            The token before the first.
        stop : int or sequence of int, optional
            The token, or the tokens, that end a target; it is not part of the result.
        max_length : int, default 100
            Maximum number of tokens of a target.
        temperature, top_k, top_p, num_beams, length_penalty, rng
            See :func:`heedful.layers.generate`.
        cache : KVCache, optional
            An empty one: the self-attention's caches are of its kind, type and policy.
        guidance : Guidance, optional
            Of the sources' tokens, see :func:`heedful.layers.generate`: where the encoder and the
            decoder's attention to it should look, unless ``Guidance.at`` names other layers.

        Returns
        -------
        list of numpy.ndarray of int, one for each source
        """
        source, source_lengths = self._read(source, source_lengths)
        if not len(source):
            return []
        if source.ndim != 2:
            raise ValueError(f"source must be tokens (B, M): got shape {source.shape}")
        first = check_token("start", start, self.target_embedding.num_embeddings)
        max_length = size("max_length", max_length)
        cache = check_example(cache)
        with guided(guidance, self, layers_of_source(self)):
            steps = TransformerSteps(self, source, source_lengths, max_length, cache)
            return generate(
                steps, [[first]] * len(source), stop=stop, max_length=max_length,
                temperature=temperature, top_k=top_k, top_p=top_p, num_beams=num_beams,
                length_penalty=length_penalty, rng=rng,
            )  # fmt: skip

    def extra_repr(self) -> str:
        return "" if self.padding_idx is None else f"padding_idx={self.padding_idx}"


class TransformerSteps(MemorySteps):
    """The steps of a decoder, with the encoded sources."""

    def __init__(
        self, model: Transformer, source: Array, source_lengths: Array | None, max_length: int,
        cache: KVCache | None = None,
    ) -> None:  # fmt: skip
        self.model = model
        super().__init__(
            model.encode(source, source_lengths), {"source_lengths": source_lengths},
            model.decoder.new_caches(max_length + 1, cache),
        )  # fmt: skip

    def logits(self, tokens: Array, lengths: Array | None, last: Any) -> Array:
        logits = self.model.decode(tokens, self.memory, self.caches, **self.valid)
        found: Array = logits[np.arange(len(tokens)), last]
        return found
