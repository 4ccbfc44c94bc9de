"""Encoders without their padding: dense layers compute the rows that count, and no others."""

from __future__ import annotations

from typing import Any

import numpy as np

from heedful.base._mode import INFERENCE
from heedful.base._taps import taps_of
from heedful.base._types import Array
from heedful.functional import attention_varlen
from heedful.layers.attention._input_projections import Projections, joined
from heedful.layers.attention._multi_head import MultiHeadAttention
from heedful.layers.blocks._linear import Linear
from heedful.layers.blocks._norm import LayerNorm
from heedful.layers.blocks._sublayer import sublayer
from heedful.layers.models._encoder import Encoder, EncoderLayer

_MIN_ROWS = 64  # of a batch: with fewer, to take rows out costs what it saves
_MAX_SHARE = 15 / 16  # of rows that count


def counted_rows(shape: tuple[int, ...], lengths: Any, mask: Array | None) -> Array | None:
    """Which tokens (B, L) count, if it is worth it to leave the others out; otherwise None.

    Arguments that are wrong give None, too: attention says what is wrong with them.
    """
    few = len(shape) != 2 or shape[0] * shape[1] < _MIN_ROWS
    if few or (lengths is None) == (mask is None):
        return None
    counted = mask
    if counted is None:
        given = np.asarray(lengths)
        if given.shape != shape[:1] or given.dtype.kind not in "iu":
            return None
        if given.min() < 0 or given.max() > shape[1]:
            return None
        counted = np.arange(shape[1]) < given[:, None]
    if not counted[:, 0].all():  # heads read the first row, also where it is padding
        return None
    count = int(counted.sum())
    # a product of 8 rows adds in another order than one of more
    return counted if 8 < count <= _MAX_SHARE * counted.size else None


def packable(encoder: Any) -> bool:
    """Whether every layer is an encoder layer with plain attention that nobody watches."""
    return type(encoder) is Encoder and all(_plain(layer) for layer in encoder.layers)


def _plain(layer: Any) -> bool:
    if type(layer) is not EncoderLayer or type(layer.self_attn) is not MultiHeadAttention:
        return False
    attention = layer.self_attn
    options = (
        attention.top_k, attention.sink, attention.qk_norm, attention.adaptive_span,
        attention.scores.alibi_slopes, getattr(attention, "logit_scale", None),
    )  # fmt: skip
    dense = (layer.linear1, layer.linear2, attention.out_proj)
    return (
        all(type(one) is Linear for one in dense)
        and type(layer.norm1) is type(layer.norm2) is LayerNorm
        and not (attention.causal or attention.rotary or attention.hard)
        and all(option is None for option in options)
        and attention.normalizer == "softmax"
        and not taps_of(attention)
    )


def packed(encoder: Encoder, x: Array, counted: Array, hidden_states: bool) -> Any:
    """What the encoder returns in inference for x (B, L, E), with 0 in rows that do not count."""
    starts = np.concatenate([[0], np.cumsum(counted.sum(-1))])
    rows = np.ascontiguousarray(x[counted])  # (rows that count, E)
    states = [rows] if hidden_states else []
    for layer in encoder.layers:
        rows = _computed(layer, rows, starts)
        if hidden_states:
            states.append(rows)
    if encoder.norm is not None:
        rows = encoder.norm.compute(INFERENCE, rows)[0]
    y = _spread(rows, counted)
    return (y, [_spread(state, counted) for state in states]) if hidden_states else y


def _computed(layer: EncoderLayer, rows: Array, starts: Array) -> Array:
    def attend(x: Array, residual: Array | None) -> tuple[Array, Any]:
        attention: Any = layer.self_attn
        q, k, v = Projections(attention, x, None, None).project()
        scores = attention.scores
        heads = attention_varlen(
            q, k, v, starts, starts, scale=scores.scale, softcap=scores.softcap
        )
        y: Array = attention.out_proj.compute(INFERENCE, joined(heads), residual)[0]
        return y, None

    x, _ = sublayer(INFERENCE, rows, layer.norm1, layer.dropout, layer.norm_first, attend)
    return layer.feed(INFERENCE, x)[0]


def _spread(rows: Array, counted: Array) -> Array:
    found = np.zeros((*counted.shape, rows.shape[-1]), rows.dtype)
    found[counted] = rows
    return found
