"""BertEncoder: a bidirectional encoder that loads pretrained weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from heedful._checks import as_array, flag, is_integer, named, size
from heedful.base._argument_names import argument_names
from heedful.base._mode import Mode
from heedful.base._state import Mismatch, check_state
from heedful.base._sums import plus
from heedful.base._types import Array, Backward, Rng, generator
from heedful.layers.attention._attention_options import AttentionOptions, passes_on
from heedful.layers.attention._heads import no_backward
from heedful.layers.blocks._dropout import Dropout
from heedful.layers.blocks._embedding import Embedding, check_tokens
from heedful.layers.blocks._initial import scaled
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._positions import LearnedPositions, rows_of
from heedful.layers.models._bert_names import from_checkpoint, joined
from heedful.layers.models._encoder import Encoder
from heedful.layers.models._pooled import PooledEncoder, with_pooled
from heedful.layers.models._ragged import padded_if_ragged
from heedful.layers.models._without_padding import counted_rows, packable, packed

if TYPE_CHECKING:
    from typing_extensions import Unpack


class BertEncoder(PooledEncoder):
    """Tokens to contextual vectors.

    ::

        x = norm(embed(token) + embed(segment) + position)
        y = encoder(x)

    Parameters
    ----------
    vocabulary : int
    d_model, num_heads, num_layers, dff : int
    max_length : int, default 512
        Positions.
    segments : int, default 2
        Number of segment types; 0 for models without segments.
    rate : float, default 0.1
        Of dropout.
    activation : str, default "gelu"
    eps : float, default 1e-12
        Of the norms.
    pooler : bool, default False
        Whether there is a dense layer with tanh for the vector of the first token.
    padding_idx : int, optional
        RoBERTa's positions: this token, wherever it is, has the position `padding_idx`, and the
        others count from padding_idx + 1 without it; neither its vector nor that position is
        trained. None, BERT's positions, counts every token. Only `lengths` or `mask` hide tokens
        from others.
    first_position : int, optional
        Of the first token; None is 0, or padding_idx + 1.
    mixer : {"attention", "linear", "gating", "mlp", "fourier"}
        See :class:`EncoderLayer`; with "fourier" it is FNet, Lee-Thorp et al. 2021.
    num_kv_heads, scale, softcap, top_k, normalizer, sink
        Of attention, see :class:`MultiHeadAttention`.
    qk_norm, logit_scale, adaptive_span, span_ramp, span_penalty
        See :class:`MultiHeadAttention`.
    key_dropout, head_dropout, gumbel_temperature, hard, penalties
        Of attention in training, see :class:`MultiHeadAttention`.
    dtype : {float32, float64}
    rng : None, int or numpy.random.Generator

    Notes
    -----
    Devlin et al. 2018, https://arxiv.org/abs/1810.04805. `load_state_dict` accepts the names of
    Hugging Face's BERT, RoBERTa, XLM-RoBERTa, CamemBERT, MiniLM and DistilBERT checkpoints, and
    :func:`bert_from_config` creates a model with the sizes of a checkpoint's config.json.
    :func:`heedful.training.load_weights` reads their files, also shards.
    Computes in `dtype`, whatever the input; threads may share it, see :class:`Layer`.

    Examples
    --------
    >>> from heedful.layers import BertEncoder
    >>> model = BertEncoder(100, 16, 2, 2, 64, max_length=32, rng=0)
    >>> model([[1, 2, 3], [4, 5, 0]], lengths=[3, 2]).shape
    (2, 3, 16)
    """

    @passes_on(AttentionOptions)
    def __init__(
        self,
        vocabulary: int = 30522,
        d_model: int = 768,
        num_heads: int = 12,
        num_layers: int = 12,
        dff: int = 3072,
        max_length: int = 512,
        segments: int = 2,
        rate: float = 0.1,
        *,
        activation: str = "gelu",
        eps: float = 1e-12,
        pooler: bool = False,
        padding_idx: int | None = None,
        first_position: int | None = None,
        mixer: str = "attention",
        dtype: DTypeLike = np.float32,
        rng: Rng = None,
        **attention: Unpack[AttentionOptions],
    ) -> None:
        super().__init__(dtype)
        rng = generator(rng)
        vocabulary = size("vocabulary", vocabulary)
        segments = size("segments", segments) if segments != 0 else 0
        self.token_embedding: Embedding = Embedding(
            vocabulary, d_model, padding_idx, dtype=dtype, rng=rng
        )
        self.padding_idx = padding_idx
        self.first_position: int = _first_position(first_position, padding_idx)
        scaled(self.token_embedding.weight, 0.02)
        self.positions: LearnedPositions = LearnedPositions(
            max_length, d_model, dtype=dtype, rng=rng
        )
        self.segment_embedding: Embedding | None = None
        if segments:
            self.segment_embedding = Embedding(segments, d_model, dtype=dtype, rng=rng)
            scaled(self.segment_embedding.weight, 0.02)
        self.norm: LayerNorm = LayerNorm(d_model, eps, dtype=dtype)
        self.dropout: Dropout = Dropout(rate, dtype=dtype)
        self.encoder: Encoder = Encoder(
            num_layers, d_model, num_heads, dff, rate, activation=activation, eps=eps,
            mixer=mixer, max_length=max_length, dtype=dtype, rng=rng, **attention,
        )  # fmt: skip
        self.pooler: Linear | None = None
        if flag("pooler", pooler):
            self.pooler = Linear(d_model, d_model, activation="tanh", dtype=dtype, rng=rng)

    def compute(
        self, mode: Mode, tokens: Any, *, lengths: Any = None, mask: Any = None,
        segments: Any = None, pooled: bool = False, hidden_states: bool = False,
    ) -> tuple[Any, Backward]:  # fmt: skip
        """tokens (B, L) → y (B, L, E).

        Parameters
        ----------
        lengths : array_like of int (B,), optional
            Number of valid tokens of each sequence, the first ones. Lists of different lengths
            imply it; y is as long as the longest then. Rows of padding are undefined: in inference
            they may be 0, because nothing is computed for them.
        mask : array_like of bool (B, L), optional
            Which tokens are valid, if those are not the first ones.
        segments : array_like of int, (B, L) or (L,), optional
            The segment type of each token; None is 0.
        pooled : bool, default False
            Return (y, pooled): pooled (B, E) is what the pooler makes of the first token.
        hidden_states : bool, default False
            Return also, as the last, a list of the encoder's input and of the output of each of its
            layers. They are constant in the backward pass.
        """
        pooler = self.pooler_if(pooled)
        if lengths is None and mask is None:
            tokens, lengths = padded_if_ragged("tokens", tokens, self.padding_idx or 0)
        tokens = as_array("tokens", tokens)
        x, back_tokens = self.token_embedding.compute(mode, tokens)
        with argument_names(x="tokens"):
            x, back_positions = self.positions.at(x, self._positions(tokens, x), self.padding_idx)
        back_segments: Backward | None = None
        if self.segment_embedding is not None:
            kinds = self._segments(segments, tokens.shape)
            added, back_segments = self.segment_embedding.compute(mode, kinds)
            x = plus(x, added)
        elif segments is not None:
            raise ValueError("segments must be None: the model has no embedding for them")
        x, back_norm = self.norm.compute(mode, x)
        x, drop = self.dropout.compute(mode, x)
        seen = None if mask is None else _as_mask(mask, tokens.shape)
        states_too = flag("hidden_states", hidden_states)
        y, back_encoder = self._encoded(mode, x, lengths, seen, states_too)
        y, *states = y if hidden_states else (y,)
        found, back_pooled = with_pooled(mode, pooler, y)

        def backward(*gradients: Any) -> None:
            dx = back_norm(drop(back_encoder(back_pooled(*gradients))))
            if back_segments is not None:
                back_segments(dx)
            back_tokens(back_positions(dx))

        outputs = (*found, *states)
        return outputs if len(outputs) > 1 else y, backward

    def _encoded(
        self, mode: Mode, x: Array, lengths: Any, seen: Array | None, hidden_states: bool
    ) -> tuple[Any, Backward]:
        """What the encoder makes of x; `seen` (B, L) is which tokens are valid."""
        if not mode.training and packable(self.encoder):
            counted = counted_rows(x.shape[:-1], lengths, seen)
            if counted is not None:
                return packed(self.encoder, x, counted, hidden_states), no_backward
        options: dict[str, Any] = {"hidden_states": True} if hidden_states else {}
        with argument_names(kv_lengths="lengths"):
            return self.encoder.compute(
                mode, x, kv_lengths=lengths,
                mask=None if seen is None else seen[:, None, None, :], **options,
            )  # fmt: skip

    def _positions(self, tokens: Array, x: Array) -> Array:
        """The position of each token of x (…, L, E): (L,), or (…, L) if some are not counted."""
        if self.padding_idx is None:
            return rows_of(x, self.first_position)
        counted = tokens != self.padding_idx
        return np.where(counted, np.cumsum(counted, axis=-1), 0) + self.padding_idx

    def _segments(self, given: Any, shape: tuple[int, ...]) -> Array:
        if given is None:
            return np.zeros(shape, np.int64)
        assert self.segment_embedding is not None
        kinds = check_tokens("segments", given, self.segment_embedding.num_embeddings)
        if kinds.shape not in (shape, shape[-1:]):
            raise ValueError(f"segments must have shape {shape}: got {kinds.shape}")
        return np.broadcast_to(kinds, shape)

    def load_state_dict(self, state: Mapping[str, ArrayLike], strict: bool = True) -> Mismatch:
        """As in :class:`Layer`; names of Hugging Face's checkpoints are accepted too.

        Tensors of a checkpoint outside the encoder, heads of language models and buffers, are
        ignored; a pooler too, unless the model has one.
        """
        return super().load_state_dict(
            joined(from_checkpoint(check_state(state), self.pooler is not None)), strict
        )


def _first_position(given: Any, padding_idx: int | None) -> int:
    own = 0 if padding_idx is None else padding_idx + 1
    if given is None:
        return own
    if not is_integer(given):
        raise TypeError(f"first_position must be an integer: got {named(given)}")
    if given < 0 or (padding_idx is not None and given != own):
        wanted = "not be negative" if padding_idx is None else f"be padding_idx + 1, {own}"
        raise ValueError(f"first_position must {wanted}: got {given}")
    return int(given)


def _as_mask(given: Any, shape: tuple[int, ...]) -> Array:
    mask = as_array("mask", given)
    if mask.shape != shape:
        raise ValueError(f"mask must have shape {shape}: got {mask.shape}")
    if mask.dtype.kind not in "biu":  # 0 in an additive mask means the opposite
        raise TypeError(f"mask must be boolean, or 1 and 0: got {named(mask)}")
    return mask.astype(np.bool_)
