"""Transformer: an encoder that reads a sequence, and a decoder that writes another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from heedful._checks import as_array, flag
from heedful.layers._called import called
from heedful.layers._decoder import Decoder, DecoderCache
from heedful.layers._dropout import Dropout
from heedful.layers._embedding import Embedding
from heedful.layers._encoder import Encoder
from heedful.layers._linear import Linear
from heedful.layers._mode import INFERENCE, Mode
from heedful.layers._positions import SinusoidalPositions
from heedful.layers._ragged import filled_up
from heedful.layers._sums import times
from heedful.layers._typed import Typed
from heedful.layers._types import Array, Backward, Rng, generator


class EncoderDecoder(Typed):
    """An encoder and a decoder that attends to what the encoder made.

    Parameters
    ----------
    d_model, num_heads : int
    num_encoder_layers, num_decoder_layers : int, default 6
    dff, rate, activation, norm_first, eps, bias
        Of each layer, see :class:`EncoderLayer`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Named ``nn.Transformer`` in PyTorch, with
    the same parameters; there a causal mask for the target must be given, here it is the default.
    Computes in `dtype`, whatever it is given; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from heedful.layers import EncoderDecoder
    >>> model = EncoderDecoder(8, 2, 1, 1, dff=32, rng=0)
    >>> model(np.ones((3, 7, 8)), np.ones((3, 5, 8))).shape
    (3, 5, 8)
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dff: int = 2048,
        rate: float = 0.1,
        *,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **options: Any,
    ) -> None:
        super().__init__(dtype)
        rng = generator(rng)
        shared = {"norm": True, "dtype": dtype, "rng": rng, **options}
        self.encoder = Encoder(num_encoder_layers, d_model, num_heads, dff, rate, **shared)
        self.decoder = Decoder(num_decoder_layers, d_model, num_heads, dff, rate, **shared)

    def compute(
        self, mode: Mode, source: Any, target: Any, *, source_lengths: Any = None,
        target_lengths: Any = None, causal: bool = True,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """source (…, M, E), target (…, L, E) → y (…, L, E); backward gives (dsource, dtarget)."""
        with called(x="source", kv_lengths="source_lengths"):
            memory, back_encoder = self.encoder.compute(mode, source, kv_lengths=source_lengths)
        with called(x="target", memory="source", lengths="target_lengths",
                    memory_lengths="source_lengths"):  # fmt: skip
            y, back_decoder = self.decoder.compute(
                mode, target, memory, lengths=target_lengths, memory_lengths=source_lengths,
                causal=causal,
            )  # fmt: skip

        def backward(dy: Any) -> tuple[Array, Array]:
            dtarget, dmemory = back_decoder(dy)
            return back_encoder(dmemory), dtarget

        return y, backward


class Transformer(EncoderDecoder):
    """Tokens of a source and of a target to scores for the next target token.

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
        See :class:`EncoderLayer`.
    padding_idx : int, optional
        A token that fills sequences up at their ends: nobody attends to it, and its vectors stay 0
        unless the target's is tied.
    tied : bool, default False
        Whether the projection shares the weight of the target's embedding. Then the vector of
        `padding_idx` learns too, by the scores for that token, as it does in PyTorch.
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
    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762. Positions are sines and cosines. The
    encoder and the decoder have the parameters of PyTorch's ``nn.Transformer``.
    Computes in `dtype`, whatever it is given; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import Transformer
    >>> model = Transformer(10, 12, d_model=8, num_heads=2, num_layers=1, dff=32, rng=0)
    >>> model([[1, 2, 3]], [[4, 5]]).shape
    (1, 2, 12)
    >>> model.generate([[1, 2, 3]], start=0, stop=1, max_length=4)[0].shape
    (4,)
    """

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
        padding_idx: int | None = None,
        tied: bool = False,
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **options: Any,
    ) -> None:
        rng = generator(rng)
        super().__init__(
            d_model, num_heads, num_layers, num_layers, dff, rate, dtype=dtype, rng=rng, **options
        )
        self.padding_idx = padding_idx
        self.source_embedding = Embedding(
            source_vocabulary, d_model, padding_idx, dtype=dtype, rng=rng
        )
        self.target_embedding = Embedding(
            target_vocabulary, d_model, padding_idx, dtype=dtype, rng=rng
        )
        for embedding in (self.source_embedding, self.target_embedding):
            embedding.weight = embedding.weight / np.sqrt(d_model)
        self.positions = SinusoidalPositions(d_model, dtype=dtype)
        self.dropout = Dropout(rate, dtype=dtype)
        self.projection = Linear(d_model, target_vocabulary, dtype=dtype, rng=rng)
        if flag("tied", tied):
            self.projection.weight = self.target_embedding.weight

    def _embed(
        self, mode: Mode, embedding: Embedding, tokens: Any, first: Any = 0
    ) -> tuple[Array, Backward]:
        factor = self.dtype.type(np.sqrt(embedding.d_model))
        name = "source" if embedding is self.source_embedding else "target"
        with called(tokens=name):
            x, back = embedding.compute(mode, tokens)
        x, _ = self.positions.compute(mode, times(x, factor), first)
        x, drop = self.dropout.compute(mode, x)
        return x, lambda dx: back(times(drop(dx), factor))

    def compute(
        self, mode: Mode, source: Any, target: Any, *, source_lengths: Any = None,
        target_lengths: Any = None, causal: bool = True,
    ) -> tuple[Array, Backward]:  # fmt: skip
        """source (B, M) and target (B, L) of tokens → logits (B, L, target_vocabulary).

        `source_lengths` (B,) says how many tokens of each source count; None: those before the
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
        """Sources (B, M), and how many tokens of each count; None for all."""
        padding = self.padding_idx
        filled, found = filled_up("source", source, padding or 0)
        tokens = as_array("source", filled)
        if lengths is None and padding is not None and tokens.ndim:
            kept = tokens != padding
            # the place behind the last token that is none
            last = kept.shape[-1] - np.argmax(kept[..., ::-1], -1) if kept.size else 0
            found = np.where(kept.any(-1), last, 0)
        return tokens, found if lengths is None else lengths

    def encode(self, source: Any, source_lengths: Any = None) -> Array:
        """What the decoder attends to: tokens (B, M) → memory (B, M, E)."""
        source, source_lengths = self._read(source, source_lengths)
        x, _ = self._embed(INFERENCE, self.source_embedding, source)
        with called(kv_lengths="source_lengths"):
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

    def generate(
        self, source: Any, *, start: int, stop: int | Sequence[int] | None = None,
        max_length: int = 100,
        source_lengths: Any = None, **options: Any,
    ) -> list[Array]:  # fmt: skip
        """The targets that the model writes, token by token.

        Parameters
        ----------
        source : array_like of int, (B, M), or sequences of different lengths
        start : int
            The token before the first.
        stop : int or sequence of int, optional
            The token, or the tokens, that end a target; it is not part of the result.
        max_length : int, default 100
            Tokens of a target at most.
        temperature, top_k, top_p, num_beams, length_penalty, rng
            See :func:`heedful.layers.generate`.

        Returns
        -------
        list of numpy.ndarray of int, one for each source
        """
        from heedful.layers._generate import generate
        from heedful.layers._steps import TransformerSteps

        source, source_lengths = self._read(source, source_lengths)
        if not len(source):
            return []
        if source.ndim != 2:
            raise ValueError(f"source must be tokens (B, M): got shape {source.shape}")
        steps = TransformerSteps(self, source, source_lengths, max_length)
        prompts = [np.array([start])] * len(source)
        return generate(steps, prompts, stop=stop, max_length=max_length, **options)

    def extra_repr(self) -> str:
        return "" if self.padding_idx is None else f"padding_idx={self.padding_idx}"
