"""Additive attention and its gradients in plain NumPy, every tanh stored: the oracle of its tests.

    score[i, j] = Σ_e weight[e] · tanh(query[i, e] + key[j, e])

What follows the scores is the oracle of attention itself, which is given them as a bias.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from broadcast_axes import sum_groups, sum_to
from numpy.typing import ArrayLike, DTypeLike, NDArray

import reference

Array = NDArray[Any]


class Gradients(NamedTuple):
    query: Array
    key: Array
    value: Array
    weight: Array
    bias: Array | None
    sink: Array | None


def tangents(query: Array, key: Array, weight: Array, dtype: DTypeLike) -> tuple[Array, Array]:
    """tanh(query + key) (…, H, Lq, Lk, E), and weight (H, 1, 1, E)."""
    query, key = np.asarray(query, dtype), np.asarray(key, dtype)
    group = query.shape[-3] // key.shape[-3]
    key = np.repeat(key, group, axis=-3)
    weight = np.asarray(weight, dtype)
    if weight.ndim == 2:
        weight = np.repeat(weight, group, axis=0)[:, None, None]
    with np.errstate(invalid="ignore"):
        return np.tanh(query[..., :, None, :] + key[..., None, :, :]), weight


def given_as_bias(
    query: Array, key: Array, value: Array, weight: Array, bias: ArrayLike | None, dtype: DTypeLike
) -> tuple[tuple[Array, Array, Array], Array]:
    """Zeros of depth 1 for query and key, and the scores as a bias."""
    tangent, by_head = tangents(query, key, weight, dtype)
    with np.errstate(invalid="ignore"):
        scores = (tangent * by_head).sum(-1)
        if bias is not None:
            bias = np.asarray(bias, dtype)
            scores = np.where(bias == -np.inf, bias, scores + bias)
    zeros = np.zeros((*np.shape(query)[:-1], 1)), np.zeros((*np.shape(key)[:-1], 1))
    return (*zeros, value), scores


def attention(
    query: Array, key: Array, value: Array, weight: Array, *,
    bias: ArrayLike | None = None, dtype: DTypeLike = np.float64, **options: Any,
) -> reference.Forward:  # fmt: skip
    arrays, scores = given_as_bias(query, key, value, weight, bias, dtype)
    return reference.attention(*arrays, bias=scores, dtype=dtype, **options)


def attention_backward(
    dout: Array, query: Array, key: Array, value: Array, weight: Array, *,
    bias: ArrayLike | None = None, dtype: DTypeLike = np.float64, **options: Any,
) -> Gradients:  # fmt: skip
    arrays, scores = given_as_bias(query, key, value, weight, bias, dtype)
    found = reference.attention_backward(dout, *arrays, bias=scores, dtype=dtype, **options)
    # the scores may lack an axis that value alone has
    batch = np.broadcast_shapes(scores.shape[:-3], np.shape(value)[:-3])
    tangent, by_head = tangents(query, key, weight, dtype)
    dscores = np.broadcast_to(found.bias, scores.shape)[..., None]
    assert len(batch) >= scores.ndim - 3
    of_weight = np.where(dscores == 0, 0, dscores * tangent).sum((-2, -3))  # (…, H, E)
    dsums = np.where(dscores == 0, 0, dscores * by_head * (1 - tangent**2))
    kv_heads = np.shape(key)[-3]
    dkey = sum_groups(dsums.sum(-3), np.shape(key))
    if np.ndim(weight) == 2:
        heads = of_weight.reshape(-1, kv_heads, of_weight.shape[-2] // kv_heads, np.shape(key)[-1])
        dweight = heads.sum((0, 2))
    else:
        dweight = of_weight.reshape(-1, np.shape(key)[-1]).sum(0)
    return Gradients(
        sum_to(dsums.sum(-2), np.shape(query)),
        sum_to(dkey, np.shape(key)),
        found.value,
        dweight,
        None if bias is None else sum_to(found.bias, np.shape(bias)),
        found.sink,
    )
