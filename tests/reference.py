"""Attention and its gradients in plain NumPy: the oracle of every test. Written to be read.

    scores  = query keyᵀ · scale, then softcap, ALiBi, bias; −inf where i may not see j
    weights = exp(scores − lse)        lse = log Σⱼ exp(scoresⱼ)
    out     = (dropout ∘ weights) value

With a sink: lse = log(Σⱼ exp(scoresⱼ) + exp(sink))
With gumbel_temperature τ: scores and sink, the scores after adding noise, are divided by τ
With top_k: the keys of a row's k highest scores alone are allowed
With another normalizer: weights of entmax.py; lse is that of softmax, and means nothing

Arrays are (…, H, L, D) as in heedful's layout "bhld". `dtype` is the type that everything is
computed in: float64 for the oracle, float32 for the plain implementation that others are compared
with, longdouble to judge float64 itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from broadcast_axes import sum_groups, sum_to
from entmax import alphas_of, entmax
from numpy.typing import ArrayLike, DTypeLike, NDArray
from philox import KEY_DROPOUT, gumbel_noise, kept_weights

Array = NDArray[Any]


class Forward(NamedTuple):
    out: Array  # (…, H, Lq, Dv)
    lse: Array  # (…, H, Lq)
    weights: Array  # (…, H, Lq, Lk), after dropout
    scores: Array  # (…, H, Lq, Lk), without noise


class Gradients(NamedTuple):
    query: Array
    key: Array
    value: Array
    bias: Array | None
    sink: Array | None


class Steps(NamedTuple):
    """Everything between inputs and results that the backward formulas need again."""

    query: Array  # (…, H, Lq, D)
    key: Array  # (…, H, Lk, D), heads repeated
    value: Array  # (…, H, Lk, Dv), heads repeated
    allowed: NDArray[np.bool_]  # (…, H, Lq, Lk)
    exists: NDArray[np.bool_]  # (…, H, Lq), False past q_lengths
    cap_derivative: Array | float  # d capped score / d score
    scale: float
    probability: Array  # weights before dropout
    logits: Array  # (…, H, Lq, Lk): what softmax sees, and what top_k selects from
    slope: float  # d logit / d score
    entmax_slope: Array | None
    sinks: Array  # (…, H, Lq), among the logits
    dropout: Array | float  # 0 or 1/(1 − p)
    result: Forward


def attention(query: ArrayLike, key: ArrayLike, value: ArrayLike, **options: Any) -> Forward:
    """softmax(query keyᵀ · scale) value, with every option of heedful.attention."""
    query = np.asarray(query)
    if query.ndim == 1:
        single = attention(query[None], key, value, **options)
        return Forward(*(array[..., 0, :] if array.ndim > 1 else array[0] for array in single))
    result = steps(query, key, value, **options).result
    return Forward(*(array[0] for array in result)) if query.ndim == 2 else result


def steps(
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    mask: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    block_mask: Any = None,
    causal: bool = False,
    window: tuple[int | None, int | None] | None = None,
    exclude_self: bool = False,
    align: Any = None,
    q_lengths: ArrayLike | None = None,
    kv_lengths: ArrayLike | None = None,
    top_k: int | None = None,
    normalizer: Any = "softmax",
    scale: float | None = None,
    softcap: float | None = None,
    alibi_slopes: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    dropout_p: float = 0.0,
    key_dropout_p: float = 0.0,
    gumbel_temperature: float | None = None,
    rng: int = 0,
    first_item: int = 0,  # index of the first item, as dropout counts it
    dtype: DTypeLike = np.float64,
) -> Steps:
    query, key, value = (with_heads(np.asarray(array, dtype)) for array in (query, key, value))
    heads, num_queries, depth = query.shape[-3:]
    num_keys = key.shape[-2]
    key = np.repeat(key, heads // key.shape[-3], axis=-3)
    value = np.repeat(value, heads // value.shape[-3], axis=-3)
    batch = np.broadcast_shapes(query.shape[:-3], key.shape[:-3], value.shape[:-3])
    scale = scale if scale is not None else 1 / np.sqrt(depth) if depth else 1.0

    # which keys each query may see
    per_item = (*batch, 1, 1, 1)
    q_lengths = num_queries if q_lengths is None else q_lengths
    kv_lengths = num_keys if kv_lengths is None else kv_lengths
    q_length = np.broadcast_to(q_lengths, batch).reshape(per_item)
    kv_length = np.broadcast_to(kv_lengths, batch).reshape(per_item)
    if isinstance(align, str):
        offset = kv_length - q_length if align == "lower_right" else np.zeros(per_item, np.int64)
    else:
        offset = np.broadcast_to(0 if align is None else align, batch).reshape(per_item)
    i = np.arange(num_queries)[:, None]
    j = np.arange(num_keys)
    p = i + offset  # where query i stands among the keys
    allowed = (i < q_length) & (j < kv_length)
    if causal:
        allowed = allowed & (j <= p)
    left, right = window or (None, None)
    if left is not None:
        allowed = allowed & (j >= p - left)
    if right is not None:
        allowed = allowed & (j <= p + right)
    if exclude_self:
        allowed = allowed & (j != p)
    if mask is not None:
        allowed = allowed & mask
    if block_mask is not None:
        allowed = allowed & block_mask.to_dense()
    if bias is not None:
        allowed = allowed & (np.asarray(bias) != -np.inf)
    allowed = np.broadcast_to(allowed, (*batch, heads, num_queries, num_keys))
    items = first_item + np.arange(int(np.prod(batch)))
    pairs = items, heads, num_queries, num_keys  # of random words
    scored = allowed
    if key_dropout_p:
        kept = kept_weights(*pairs, key_dropout_p, rng, KEY_DROPOUT)
        allowed = allowed & kept.reshape(allowed.shape)
    exists = np.broadcast_to(np.arange(num_queries) < q_length[..., 0], allowed.shape[:-1])

    # scores
    with np.errstate(invalid="ignore", over="ignore"):  # a masked key may hold anything
        scores = query @ key.swapaxes(-1, -2) * np.asarray(scale, dtype)
        cap_derivative: Array | float = 1.0
        if softcap is not None:
            bent = np.tanh(scores / np.asarray(softcap, dtype))
            scores = bent * np.asarray(softcap, dtype)
            cap_derivative = 1 - bent**2
        if alibi_slopes is not None:
            slopes = np.asarray(alibi_slopes, dtype)[..., :, None, None]
            scores = scores - slopes * np.abs(p - j).astype(dtype)
        if bias is not None:
            scores = scores + np.asarray(bias, dtype)
    logits, slope = scores, 1.0
    if gumbel_temperature is not None:
        noise = gumbel_noise(*pairs, rng).reshape(allowed.shape)
        slope = 1 / gumbel_temperature
        with np.errstate(invalid="ignore", over="ignore"):
            logits = (scores + noise.astype(dtype)) * np.asarray(slope, dtype)
    scores = np.where(scored, scores, -np.inf).astype(dtype)
    logits = np.where(allowed, logits, -np.inf).astype(dtype)
    if top_k is not None:
        allowed = allowed & highest(logits, top_k)

    # softmax, with the sink as one more score that has no value
    sinks = np.full((heads, 1), -np.inf) if sink is None else np.asarray(sink).reshape(heads, 1)
    sinks = np.where(exists, sinks.astype(dtype) * np.asarray(slope, dtype), -np.inf).astype(dtype)
    top = np.maximum(logits.max(axis=-1, initial=-np.inf), sinks)
    top = np.where(top == -np.inf, 0, top).astype(dtype)  # −inf − (−inf) would be NaN
    with np.errstate(invalid="ignore"):
        exponentials = np.where(allowed, np.exp(logits - top[..., None]), 0)
        total = exponentials.sum(axis=-1) + np.exp(sinks - top)
        divisor = np.where(total == 0, 1, total)
        lse = np.where(total == 0, -np.inf, top + np.log(divisor)).astype(dtype)
        probability = np.where(allowed, np.exp(logits - lse[..., None]), 0)

    alphas, entmax_slope = alphas_of(normalizer, heads), None
    if alphas is not None:
        probability, entmax_slope = entmax(logits, alphas)
        exponentials, divisor = probability, np.ones_like(divisor)
        allowed = allowed & (probability > 0)  # the others do not matter

    dropout: Array | float = 1.0
    if dropout_p:
        kept = kept_weights(*pairs, dropout_p, rng)
        growth = np.asarray(1 / (1 - dropout_p) if dropout_p < 1 else 0, dtype)
        dropout = kept.reshape(allowed.shape).astype(dtype) * growth
    out = product_over_allowed(exponentials / divisor[..., None] * dropout, allowed, value)
    return Steps(
        query, key, value, allowed, exists, cap_derivative, scale,
        probability, logits, slope, entmax_slope, sinks, dropout,
        Forward(out, lse, probability * dropout, scores),
    )  # fmt: skip


def attention_backward(
    dout: ArrayLike,
    query: ArrayLike,
    key: ArrayLike,
    value: ArrayLike,
    *,
    dlse: ArrayLike | None = None,
    dweights: ArrayLike | None = None,
    bias: ArrayLike | None = None,
    sink: ArrayLike | None = None,
    dtype: DTypeLike = np.float64,
    **options: Any,
) -> Gradients:
    """Gradients of Σ dout∘out + Σ dlse∘lse + Σ dweights∘weights, from out and lse.

    prob     = exp(scores − lse)                  weights = dropout ∘ prob
    dvalue   = weightsᵀ dout                      dprob   = dropout ∘ (dout valueᵀ + dweights)
    dscores  = prob ∘ (dprob − delta)             delta   = Σⱼ prob ∘ dprob − dlse
    dsink    = −Σᵢ exp(sink − lse) · delta                = Σ dout∘out + Σⱼ weights∘dweights − dlse
    dbias    = dscores
    dquery   = scale · (dscores ∘ derivative of the cap) key
    dkey     = scale · (dscores ∘ derivative of the cap)ᵀ query
    """
    if np.ndim(query) == 1:
        query, dout = np.asarray(query)[None], np.asarray(dout)[None]
        dlse = None if dlse is None else np.asarray(dlse)[None]
        dweights = None if dweights is None else np.asarray(dweights)[None]
        options |= {"dlse": dlse, "dweights": dweights, "bias": bias, "sink": sink}
        single = attention_backward(dout, query, key, value, dtype=dtype, **options)
        return single._replace(query=single.query[0])
    s = steps(query, key, value, bias=bias, sink=sink, dtype=dtype, **options)
    by_key = s.allowed.swapaxes(-1, -2)
    dout = with_heads(np.asarray(dout, dtype))
    with np.errstate(invalid="ignore"):
        out, lse = s.result.out, s.result.lse
        dprob = dout @ s.value.swapaxes(-1, -2)
        delta = np.where(s.allowed.any(axis=-1), (dout * out).sum(axis=-1), 0)
        if dweights is not None:
            dweights = with_heads(np.asarray(dweights, dtype))
            dprob = dprob + dweights
            delta = delta + (s.result.weights * dweights).sum(axis=-1)
        if dlse is not None:
            dlse = np.asarray(dlse, dtype).reshape(delta.shape)
            delta = delta - np.where(s.exists, dlse, 0)
        dprob = np.where(s.allowed, dprob * s.dropout, 0)
        dscores = np.where(s.allowed, s.probability * (dprob - delta[..., None]), 0)
        if s.entmax_slope is not None:
            total = s.entmax_slope.sum(axis=-1, keepdims=True)
            mean = (s.entmax_slope * dprob).sum(axis=-1, keepdims=True)
            dscores = s.entmax_slope * (dprob - mean / np.where(total == 0, 1, total))
        dscores = dscores * np.asarray(s.slope, dtype)  # those of logits until here
        dlogits = np.where(s.allowed, dscores * s.cap_derivative, 0) * np.asarray(s.scale, dtype)

    dquery = product_over_allowed(dlogits, s.allowed, s.key)
    dkey = product_over_allowed(dlogits.swapaxes(-1, -2), by_key, s.query)
    dvalue = product_over_allowed(s.result.weights.swapaxes(-1, -2), by_key, dout)
    dsink = None
    if sink is not None:
        with np.errstate(invalid="ignore"):
            dsink = -np.where(s.exists, np.exp(s.sinks - lse) * delta, 0) * s.slope
        dsink = sum_to(dsink, (len(np.asarray(sink)), 1)).reshape(np.shape(sink))
    return Gradients(
        sum_to(dquery, np.shape(query)),
        sum_to(sum_groups(dkey, np.shape(key)), np.shape(key)),
        sum_to(sum_groups(dvalue, np.shape(value)), np.shape(value)),
        None if bias is None else sum_to(dscores, np.shape(bias)),
        dsink,
    )


def highest(scores: Array, count: int) -> NDArray[np.bool_]:
    """The `count` highest of each row: the first of equal ones, and NaN above all."""
    order = np.argsort(np.where(np.isnan(scores), -np.inf, -scores), axis=-1, kind="stable")
    found = np.zeros(scores.shape, bool)
    np.put_along_axis(found, order[..., :count], True, axis=-1)
    return found


def with_heads(array: Array) -> Array:
    """(L, D) is one head."""
    return array[None] if array.ndim == 2 else array


def product_over_allowed(weights: Array, allowed: NDArray[np.bool_], rows: Array) -> Array:
    """weights @ rows over the allowed pairs alone: the others are not even 0 · NaN."""
    with np.errstate(invalid="ignore"):  # OpenBLAS sets the flag for lanes that it discards
        if np.isfinite(rows).all():
            return weights @ rows
        allowed = np.broadcast_to(allowed, weights.shape)
        batch = np.broadcast_shapes(weights.shape[:-2], rows.shape[:-2])
        out = np.zeros((*batch, weights.shape[-2], rows.shape[-1]))
        for i in range(weights.shape[-2]):  # all pairs at once may not fit into memory
            terms = np.where(allowed[..., i, :, None], weights[..., i, :, None] * rows, 0)
            out[..., i, :] = terms.sum(axis=-2)
    return out
